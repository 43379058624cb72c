"""What is made of settings: an index's address, an open index, a retriever."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from retrieve_rerank.base import (
    Connector,
    Embedder,
    Encoder,
    IndexReport,
    Reranker,
    Scorer,
    TensorRefreshing,
    Verifiable,
    Verification,
)
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.errors import ConfigError, IndexNotFoundError, RetrieveRerankError
from retrieve_rerank.models.catalog.rerank_apis import is_remote
from retrieve_rerank.models.loading import find_checkpoint, load_encoder
from retrieve_rerank.network.addresses import redacted
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.registry import connector_class, reranker_class
from retrieve_rerank.rerankers.cached import Cached, ScoreCache
from retrieve_rerank.rerankers.unavailable import Unavailable
from retrieve_rerank.settings.file import CONFIG_FILE
from retrieve_rerank.settings.promoted import PromotedStage, default_stages, unusable
from retrieve_rerank.settings.sources import (
    ConnectionSettings,
    FieldSettings,
    IndexSettings,
    Settings,
    StageSettings,
)
from retrieve_rerank.settings.stage_options import check_options

ON_ANY_CLIENT = ("timeout_s", "num_candidates", "hnsw_ef", "oversample", "fusion")
"""What is set for searching, as against reaching a server."""


def index_names(settings: Settings) -> list[str]:
    """List the indexes in rr.toml and the embedded ones in the data directory."""
    # The manifest is what makes a folder an index; an interrupted creation has none.
    found = [file.parent.name for file in (settings.data_dir / "indexes").glob("*/manifest.json")]
    return sorted({*settings.indexes, *found})


def locate(settings: Settings) -> IndexSettings:
    """Say where `settings.index` is, or the only index there is where none is named.

    Fields and encoders set for whichever index is in use beat the index's own settings; how to
    reach a server that is set for any fills in what the index's own leave open. Raises
    ConfigError where there are several indexes or none.
    """
    where = _find(settings)
    changes: dict[str, Any] = {}
    for name in ConnectionSettings.model_fields:
        value = getattr(settings, name)
        beats = name in FieldSettings.model_fields
        # An embedded index has no use for the credentials of servers that are set beside it.
        fills = getattr(where, name) is None and _scheme(where) != "embedded"
        if value is not None and (beats or fills):
            changes[name] = value
    return where.model_copy(update=changes)


def candidate_settings(settings: Settings) -> dict[str, Any]:
    """Return what decides, beside the index itself, which candidates a search finds in it."""
    deciding = {*FieldSettings.model_fields, "num_candidates", "hnsw_ef", "oversample", "fusion"}
    located = locate(settings).model_dump(mode="json", include=deciding, exclude_none=True)
    return {"candidates": settings.candidates, **located}


def _find(settings: Settings) -> IndexSettings:
    index = settings.index
    if index is None:
        names = index_names(settings)
        if not names:
            raise ConfigError("there is no index yet; make one: rr index SOURCE --index NAME")
        if len(names) > 1:
            raise ConfigError(
                f"there are several indexes: {', '.join(names)}; choose one with --index, "
                f'or set index = "{names[0]}" in {CONFIG_FILE}'
            )
        index = names[0]
    if index in settings.indexes:
        return settings.indexes[index]
    if "://" in index:
        return IndexSettings(url=index)
    if not index.strip():
        raise ConfigError("the index has an empty name; expected a name, a folder or a URL")
    if "/" in index or index.startswith((".", "~")):
        return IndexSettings(url=str(Path(index).expanduser()))
    return IndexSettings(url=str(settings.data_dir / "indexes" / index))


def open_index(
    settings: Settings, *, timeout_s: float | None = None, encoder: Embedder | None = None
) -> Connector:
    """Open the index that `locate` finds; raise IndexNotFoundError naming those there are.

    `timeout_s` bounds each request to a server where the index's settings do not; an `encoder`
    is in place of the one that is set.
    """
    where = locate(settings)
    options = _options_of(where)
    scheme = _scheme(where)
    if timeout_s is not None and scheme != "embedded":
        options.setdefault("timeout_s", timeout_s)
    if scheme == "embedded" and "encoder" in options:
        options["encoder"] = load_encoder(options["encoder"])
    if encoder is not None:
        options["encoder"] = encoder
    try:
        return _connector_of(where).connect(where.url, **options)
    except IndexNotFoundError as exc:
        if scheme != "embedded":
            name = settings.index or redacted(where.url)
            raise IndexNotFoundError(f"{exc}. Make it: rr index SOURCE --index {name}") from exc
        names = ", ".join(index_names(settings)) or "none"
        name = settings.index or redacted(where.url)
        if name in settings.indexes:
            raise IndexNotFoundError(
                f"index {name} is set to {redacted(where.url)}, where there is none. "
                f"Make it: rr index SOURCE --index {name}"
            ) from exc
        raise IndexNotFoundError(
            f"no index {name}; known: {names}. Make it: rr index SOURCE --index {name}"
        ) from exc


def open_on_client(
    settings: Settings, client: object, url: str, *, encoder: Embedder | None = None
) -> Connector:
    """Open the index at `url` on a client that is open already, and stays so.

    What is set for any index holds of it; how to reach the server is the client's business.
    """
    names = {*FieldSettings.model_fields, *ON_ANY_CLIENT}
    given = {name: getattr(settings, name) for name in names}
    where = IndexSettings(
        url=url, **{name: value for name, value in given.items() if value is not None}
    )
    options = {**_options_of(where), "client": client}
    if encoder is not None:
        options["encoder"] = encoder
    return _connector_of(where).connect(where.url, **options)


def create_index(
    settings: Settings,
    *,
    encoder: Encoder | None,
    language: str | None = None,
    recreate: bool = False,
) -> Connector:
    """Make an empty index where `locate` says; None as encoder makes it lexical only.

    `language` is the documents', as `detect_language` names it. Raises IndexExistsError, unless
    told to `recreate` the index: then it takes the place of one that is there once activated.
    """
    where = locate(settings)
    options = {**_options_of(where), "encoder": encoder, "language": language}
    connector = _connector_of(where)
    make = connector.recreate if recreate else connector.create
    return make(where.url, **options)


def verify_index(settings: Settings) -> Verification:
    """Look at everything in the index that `locate` finds; ConfigError for one at a server."""
    where = locate(settings)
    connector = connector_class(_scheme(where))
    if not issubclass(connector, Verifiable):
        raise ConfigError("only an embedded index can be verified; a server looks after its own")
    return connector.verify(where.url)


def refresh_tensors(
    settings: Settings, encoder: Encoder, *, on_progress: Callable[[int], None] | None = None
) -> IndexReport:
    """Make the token tensors of the embedded index that `locate` finds anew."""
    where = locate(settings)
    connector = connector_class(_scheme(where))
    if not issubclass(connector, TensorRefreshing):
        raise ConfigError(f"{where.url} is no embedded index, whose token tensors are part of it")
    return connector.refresh_tensors(where.url, encoder, on_progress=on_progress)


def build_retriever(
    settings: Settings, opening: Callable[[Settings], Connector] = open_index
) -> Retriever:
    """Open the index and set up the stages; closing the retriever closes the index.

    What is wrong with any stage's options is found before the index is opened or a model loaded. A
    promoted model that cannot be loaded is a stage that fails, after those that it was to replace.
    """
    for stage in settings.stages or ():
        check_stage(stage)
    connector = opening(settings)
    try:
        return retriever_on(connector, settings)
    except BaseException:
        connector.close()
        raise


def retriever_on(connector: Connector, settings: Settings) -> Retriever:
    """Set up the stages on an index that is open, as `build_retriever` does."""
    return Retriever(
        connector,
        *_stages(settings.stages, connector),
        candidates=settings.candidates,
        top_k=settings.top_k,
        deadline_s=settings.deadline_s,
    )


def _stages(stages: Sequence[StageSettings] | None, connector: Connector) -> list[Stage]:
    if stages is None:
        stages = default_stages(token_tensors=connector.schema().token_tensors)
    made: list[Stage] = []
    for stage in stages:
        try:
            made.append(build_stage(stage, connector))
        except RetrieveRerankError as exc:
            if not isinstance(stage, PromotedStage):
                raise
            why = unusable(stage.promotion, exc)
            fails = Stage(Unavailable(stage.promotion.address, why))
            return [*_stages(stage.instead, connector), fails]
    return made


def reranker_of(model: str | None) -> str:
    """Name the reranker that runs a model: a cross-encoder if it scores pairs, else MaxSim.

    Models of services, such as cohere:rerank-v3.5, are remote.
    """
    if model is not None and is_remote(model):
        return "remote"
    if model is None or find_checkpoint(model).folder.labels is None:
        return "max-sim"
    return "cross-encoder"


def check_stage(stage: StageSettings) -> type[Reranker]:
    """Return a stage's class; raise what is wrong with its options that no model need tell."""
    reranker = reranker_class(stage.reranker)
    check_options(stage.reranker, reranker, stage.options)
    if stage.cache is not False and not issubclass(reranker, Scorer):
        raise _nothing_to_cache(stage)
    return reranker


