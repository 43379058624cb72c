"""The files of a model's folder, which anyone may have made: regular ones, read in bounds."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from retrieve_rerank.errors import ModelError

AGAIN = "download the model again, or save it anew with save_pretrained('folder')"
"""What to do about a file that was damaged on its way here."""

MOST_SETTINGS = 16 << 20
"""Bytes of JSON that we read ourselves; the largest checkpoints have indexes of nine million."""

MOST_TEXT = 128 << 20
"""Bytes of a file that a library reads into memory; the largest vocabularies have 35 million."""

_TEXTS = (".json", ".jinja", ".txt", ".model", ".xml")
_DEEPEST = 3  # folders: a router's modules are in the second
_MOST_FILES = 10_000
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def list_files(folder: Path) -> list[str]:
    """Return the names of a checkpoint's files, relative to it, down to the third folder.

    Raises ModelError for a named pipe, socket or device in place of a file, for texts beyond
    MOST_TEXT, and for a folder of more files than a checkpoint has. Links to what is not there
    are left out.
    """
    found: list[str] = []
    try:
        for inner, folders, files in os.walk(folder, onerror=_raise):
            if len(Path(inner).relative_to(folder).parts) == _DEEPEST:
                folders.clear()
            for name in files:
                file = Path(inner, name)
                if file.exists():
                    _check(file, file.stat(), most=_most(file))
                    found.append(file.relative_to(folder).as_posix())
            if len(found) > _MOST_FILES:
                raise ModelError(
                    f"{folder} holds more than {_MOST_FILES:,} files; expected the folder of one"
                    " model"
                )
    except OSError as exc:
        raise ModelError(f"cannot read the folder {folder}: {exc.strerror}") from exc
    return sorted(found)


def open_weights(folder: Path, *, like: str) -> None:
    """Let whoever may read the file `like` of a model's folder read its weights; raise OSError.

    safetensors writes files that their owner alone may read, and servers run as somebody else.
    """
    mode = (folder / like).stat().st_mode
    for file in folder.rglob("*.safetensors"):
        file.chmod(mode)


def read_text(file: Path, *, most: int = MOST_SETTINGS) -> str | None:
    """Read a regular file of at most so many bytes; None where there is none, else ModelError."""
    try:
        # Without waiting, as opening a named pipe would for whoever writes to it.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as exc:
        if not file.is_symlink():
            return None
        raise ModelError(f"{file} is a link to what is not there; {AGAIN}") from exc
    except NotADirectoryError:
        return None
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror}") from exc
    try:
        _check(file, os.fstat(descriptor), most=most)
        with open(descriptor, "rb", closefd=False) as opened:
            content = opened.read(most)
    finally:
        os.close(descriptor)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ModelError(f"{file} is not in UTF-8; {AGAIN}") from exc


def read_json(file: Path, *, absent: Any) -> Any:
    """Read a JSON value; `absent` where there is no file. Raises ModelError."""
    text = read_text(file)
    if text is None:
        return absent
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise ModelError(f"{file} is nested too deep for settings; {AGAIN}") from exc
    except ValueError as exc:
        came = f"it is no JSON: {exc}" if text.strip() else "it is empty"
        raise ModelError(f"cannot read {file}: {came}; {AGAIN}") from exc


def _raise(error: OSError) -> None:
    raise error


def _most(file: Path) -> int | None:
    return MOST_TEXT if file.suffix in _TEXTS else None


def _check(file: Path, status: os.stat_result, *, most: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_, kind in _KINDS if is_(status.st_mode)), "a device")
        raise ModelError(f"{file} is {kind}; expected a regular file")
    _check_size(file, status.st_size, most=most)


def check_size(file: Path, size: int) -> None:
    """Raise ModelError where a file to come has more bytes than are read of its kind."""
    _check_size(file, size, most=_most(file))


def _check_size(file: Path, size: int, *, most: int | None) -> None:
    if most is not None and size > most:
        raise ModelError(
            f"{file} has {size:,} bytes; expected at most {most:,}, which no model of today needs;"
            f" {AGAIN}"
        )
