"""Mining into a file: broken off at any moment, the same call goes on, to the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from retrieve_rerank.base import Scorer
from retrieve_rerank.errors import InputError, RetrieveRerankError, shown
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.converting import grouped_line
from retrieve_rerank.training.mining.journal import Journal
from retrieve_rerank.training.mining.mine import Mining
from retrieve_rerank.training.mining.report import Mined

EVERY_S = 1.0
"""Seconds of work that a kill may cost."""


class MiningStoppedError(RetrieveRerankError):
    """Mining had to stop; what was mined is kept, and the same call goes on."""


def mine_to_file(
    mining: Mining,
    output: Path,
    *,
    accept_changes: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Mined:
    """Mine into a file of groups, gzipped where its name ends in .gz, and return the report.

    The file is there only when it is whole; until then the groups are in `output.partial`, and
    `output.mining` has the settings and how far it has come, and stays as the record of it. The
    same call after an interruption goes on where it was; for exact search on an index that has not
    changed it gives the same bytes. `on_progress` hears how many queries were done since it was
    last called, first those of earlier runs.

    Raises InputError where the file was or is being mined otherwise, and MiningStoppedError where a
    search fails, or where the number of documents in the index changes and `accept_changes` is
    not set.
    """
    settings = describe(mining)
    tell = on_progress or (lambda count: None)
    partial = Path(f"{output}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with Journal(journal_path(output)) as journal:
            _check(journal, settings, output, partial)
            tell(journal.done)
            if not output.exists():
                try:
                    with partial.open("ab") as file:
                        if file.tell() < journal.end:
                            raise InputError(f"{partial} was cut off; remove it to begin anew")
                        file.truncate(journal.end)
                        file.seek(journal.end)  # else it tells where the end was before
                        _go_on(mining, journal, file, accept_changes=accept_changes, tell=tell)
                    if not journal.report.groups:
                        raise InputError(_why_none(journal.report))
                finally:
                    if not journal.report.groups:  # nothing to go on with
                        partial.unlink(missing_ok=True)
                        journal.path.unlink(missing_ok=True)
                _put_in_place(partial, output)
            report = Mined(textless=mining.textless)
            report.add(journal.report)
            return report
    except OSError as exc:
        raise MiningStoppedError(
            f"cannot write {output}: {exc.strerror or exc}; what was mined is kept, and the same"
            " command goes on"
        ) from exc


def recorded_settings(output: Path) -> Mapping[str, Any] | None:
    """Return what `describe` said of the mining into a file, None where none was begun."""
    path = journal_path(output)
    if not path.exists():
        return None
    with Journal(path) as journal:
        return journal.settings


def journal_path(output: Path) -> Path:
    """Say where the record of mining into a file is."""
    return Path(f"{output}.mining")


def describe(mining: Mining) -> dict[str, Any]:
    """Say in JSON's types all that groups depend on, but for the documents in the index."""
    schema = mining.retriever.connector.schema()
    judged = {
        query: [mining.queries.get(query), its, *filter(None, [mining.users.get(query)])]
        for query, its in mining.qrels.items()
    }
    return {
        "index": schema.location,
        "encoder": schema.encoder,
        "rankings": list(schema.rankings),
        "candidates": mining.retriever.candidates,
        "stages": [
            {**_name(stage.reranker), "depth": stage.depth, "weight": stage.weight}
            for stage in mining.retriever.stages
        ],
        "queries": len(mining.qrels),
        "judgments": hashlib.blake2b(json.dumps(judged).encode(), digest_size=8).hexdigest(),
        "negatives": mining.negatives,
        "rules": _jsonable(asdict(mining.rules)),
        "sampling": mining.sampling,
        "seed": mining.seed,
        "scorer": None if mining.scorer is None else _name(mining.scorer),
        "veto": None if mining.veto is None else mining.veto.to_dict(),
        "filter": None if mining.filter is None else repr(mining.filter),
        "exclude_self": mining.exclude_self,
        "exact": mining.exact,
        "template": None if mining.template == Template() else mining.template.pattern,
    }


def _name(reranker: object) -> dict[str, Any]:
    fingerprint = reranker.fingerprint if isinstance(reranker, Scorer) else ""
    return {"name": getattr(reranker, "name", ""), "fingerprint": fingerprint}


def _jsonable(rules: dict[str, Any]) -> dict[str, Any]:
    return {**rules, "exclude_same": list(rules["exclude_same"])}


def _check(journal: Journal, settings: Mapping[str, Any], output: Path, partial: Path) -> None:
    """Begin a new journal, or make sure that this one is of the same mining."""
    if journal.settings is None or not (output.exists() or partial.exists()):
        if output.exists():
            raise InputError(f"{output} is there already; name another file, or remove it")
        journal.start(settings)
        return
    differing = [
        f"{name} was {shown(str(journal.settings.get(name)))} and is {shown(str(value))}"
        for name, value in settings.items()
        if journal.settings.get(name) != value
    ]
    if differing:
        raise InputError(
            f"{output} was begun with other settings: {'; '.join(differing)}. Name another file,"
            f" or remove {output if output.exists() else partial} and {journal.path}"
        )


def _go_on(
    mining: Mining,
    journal: Journal,
    file: IO[bytes],
    *,
    accept_changes: bool,
    tell: Callable[[int], None],
) -> None:
    """Append the groups of the queries that are left, and record them from time to time."""
    stretch, saved = Mined(), time.monotonic()

    def save() -> None:
        documents = mining.retriever.connector.count()
        if journal.documents not in (None, documents) and not accept_changes:
            raise InputError(
                f"the index has changed: it had {journal.documents:,} documents and has"
                f" {documents:,}. Groups of both would be mixed: accept that (--accept-changes), or"
                " begin anew under another name."
            )
        file.flush()
        os.fsync(file.fileno())
        journal.reached(stretch, end=file.tell(), documents=documents)

    try:
        save()
        for group, report in mining.outcomes(done=journal.done):
            if group is not None:
                file.write(grouped_line(group))
            stretch.add(report)
            tell(1)
            if time.monotonic() - saved >= EVERY_S:
                save()
                stretch, saved = Mined(), time.monotonic()
        save()
    except RetrieveRerankError as exc:
        if not journal.done:
            raise
        total = len(mining.qrels) - mining.textless
        raise MiningStoppedError(
            f"{str(exc).rstrip('.')}. Of {total:,} queries {journal.done:,} are mined and kept; the"
            " same command goes on with the others"
        ) from exc


def _why_none(report: Mined) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.most_common())
    return (
        f"no group could be mined: of {report.queries:,} queries {len(report.without_positive):,}"
        f" have no relevant text in the index, and {len(report.without_negative):,} no negative."
        f" Hits were left out by: {reasons or 'nothing, as there were none'}. Look deeper, or"
        " loosen the rules"
    )


def _put_in_place(partial: Path, output: Path) -> None:
    if output.suffix == ".gz":
        packed = Path(f"{output}.packed")
        with packed.open("wb") as raw, partial.open("rb") as plain:
            # Without name and time in its header, so that the same groups give the same bytes.
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as stream:
                shutil.copyfileobj(plain, stream)
            os.fsync(raw.fileno())
        os.replace(packed, output)
        partial.unlink()
    else:
        os.replace(partial, output)
