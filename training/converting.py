"""Writing groups in a format of training data."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from retrieve_rerank.data.lines import STDIN
from retrieve_rerank.data.records import Reason
from retrieve_rerank.errors import ConfigError, InputError, shown
from retrieve_rerank.text.template import readable
from retrieve_rerank.training.formats import FORMATS, WRITTEN
from retrieve_rerank.training.formats.format import NEGATIVES, WriteOptions
from retrieve_rerank.training.formats.grouped import grouped_row
from retrieve_rerank.training.groups import Group


@dataclass(slots=True)
class Conversion:
    """What was written, and what the format could not say."""

    groups: int = 0
    lines: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Why -> number of groups, or of texts, that are not in the output."""


def write_groups(
    groups: Iterable[Group],
    path: Path | str,
    *,
    format: str = "grouped",
    negatives: int = NEGATIVES,
) -> Conversion:
    """Write groups as JSON lines, gzipped where the name ends in .gz, "-" to standard output.

    The file is there only when all of it is written. `negatives` is for n-tuples, whose columns
    are as many. Raises InputError for a format that is not written and a file that cannot be.
    """
    write = FORMATS[format].write if format in FORMATS else None
    if write is None:
        raise InputError(f"cannot write the format {format!r}; expected {', '.join(WRITTEN)}")
    if negatives < 1:
        raise ConfigError(f"expected at least 1 negative in an n-tuple; got {negatives}")
    options = WriteOptions(negatives)
    done = Conversion()
    with _new_file(str(path)) as file:
        for group in groups:
            done.groups += 1
            if group.user and format != "grouped":
                done.left_out["text of the user, which only the format grouped holds"] += 1
            for row in write(group, options):
                if isinstance(row, Reason):
                    done.left_out[row.problem] += 1
                else:
                    done.lines += 1
                    file.write(_line(row, group))
    return done


def grouped_line(group: Group) -> bytes:
    """Return a group as a line of this project's own format."""
    return _line(grouped_row(group), group)


def _line(row: dict[str, Any], group: Group) -> bytes:
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError as exc:
        raise InputError(
            f"a label or a score of the query {shown(group.query)} is not finite; JSON has no "
            "other numbers"
        ) from exc
    return f"{readable(line)}\n".encode()


@contextmanager
def _new_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when it is whole."""
    if path == STDIN:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = Path(f"{path}.partial")
    try:
        with partial.open("wb") as raw:
            if path.endswith(".gz"):
                # Without name and time in its header, so that the same data give the same bytes.
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
                    yield cast(IO[bytes], stream)
            else:
                yield raw
        os.replace(partial, path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {exc.strerror or exc}") from exc
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
