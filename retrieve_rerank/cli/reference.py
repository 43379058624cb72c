"""The reference of all commands and settings, as Markdown.

Run `python -m retrieve_rerank.cli.reference > docs/cli.md` when either changes.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
from pydantic import BaseModel

from retrieve_rerank.cli import COMMANDS, load_command, main
from retrieve_rerank.settings.file import CONFIG_FILE, ENV_PREFIX
from retrieve_rerank.settings.sources import IndexSettings, ServerSettings, Settings, StageSettings

WIDTH = 100

EXAMPLE = """\
index = "docs"          # the index where none is named
top_k = 5

[indexes.docs]          # several indexes, each with its address
url = "./my-index"

[[stages]]              # what reranks, in this order
reranker = "max-sim"
depth = 100

[[stages]]
reranker = "cross-encoder"
model = "bge-reranker-v2-m3"
depth = 20
"""

SETTINGS = f"""\
## Settings

A setting comes from its option, else from the environment (`{ENV_PREFIX}TOP_K=5`), else from
`{CONFIG_FILE}`: the file that `{ENV_PREFIX}CONFIG` names, else the nearest one in the working
directory and the folders above it, else the one in the user's configuration folder. Deeper keys are
joined by two underscores: `{ENV_PREFIX}INDEXES__DOCS__API_KEY=…`. Files and folders that
`{CONFIG_FILE}` names are relative to it, and `~` is the home folder.
"""


def reference() -> str:
    """Write the reference as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# The command line"
    yield ""
    yield "<!-- Written by python -m retrieve_rerank.cli.reference > docs/cli.md; do not edit. -->"
    yield ""
    yield "Data goes to standard output, messages to standard error. Exit codes: 0 all done; 1 an"
    yield "error, said in one line; 2 wrong usage; 130 stopped by Ctrl-C."
    yield ""
    root = click.Context(
        main,
        info_name="rr",
        terminal_width=WIDTH,
        **{**main.context_settings, "max_content_width": WIDTH},
    )
    yield from _command(main, root)
    for name in COMMANDS:
        command = load_command(name)
        yield from _command(command, click.Context(command, parent=root, info_name=name))
    yield SETTINGS
    yield "```toml"
    yield f"{EXAMPLE}```"
    yield ""
    yield from _settings("Top level", Settings)
    yield from _settings("Each of `[indexes.NAME]`", IndexSettings)
    yield from _settings("Each of `[[stages]]`; further keys are the reranker's own", StageSettings)
    yield from _settings("The table `[server]`, for `rr serve`", ServerSettings)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}"
    yield ""
    yield "```text"
    yield command.get_help(context)
    yield "```"
    yield ""
    if isinstance(command, click.Group) and command is not main:
        for name, child in command.commands.items():
            yield from _command(child, click.Context(child, parent=context, info_name=name))


def _settings(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    yield "| key | default | what |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        told = isinstance(field.default, int | float | str) and field.default != ""
        shown = f"`{field.default}`" if told else ""
        if field.is_required():
            shown = "required"
        yield f"| `{name}` | {shown} | {field.description} |"
    yield ""


if __name__ == "__main__":
    click.echo(reference(), nl=False)
