"""`rr data`: check training data, and convert them to other formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from retrieve_rerank.cli.judgments import say_judges
from retrieve_rerank.cli.options import field_options, index_option, json_option
from retrieve_rerank.cli.outputs import keep_inputs
from retrieve_rerank.cli.training_data import (
    DATA,
    data_options,
    open_data,
    read_test_queries,
    share_read,
)
from retrieve_rerank.cli.views.data import print_report
from retrieve_rerank.cli.views.progress import show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say, wide_console
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.data.lines import STDIN
from retrieve_rerank.data.records import Fields
from retrieve_rerank.errors import RetrieveRerankError
from retrieve_rerank.settings.build import open_index
from retrieve_rerank.settings.sources import load_settings
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.findings import Severity
from retrieve_rerank.training.formats import WRITTEN
from retrieve_rerank.training.formats.format import NEGATIVES
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.lengths import PairLengths
from retrieve_rerank.training.linter import check_groups
from retrieve_rerank.training.text_pairs import text_pairs
from retrieve_rerank.types import Document


@click.group("data")
def command() -> None:
    """Check training data, and convert them to other formats.

    Data are JSON lines as RAG-Retrieval, FlagEmbedding, Tevatron, RankingGPT, rank_llm and
    sentence-transformers have them, gzipped or not, or relevance judgments: a BEIR folder, or
    qrels with --queries and --corpus. They are read as a stream.
    """


@command.command()
@click.argument("files", nargs=-1, required=True, type=DATA)
@click.option(
    "--test",
    "test",
    type=click.Path(exists=True, path_type=Path),
    help="BEIR folder with a test split, or a file of queries, that must not be trained on.",
)
@click.option("--model", help="Count tokens with its tokenizer: an alias, a hub id or a folder.")
@click.option(
    "--max-length",
    type=click.IntRange(min=1),
    help="Tokens that the model reads of a pair.  [default: what it records]",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@data_options
@json_option
def check(
    files: tuple[str, ...],
    test: Path | None,
    model: str | None,
    max_length: int | None,
    strict: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Check the training data in FILES for what would teach a model wrong things.

    Lines that cannot be read, positives among the negatives, test queries in the data, labels,
    duplicates, and with --model what is cut; each with the worst examples. The exit code is 1
    where there are errors, with --strict for warnings too, and 0 otherwise.
    """
    if max_length is not None and model is None:
        raise click.UsageError("--max-length needs --model")
    lengths = PairLengths(model, max_length=max_length) if model else None
    template = lengths.template if lengths else None
    sources = [open_data(file, template=template, **chosen) for file in files]
    test_queries = read_test_queries(test) if test else []
    for source in sources:
        say_judges(source.judges)
    with show_progress(
        share_read(sources), doing="checking", quiet=as_json, things="groups"
    ) as advance:
        report = check_groups(sources, test_queries=test_queries, lengths=lengths, on_group=advance)
    if as_json:
        write_json(report.to_dict())
    else:
        print_report(wide_console(), report)
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    if strict and warnings:
        raise RetrieveRerankError(f"found {errors} kinds of errors and {warnings} of warnings")
    if errors:
        raise RetrieveRerankError(
            "found 1 kind of error" if errors == 1 else f"found {errors} kinds of errors"
        )


@command.command()
@click.argument("source", metavar="IN", type=DATA)
@click.argument("out", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--to", "to", type=click.Choice(WRITTEN), required=True, help="Format to write.")
@click.option(
    "--negatives",
    type=click.IntRange(min=1),
    default=NEGATIVES,
    show_default=True,
    help="Negatives in an n-tuple; queries with fewer are left out.",
)
@click.option("--skip-bad", is_flag=True, help="Exit with 0 even if lines had to be left out.")
@data_options
@json_option
def convert(
    source: str,
    out: str,
    to: str,
    negatives: int,
    skip_bad: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Convert the training data IN to another format in the file OUT, gzipped if it ends in .gz.

    grouped and pointwise are RAG-Retrieval's; triplet, n-tuple, labeled-pair and labeled-list are
    sentence-transformers'. What the format cannot say, such as a group without a positive, is
    left out and counted. Lines that cannot be read are named and left out, and the exit code is 1
    unless --skip-bad is given; what can be read is written all the same. OUT is there only when it
    is whole, and replaces a file of that name, but never IN; - is standard output.
    """
    if as_json and out == STDIN:
        raise click.UsageError("--json and the data cannot both go to standard output; name a file")
    keep_inputs(out, source, chosen["queries"], chosen["corpus"])
    groups = open_data(source, skip_bad=True, **chosen)
    say_judges(groups.judges)
    with show_progress(
        share_read([groups]), doing="converting", quiet=as_json, things="groups"
    ) as advance:

        def counted() -> Iterator[Group]:
            for group in groups:
                yield group
                advance(1)

        done = write_groups(counted(), out, format=to, negatives=negatives)
    if as_json:
        write_json(
            {
                "format": groups.format,
                "groups": done.groups,
                "lines": done.lines,
                "left_out": done.left_out,
                "skipped": groups.skipped,
            }
        )
    else:
        say(f"{done.groups:,} groups of {groups.format or 'nothing'} in, {done.lines:,} lines out")
    for why, count in done.left_out.most_common():
        say(f"Left out: {count:,} × {why}")
    for skipped in groups.first_skipped:
        say(f"Left out: {skipped.place}: {skipped.reason}")
    if not done.lines:
        raise RetrieveRerankError(
            f"{source} has nothing that could be written as {to}; what is written is empty"
        )
    if groups.skipped and not skip_bad:
        raise RetrieveRerankError(
            f"{groups.skipped.total():,} of the lines in were left out, and the rest is written; "
            "--skip-bad accepts that"
        )


@command.command()
@click.argument("sources", nargs=-1, type=DATA)
@index_option
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write, gzipped if it ends in .gz.",
)
@field_options
@json_option
def pairs(
    sources: tuple[str, ...], index: str | None, output: Path, as_json: bool, **fields: str | None
) -> None:
    """Make pairs of the titles and texts of documents, for weakly supervised training.

    The documents are whatever rr index reads in SOURCES, else those of the index. With
    --title-field and --text-field a question and its answer, or a thread and a comment, are a pair
    as well.
    Documents without a title, or with too short a text, are left out and counted.
    """
    keep_inputs(output, *sources)
    left_out: Counter[str] = Counter()
    with ExitStack() as opened:
        documents: Iterable[Document]
        if sources:
            chosen = Fields(None, fields.get("text_field"), fields.get("title_field"))
            documents = Corpus(sources, fields=chosen)
        else:
            connector = open_index(load_settings(index=index, **fields))
            documents = opened.enter_context(connector).scan()
        done = write_groups(text_pairs(documents, left_out=left_out), output)
    if as_json:
        write_json({"pairs": done.groups, "left_out": left_out})
    else:
        say(f"{done.groups:,} pairs in {output}")
    for why, count in left_out.most_common():
        say(f"Left out: {count:,} × {why}")
    if not done.groups:
        raise RetrieveRerankError("no document has a title and a text that make a pair")
