"""`rr serve`: search and rerank over HTTP."""

from __future__ import annotations

from typing import Any

import click

from retrieve_rerank.cli import import_for
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.settings.sources import Settings, load_settings


@click.command()
@click.option(
    "--index",
    "indexes",
    multiple=True,
    metavar="NAME",
    help="Index to serve; may be given several times.  [default: all there are]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="Model to rerank by, and the name that requests give it; may be given several times.  "
    "[default: max-sim with the bundled encoder]",
)
@click.option("--host", help="Address to listen at.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="[default: 8000]")
@click.option(
    "--keys",
    type=click.Path(exists=True, dir_okay=False),
    help="TOML file of keys, with their quotas and filters.",
)
@click.option("--check", "only_check", is_flag=True, help="Say what is wrong with the settings.")
def command(
    indexes: tuple[str, ...],
    models: tuple[str, ...],
    host: str | None,
    port: int | None,
    keys: str | None,
    only_check: bool,
) -> None:
    """Serve search and rerank over HTTP, to clients of Cohere, Jina, Voyage and TEI too.

    POST /search searches an index; POST /cohere/v2/rerank, /jina/v1/rerank, /voyage/v1/rerank and
    /tei/rerank rerank texts as those services do, /rerank, /v1/rerank and /v2/rerank as is asked
    for. Settings stand in the table [server] of rr.toml; docs/server.md tells of them. On SIGTERM
    it answers what it has been asked before it ends. The log is on standard error, a JSON object a
    line.
    """
    given: dict[str, Any] = {
        "indexes": list(indexes) or None,
        "models": _named(models) or None,
        "host": host,
        "port": port,
        "keys": keys,
    }
    settings = _with(given)
    # Here, as loading a web framework takes longer than --help may.
    serving = import_for("serve", "retrieve_rerank.server.running", extra="server")
    if only_check:
        serving.check(settings)
        say("The settings can be served.")
        return
    serving.log_to()
    serving.run(settings, on_listening=lambda url: say(f"Serving at {url}"))


def _with(given: dict[str, Any]) -> Settings:
    """Put what was given in place of what rr.toml and the environment say of the server."""
    settings = load_settings()
    said = settings.server.model_dump()
    changes = {name: value for name, value in given.items() if value is not None}
    server = type(settings.server).model_validate({**said, **changes})
    return settings.model_copy(update={"server": server})


def _named(models: tuple[str, ...]) -> dict[str, str]:
    named: dict[str, str] = {}
    for given in models:
        name, equals, model = given.partition("=")
        name, model = (name, model) if equals and "://" not in name else (given, given)
        if not name or not model:
            raise ConfigError(f"--model: expected MODEL or NAME=MODEL; got {given!r}")
        if name in named:
            raise ConfigError(f"--model: {name} is given twice")
        named[name] = model
    return named