def build_stage(stage: StageSettings, connector: Connector) -> Stage:
    """Make the reranker of one stage; `connector` is where its hits will come from."""
    reranker = check_stage(stage)
    made = reranker.configure(connector, **stage.options)
    if stage.cache is not False:
        if not isinstance(made, Scorer):
            raise _nothing_to_cache(stage)
        made = Cached(made, ScoreCache(None if stage.cache is True else stage.cache))
    return Stage(made, stage.depth, stage.weight, stage.min_probability)


def _nothing_to_cache(stage: StageSettings) -> ConfigError:
    return ConfigError(f"reranker {stage.reranker!r} gives no scores that could be cached")


def _scheme(where: IndexSettings) -> str:
    return where.url.partition("://")[0] if "://" in where.url else "embedded"


def _connector_of(where: IndexSettings) -> type[Connector]:
    """Return the class of an index's backend; raise ConfigError where its URL names none."""
    scheme = _scheme(where)
    if scheme in ("http", "https"):
        kinds = ("elasticsearch", "qdrant")
        if re.search(r":633\d/", where.url):
            kinds = kinds[::-1]
        secure = "+https" if scheme == "https" else ""
        likely, other = (f"{kind}{secure}://" for kind in kinds)
        rest = redacted(where.url).partition("://")[2]
        raise ConfigError(
            f"{scheme}:// does not say which server it is; expected {likely}{rest}, or {other} "
            "for the other kind"
        )
    return connector_class(scheme)


def _options_of(where: IndexSettings) -> dict[str, Any]:
    """What a connector is opened with: all that is set, secrets as they are."""
    options = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in where
        if name != "url" and value is not None
    }
    if where.fusion is not None:
        options["fusion"] = Fusion(where.fusion.method, where.fusion.weights)
    return options
