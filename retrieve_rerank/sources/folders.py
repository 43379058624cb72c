"""Folders of text and Markdown files, and single ones: each file is a document.

Knows nothing of files that hold many records.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from retrieve_rerank.errors import InputError
from retrieve_rerank.sources.lines import MAX_LINE_BYTES
from retrieve_rerank.sources.records import Reason, is_unicode
from retrieve_rerank.types import Document

TEXT_SUFFIXES = (".txt", ".md", ".markdown")

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
        self._files = list(_text_files(path))
        if not self._files:
            raise InputError(
                f"{path} holds neither corpus.jsonl nor {', '.join(TEXT_SUFFIXES)} files; "
                "name files of other formats themselves"
            )
        self.size = sum(file.stat().st_size for file in self._files if file.exists())
        self.position = 0

    def records(self) -> Iterator[tuple[str, Document | Reason]]:
        """Iterate over file names and what stands there."""
        for file in self._files:
            yield str(file), self._read(file)

    def _read(self, file: Path) -> Document | Reason:
        id_ = file.relative_to(self._root).as_posix()
        if not is_unicode(id_):
            return Reason("file name is not UTF-8")
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_LINE_BYTES + 1)
        except OSError as exc:
            return Reason("unreadable file", exc.strerror or str(exc))
        self.position += len(content)
        if len(content) > MAX_LINE_BYTES:
            return Reason("file too large", f"over {MAX_LINE_BYTES >> 20} MiB")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            return Reason("invalid UTF-8", f"byte {exc.start + 1} of the file")
        if not text.strip():
            return Reason("empty text")
        return Document(id_, text, {"title": _title(file, text)})


def _text_files(path: str) -> Iterator[Path]:
    if not Path(path).is_dir():
        yield Path(path)
        return
    for folder, folders, files in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(TEXT_SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _raise(error: OSError) -> None:
    raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def _title(file: Path, text: str) -> str:
    heading = _HEADING.search(_FENCED.sub("", text)) if file.suffix.lower() != ".txt" else None
    return heading[1] if heading else file.stem
