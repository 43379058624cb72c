"""Opening training data by its name, whatever it is."""

from __future__ import annotations

from pathlib import Path

from retrieve_rerank.data.lines import STDIN, LineFile
from retrieve_rerank.errors import InputError
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.formats import FORMATS
from retrieve_rerank.training.formats.format import ReadOptions
from retrieve_rerank.training.formats.labels import LabelRange
from retrieve_rerank.training.judgments import TRAIN_SPLIT, folder_groups, qrels_groups
from retrieve_rerank.training.reading import GroupFile, GroupSource


def read_groups(
    path: Path | str,
    *,
    format: str | None = None,
    label_key: str | None = None,
    max_label: float | None = None,
    min_label: float = 0.0,
    split: str = TRAIN_SPLIT,
    queries: Path | str | None = None,
    corpus: Path | str | None = None,
    template: Template | str | None = None,
    skip_bad: bool = False,
) -> GroupSource:
    """Open training data; its format is recognised unless it is named.

    `path` is a file of JSON lines, gzipped or not, "-" for standard input, a BEIR folder, whose
    `split` is read, or relevance judgments (BEIR's or TREC's), which need `queries` and a `corpus`.
    With `max_label`, labels from `min_label` to `max_label` become 0 … 1; what is positive or
    negative without a number stays 1 or 0. `template` lays out the
    titles and texts of passages and documents, "{title} {text}" when None; in formats without
    titles texts are whole, and stay as they are. Raises InputError where the data
    cannot be read or is in no known format, and ConfigError for a label range of no use; what
    stands in single places raises InputError when it is reached, or is skipped with `skip_bad`.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    options = ReadOptions(
        label_key,
        Template(template) if isinstance(template, str) else template or Template(),
        None if max_label is None else LabelRange(max_label, min_label),
    )
    place = Path(path)
    if str(path) != STDIN:
        if not place.exists():
            raise InputError(f"there is no file or folder {place}")
        if place.is_dir():
            return folder_groups(
                place,
                split=split,
                options=options,
                skip_bad=skip_bad,
            )
        if format is None and _is_table(str(path)):
            if queries is None or corpus is None:
                raise InputError(
                    f"{path} is no JSON lines; relevance judgments need the texts too: name the "
                    "queries and the corpus (--queries and --corpus)"
                )
            return qrels_groups(
                place,
                queries=Path(queries),
                corpus=str(corpus),
                options=options,
                skip_bad=skip_bad,
            )
    return GroupFile(
        str(path),
        format=FORMATS[format] if format else None,
        options=options,
        skip_bad=skip_bad,
    )


def _is_table(path: str) -> bool:
    """Tell whether the first line is neither an object nor an array, as those of judgments are."""
    first = LineFile(path).first_line().lstrip()
    return bool(first) and not first.startswith((b"{", b"["))
