"""What is served: models and indexes by name, each replaced whole when another is promoted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from retrieve_rerank.base import Connector, Reranker, Scorer
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ModelNotFoundError, NotPromotedError, RetrieveRerankError
from retrieve_rerank.models.checkpoints.version_lookup import find_version
from retrieve_rerank.models.checkpoints.versions import PROMOTED_FILE, Promotion, models_folder
from retrieve_rerank.models.runtimes.common_batches import BatchReport, CommonBatches
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.rerankers.cached import Cached
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.rerankers.unavailable import Unavailable
from retrieve_rerank.server.attempts import Attempts
from retrieve_rerank.server.chosen import check_indexes, indexes_of, models_of
from retrieve_rerank.server.refusals import Refusal
from retrieve_rerank.settings.build import (
    build_stage,
    check_stage,
    locate,
    open_index,
    reranker_of,
    retriever_on,
)
from retrieve_rerank.settings.promoted import index_address, promoted_in, with_promoted
from retrieve_rerank.settings.sources import Settings, StageSettings
from retrieve_rerank.types import Document, rank

T = TypeVar("T")

logger = logging.getLogger(__name__)

WARM_UP = "what is this about"

_STAYS = "%s stays as it is: what is promoted cannot be loaded, tried again in %.0f s: %s"

OnBatch = Callable[[str, BatchReport], None]
"""(name of what is served, what a batch of it was)"""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A reranker, and which version of it."""

    name: str
    reranker: Reranker
    version: str
    """Folder of the version that is promoted; empty for models that have none."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever its scores would; empty where that cannot be told."""
        return self.reranker.fingerprint if isinstance(self.reranker, Scorer) else ""


@dataclass(frozen=True, slots=True)
class ServedIndex:
    """An index that is searched, and what is promoted for it."""

    name: str
    retriever: Retriever
    promotion: Promotion | None
    versions: Sequence[str]
    """Of each stage as `ServedModel.version`."""

    def scored(self, top_k: int | None) -> int:
        """How many documents a search has models here score; at least 1."""
        candidates = max(self.retriever.candidates, top_k or self.retriever.top_k)
        depths = [
            min(stage.depth or candidates, candidates)
            for stage in self.retriever.stages
            if isinstance(stage.reranker, Scorer)
        ]
        return max(1, sum(depths))


