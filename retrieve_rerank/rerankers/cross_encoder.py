"""Cross-encoders: query and document read together by one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from retrieve_rerank.base import TextScores
from retrieve_rerank.errors import InputError, ModelError
from retrieve_rerank.models.checkpoints.calibration import Calibration, read_calibration
from retrieve_rerank.models.checkpoints.folder import SETTINGS_FILE
from retrieve_rerank.models.checkpoints.folder_schema import OURS, read_settings
from retrieve_rerank.models.checkpoints.labels import Label
from retrieve_rerank.models.loading import load_pair_model
from retrieve_rerank.models.pair_model import PairModel, PairScores
from retrieve_rerank.rerankers.drop_in import DropIn, readable_pairs
from retrieve_rerank.text.template import Template

DEFAULT_MODEL = "ms-marco-MiniLM-L6-v2"
"""Small and English; fetched from the hub when it is first used."""

OVERLAP = 32
"""Tokens that a passage of a long document shares with the one before."""


class CrossEncoder(DropIn):
    """Score texts by a cross-encoder's raw logit.

    `long_documents` says what becomes of a text that the model cannot read whole: "truncate"
    reads its beginning, and counts it; "passages" scores all of it in overlapping passages and
    takes the best, at the price of a forward pass for each. `label` chooses among a model's
    several labels: a number from 0, a name, or "expectation" for what their probabilities expect.
    `calibration` is the folder in which `rr calibrate` has put one, where that is not the model's
    own.

    `max_length` is how many tokens of query and text the model reads, special tokens included,
    where that is not what the checkpoint records. It, `device`, `threads` and `label` are for a
    model given by name. `num_labels` is taken for the sake of code written for
    sentence-transformers: it must be what the checkpoint has.
    """

    name = "cross-encoder"

    def __init__(
        self,
        model: PairModel | Path | str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        threads: int | None = None,
        template: Template | str | None = None,
        long_documents: Literal["truncate", "passages"] = "truncate",
        label: Label | None = None,
        calibration: Path | str | None = None,
        max_length: int | None = None,
        num_labels: int | None = None,
    ) -> None:
        if long_documents not in ("truncate", "passages"):
            raise InputError(
                f'long_documents must be "truncate" or "passages"; got {long_documents!r}'
            )
        if isinstance(model, Path | str):
            model = load_pair_model(
                str(model), device=device, threads=threads, label=label, max_tokens=max_length
            )
        self.model = model
        self.num_labels = model.folder.labels or 1
        if num_labels not in (None, self.num_labels):
            raise InputError(
                f"{model.name} gives each pair {self.num_labels} labels; num_labels={num_labels}"
                " would need a head that has yet to be trained"
            )
        if template is None:
            self.template = model.template
        else:
            self.template = Template(template) if isinstance(template, str) else template
        if model.folder.weight is not None:
            self.default_weight = model.folder.weight
        self.long_documents = long_documents
        self.calibration = self._find_calibration(calibration)

    @property
    def fingerprint(self) -> str:
        """The model's, with what else its scores depend on."""
        how = f"{self.model.label_score} {self.long_documents} {self.model.max_tokens}"
        return f"{self.model.fingerprint} {how}"

    def probabilities(self, scores: Sequence[float]) -> list[float] | None:
        """Turn scores into probabilities of relevance; None where the model has no calibration."""
        return None if self.calibration is None else self.calibration(scores)

    def for_user(self, query: str, user: str) -> str:
        """Put the user's text into the query, as the model's folder says; the query if not."""
        return self.model.folder.for_user(query, user)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text against the query; raw logits, higher is more relevant."""
        return self.score_pairs([(query, text) for text in texts])

    def score_pairs(self, pairs: Iterable[tuple[str, str]]) -> list[float]:
        """Score each (query, text) as `score` does, all in one go; raise InputError for others."""
        scores: list[float] = self._score(pairs).scores.tolist()
        return scores

    def score_texts(self, query: str, texts: Sequence[str]) -> TextScores:
        """Score each text as `score` does, and tell which were not read to the end."""
        read = self._score([(query, text) for text in texts])
        return TextScores(read.scores.tolist(), read.pairs_truncated, read.query_truncated)

    def _find_calibration(self, where: Path | str | None) -> Calibration | None:
        """Read what was fitted for this label's scores; raise ModelError if it is not there."""
        if where is None:
            found = self.model.folder.calibration
            return found if found and found.label == self.model.label_score.column else None
        file = Path(where).expanduser() / SETTINGS_FILE
        found = read_calibration(read_settings(file, OURS), where=file)
        if found is None or found.label != self.model.label_score.column:
            raise ModelError(f"{file} holds no calibration of these scores; rr calibrate makes one")
        return found

    def _score(self, given: Iterable[tuple[str, str]]) -> PairScores:
        pairs = readable_pairs(given)
        if not pairs:
            return PairScores(np.empty(0, dtype=np.float32), [], query_truncated=False)
        # Each once: in another row of a batch equal pairs would differ by rounding, and not tie.
        different = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        read = self._read(list(different))
        places = [different[pair] for pair in pairs]
        cut = [read.pairs_truncated[place] for place in places]
        return PairScores(read.scores[places], cut, read.query_truncated)

    def _read(self, pairs: Sequence[tuple[str, str]]) -> PairScores:
        if self.long_documents == "truncate":
            return self.model.score(pairs)
        passages = [self.model.passages(query, text, overlap=OVERLAP) for query, text in pairs]
        answer = self.model.score(
            [
                (query, part)
                for (query, _), parts in zip(pairs, passages, strict=True)
                for part in parts
            ]
        )
        starts = np.cumsum([0, *(len(parts) for parts in passages[:-1])])
        best = np.maximum.reduceat(answer.scores, starts)
        cut = np.logical_or.reduceat(answer.pairs_truncated, starts).tolist()
        return PairScores(best, cut, answer.query_truncated)
