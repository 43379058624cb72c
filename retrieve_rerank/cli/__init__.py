"""The command line, `rr`: one module per command, imported when called."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NamedTuple

import click

from retrieve_rerank.cli.views.terminal import fitted, printable, say
from retrieve_rerank.errors import MissingExtraError, RetrieveRerankError

STOPPED = 128 + 2
"""Exit code after Ctrl-C, as shells have it for SIGINT."""


class Listing(NamedTuple):
    """What `rr --help` says of a command before its module is imported."""

    help: str
    extra: str | None = None
    """The extra whose packages its module imports."""


COMMANDS: Mapping[str, Listing] = {
    "index": Listing("Add documents to an index, and make it where there is none."),
    "search": Listing("Search an index and rerank what it finds."),
    "eval": Listing("Measure an index and its rerankers against judgments.", "eval"),
    "audit": Listing("Measure what approximate vector search loses on an index.", "eval"),
    "rerank": Listing("Rerank lists of documents, one JSON object a line."),
    "calibrate": Listing("Fit a cross-encoder's probabilities of relevance on judged queries."),
    "finetune": Listing(
        "Train a reranker on an index, prove it on held-out queries, promote it if it is better.",
        "train",
    ),
    "queries": Listing(
        "Take queries from the documents of an index: titles, headings, questions, sentences."
    ),
    "mine": Listing("Mine hard negatives for judged queries from the index that serves."),
    "label": Listing("Label candidates by rerankers, language models or rules of your own."),
    "judge": Listing("Have a language model judge how relevant hits are, in four grades."),
    "data": Listing("Check training data, and convert them to other formats."),
    "train": Listing("Train a reranker as the YAML file CONFIG says.", "train"),
    "tensors": Listing("Give an index token tensors to rerank by, or smaller ones."),
    "lexical": Listing("Give a Qdrant collection a ranking by words, where it has none."),
    "info": Listing("Show what an index holds, and what is installed."),
    "models": Listing("Show, fetch and export models, and choose which version of one serves."),
    "serve": Listing(
        "Serve search and rerank over HTTP, to clients of Cohere, Jina, Voyage and TEI too."
    ),
    "demo": Listing(
        "Index a small real collection, search it, and measure what reranking did.", "eval"
    ),
}
"""Command -> its listing; its module in commands/ has the same name."""


def load_command(name: str) -> click.Command:
    """Import a command; raise MissingExtraError where packages of its extra are missing."""
    module = import_for(name, f"{__name__}.commands.{name}", extra=COMMANDS[name].extra)
    command: click.Command = module.command
    return command


def import_for(command: str, module: str, *, extra: str | None) -> Any:
    """Import what a command needs; raise MissingExtraError where packages of the extra miss."""
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        if extra is None or (exc.name or "").startswith("retrieve_rerank"):
            raise
        raise MissingExtraError(f"rr {command}", extra) from exc


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and turns our errors into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep the order of COMMANDS."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Replace the listed command by the real one."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors of ours leave one line on stderr and exit code 1."""
        try:
            return super().invoke(ctx)
        except RetrieveRerankError as exc:
            raise click.ClickException(_fitted(" ".join(str(exc).split()))) from exc
        except click.UsageError as exc:
            raise click.UsageError(_fitted(exc.format_message()), exc.ctx) from exc
        except KeyboardInterrupt:
            click.echo("\nStopped.", err=True)
            ctx.exit(STOPPED)


def _fitted(message: str) -> str:
    """Break an error into lines that fit, where a person reads it."""
    message = printable(message, lines=True)
    return fitted(message, begins=len("Error: ")) if sys.stderr.isatty() else message


@click.group(
    cls=LazyGroup,
    commands=[click.Command(name, help=listing.help) for name, listing in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="retrieve-rerank", message="%(prog)s %(version)s")
def main() -> None:
    """Over-fetch from your search index, rerank, and prove the gain.

    Settings come from options, else from the environment (RR_…), else from rr.toml.
    """


KEPT_SHAPES = "64"
"""For how many shapes oneDNN, below torch, keeps what it made: by default the last 1,024, of which
packed batches hardly meet one again (python -m benchmarks.shapes_memory)."""


def run() -> None:
    """Run the command line; end at once, even where work that was given up goes on."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KEPT_SHAPES)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # as terminals and jobs of cron may be in Latin-1
            stream.reconfigure(errors="replace")
    try:
        main()
    except SystemExit as exc:
        threads = sys.modules.get("retrieve_rerank.concurrency.threads")
        if threads is not None and threads.at_work():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exc.code if isinstance(exc.code, int) else 0)
        raise
    except OSError as exc:  # the disk that standard output goes to is full, above all
        where = f"{exc.filename}: " if exc.filename else ""
        say(f"Error: {where}{exc.strerror or exc}")
        os._exit(1)  # without another attempt to write what is left