class Served:
    """All that a server serves; `refresh` takes over what has been promoted since."""

    def __init__(self, settings: Settings, *, on_batch: OnBatch) -> None:
        """Open all indexes and load all models; raise what is wrong with any of them."""
        check_indexes(settings)
        self._settings = settings
        self._on_batch = on_batch
        self._promoted = self._promotions()
        self.attempts = Attempts()
        """To take over what is promoted, by what it is for."""
        self.models = {name: self._load(name) for name in models_of(settings)}
        self.indexes: dict[str, ServedIndex] = {}
        try:
            for name in indexes_of(settings):
                self.indexes[name] = self._open(name)
                if _unavailable(self.indexes[name]):  # searches say why
                    self.attempts.failed(f"index {name}")
        except BaseException:
            self.close()
            raise

    def model(self, name: str | None) -> ServedModel:
        """Return a model by its name, the first where there is none."""
        return _named(self.models, name, "model")

    def index(self, name: str | None) -> ServedIndex:
        """Return an index by its name, the first where there is none."""
        return _named(self.indexes, name, "index")

    def warm_up(self) -> None:
        """Use each model and index once, so that the first request is not the slowest.

        What fails, as where a server is away, is logged: requests will say so.
        """
        all_of_it: list[ServedModel | ServedIndex] = [*self.models.values(), *self.indexes.values()]
        for served in all_of_it:
            try:
                _use(served)
            except Exception as exc:
                told = "the warm-up of %s failed: %s"
                logger.error(told, served.name, exc, exc_info=_unexpected(exc))

    def refresh(self) -> list[str]:
        """Take over what was promoted or rolled back; return the names of what has changed.

        What is promoted and cannot be loaded is logged and tried again, and what has served goes on
        serving.
        """
        found = self._promotions()
        anew = found != self._promoted
        self._promoted = found
        changed = self._refresh(self.models, "model", self._renewed_model, anew=anew)
        return changed + self._refresh(self.indexes, "index", self._renewed_index, anew=anew)

    def close(self) -> None:
        """Close the indexes."""
        for index in self.indexes.values():
            index.retriever.close()

    def _refresh(
        self, there: dict[str, T], kind: str, renewed: Callable[[T], T | None], *, anew: bool
    ) -> list[str]:
        """Replace what is out of date, all where `anew`, else what is due another attempt."""
        changed = []
        for name, served in list(there.items()):
            attempt = f"{kind} {name}"
            if not (anew or self.attempts.due(attempt)):
                continue
            try:
                new = renewed(served)
            except Exception as exc:
                pause_s = self.attempts.failed(attempt)
                logger.error(_STAYS, attempt, pause_s, exc, exc_info=_unexpected(exc))
            else:
                self.attempts.done(attempt)
                if new is not None:
                    there[name] = new
                    changed.append(name)
        return changed

    def _promotions(self) -> object:
        """Tell what is promoted from what was, without reading it."""
        files = models_folder(self._settings.data_dir).glob(f"*/{PROMOTED_FILE}")
        states = [(str(file), file.stat()) for file in sorted(files)]
        return [(name, state.st_ino, state.st_mtime_ns, state.st_size) for name, state in states]

    def _load(self, name: str) -> ServedModel:
        chosen = models_of(self._settings)[name]
        version = _version(chosen)
        model = chosen.options.get("model")
        stage = chosen.model_copy(update={"reranker": chosen.reranker or reranker_of(model)})
        reranker = build_stage(stage, MemoryConnector()).reranker
        self._share(name, reranker)
        return ServedModel(name, reranker, version)

    def _renewed_model(self, model: ServedModel) -> ServedModel | None:
        """Load what is promoted by now and use it once; None where that is served.

        Where nothing is any more, as of a bad model that was rolled back, nothing takes its place.
        """
        try:
            version = _version(models_of(self._settings)[model.name])
        except NotPromotedError as exc:
            if isinstance(model.reranker, Unavailable):
                return None
            logger.warning("requests for model %s are refused from now on: %s", model.name, exc)
            return ServedModel(model.name, Unavailable(model.name, str(exc)), "")
        if version == model.version:
            return None
        model = self._load(model.name)
        _use(model)
        return model

    def _settings_of(self, name: str) -> Settings:
        settings = self._settings.model_copy(update={"index": name})
        return with_promoted(settings, index_address(locate(settings)))

    def _open(self, name: str) -> ServedIndex:
        settings = self._settings_of(name)
        for stage in settings.stages or ():
            check_stage(stage)
        connector = open_index(settings)
        try:
            return self._on(connector, name, settings)
        except BaseException:
            connector.close()
            raise

    def _on(self, connector: Connector, name: str, settings: Settings) -> ServedIndex:
        retriever = retriever_on(connector, settings)
        for stage in retriever.stages:
            self._share(name, stage.reranker)
        return ServedIndex(name, retriever, _promotion(settings), _versions(settings))

    def _renewed_index(self, index: ServedIndex) -> ServedIndex | None:
        """Set what is promoted by now up on the index that is open; None where that serves.

        Searches under way keep their stages.
        """
        settings = self._settings_of(index.name)
        served = (_promotion(settings), _versions(settings)) == (index.promotion, index.versions)
        if served and not _unavailable(index):
            return None
        made = self._on(index.retriever.connector, index.name, settings)
        if why := _unavailable(made):
            raise ModelNotFoundError(why)
        made.retriever.search(WARM_UP, on_error="raise")
        return made

    def _share(self, name: str, reranker: Reranker) -> None:
        """Have a cross-encoder's pairs run in batches with those of other requests."""
        if isinstance(reranker, Cached):
            reranker = reranker.scorer
        if isinstance(reranker, CrossEncoder):
            model = reranker.model
            model.run = CommonBatches(
                model.backend,
                pad_id=model.pad_id,
                on_batch=lambda report: self._on_batch(name, report),
            ).run


def _use(served: ServedModel | ServedIndex) -> None:
    if isinstance(served, ServedIndex):
        served.retriever.search(WARM_UP)
    else:
        served.reranker.rerank(WARM_UP, rank([(Document("0", WARM_UP), 0.0)]))


def _version(model: StageSettings) -> str:
    name = model.options.get("model")
    folder = find_version(name) if isinstance(name, str) else None
    return "" if folder is None else str(folder)


def _versions(settings: Settings) -> list[str]:
    return [_version(stage) for stage in settings.stages or ()]


def _promotion(settings: Settings) -> Promotion | None:
    stage = promoted_in(settings.stages)
    return None if stage is None else stage.promotion


def _unavailable(index: ServedIndex) -> str:
    """Say why what is promoted for an index does not serve; empty where it does."""
    stages = (stage.reranker for stage in index.retriever.stages)
    return next((each.why for each in stages if isinstance(each, Unavailable)), "")


def _unexpected(error: Exception) -> Exception | None:
    """Return what has a traceback worth reading."""
    return None if isinstance(error, RetrieveRerankError) else error


def _named(there: Mapping[str, T], name: str | None, kind: str) -> T:
    if not there:
        raise Refusal(404, f"no {kind} is served here")
    if name is None:
        return next(iter(there.values()))
    if name not in there:
        raise Refusal(404, f"no {kind} {name!r:.80} is served here; known: {', '.join(there)}")
    return there[name]
