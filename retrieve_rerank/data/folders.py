"""Folders of text and Markdown files, and single ones: each file is a document."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from retrieve_rerank.data.lines import MAX_LINE_BYTES, UTF16_BOMS
from retrieve_rerank.data.records import Found, Reason, is_unicode
from retrieve_rerank.errors import InputError
from retrieve_rerank.types import Document

TEXT_SUFFIXES = (".txt", ".md", ".markdown")

SHOWN_KINDS = 10
"""How many kinds of files a message lists."""

_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


class TextFiles:
    """Text files under a folder, in the order of their paths; hidden ones are passed over.

    A document's id is the path relative to the folder, its title the first Markdown heading or
    else the file's name.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._root = Path(path) if Path(path).is_dir() else Path(path).parent
        self.passed_over: Counter[str] = Counter()
        self._files = [Path(path)]
        if Path(path).is_dir():
            self._files, self.passed_over = pick_files(path, _is_text)
        if not self._files:
            there = f" (it holds {kinds(self.passed_over)})" if self.passed_over else ""
            raise InputError(
                f"{path} holds neither corpus.jsonl nor {', '.join(TEXT_SUFFIXES)} files{there}; "
                "name files of other formats themselves"
            )
        self.size = sum(file.stat().st_size for file in self._files if file.exists())
        self.position = 0

    def records(self) -> Iterator[tuple[str, Found]]:
        """Iterate over file names and what stands there."""
        for file in self._files:
            yield str(file), self._read(file)

    def _read(self, file: Path) -> Document | Reason:
        id_ = file.relative_to(self._root).as_posix()
        if not is_unicode(id_):
            return Reason("file name is not UTF-8")
        if file.exists() and not file.is_file():
            return Reason("not a regular file")
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_LINE_BYTES + 1)
        except OSError as exc:
            return Reason("unreadable file", exc.strerror or str(exc))
        self.position += len(content)
        if len(content) > MAX_LINE_BYTES:
            return Reason("file too large", f"over {MAX_LINE_BYTES >> 20} MiB")
        if content.startswith(UTF16_BOMS):
            return Reason("UTF-16 in place of UTF-8", "iconv -f UTF-16 -t UTF-8 converts it")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            return Reason("invalid UTF-8", f"byte {exc.start + 1} of the file")
        if not text.strip():
            return Reason("empty text")
        return Document(id_, text, {"title": _title(file, text)})


def pick_files(folder: str, wanted: Callable[[Path], bool]) -> tuple[list[Path], Counter[str]]:
    """List the wanted files under a folder, by path, and count all others by their kind.

    A kind is a suffix; "without suffix"; "hidden", of files and folders; "linked folder". Such
    folders are not entered.
    """
    picked: list[Path] = []
    others: Counter[str] = Counter()
    for here, folders, files in os.walk(folder, onerror=_raise):
        for name in sorted(folders):
            if name.startswith(".") or Path(here, name).is_symlink():
                others["hidden" if name.startswith(".") else "linked folder"] += 1
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                others["hidden"] += 1
            elif wanted(Path(here, name)):
                picked.append(Path(here, name))
            else:
                others[Path(name).suffix.lower() or "without suffix"] += 1
    return picked, others


def kinds(counts: Counter[str]) -> str:
    """List kinds of files with their numbers, the commonest first."""
    listed = [f"{count:,} {kind}" for kind, count in counts.most_common(SHOWN_KINDS)]
    if len(counts) > SHOWN_KINDS:
        rest = counts.total() - sum(count for _, count in counts.most_common(SHOWN_KINDS))
        listed.append(f"{rest:,} of {len(counts) - SHOWN_KINDS} other kinds")
    return ", ".join(listed)


def _is_text(file: Path) -> bool:
    return file.suffix.lower() in TEXT_SUFFIXES


def _raise(error: OSError) -> None:
    raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def _title(file: Path, text: str) -> str:
    heading = _HEADING.search(_FENCED.sub("", text)) if file.suffix.lower() != ".txt" else None
    return heading[1] if heading else file.stem
