"""A code that one document holds stays first, whatever the stages can read of that document."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from retrieve_rerank import Document, Retriever, Scorer, Stage
from retrieve_rerank.connectors.embedded import EmbeddedConnector
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.rerankers.max_sim import MaxSim

WORDS = [
    "valve",
    "pump",
    "boiler",
    "flange",
    "gasket",
    "turbine",
    "rotor",
    "blade",
    "shaft",
    "seal",
    "bearing",
    "nozzle",
    "pipe",
]


class Beginning(Scorer):
    """Scores a text by the words of the query among its first thirty, as a model of few tokens."""

    name = "beginning"

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        asked = query.split()
        return [sum(word in asked for word in text.split()[:30]) for text in texts]


def test_interpolation_does_not_bury_a_hit_that_only_words_find(tmp_path: Path) -> None:
    draw = random.Random(4)
    documents = [Document(f"m{n}", " ".join(draw.choices(WORDS, k=36))) for n in range(130)]
    documents.append(Document("near", " ".join([*draw.choices(WORDS, k=36), "X77Q12"])))
    documents.append(Document("deep", " ".join([*draw.choices(WORDS, k=400), "Q9-ZZ4"])))
    encoder = load_encoder()
    with EmbeddedConnector.create(tmp_path / "index", encoder=encoder) as connector:
        connector.index(documents)
        stages = [Stage(DatabaseMaxSim(connector), weight=weight) for weight in (None, 0.3)]
        stages += [Stage(Beginning(), weight=weight) for weight in (0.5, 0.3)]
        for stage in stages:
            retriever = Retriever(connector, stage)
            for query, wanted in (
                ("X77Q12", "near"),
                ("Q9-ZZ4", "deep"),
                ("pump X77Q12", "near"),
                ("pump valve Q9-ZZ4", "deep"),
            ):
                found = [hit.document.id for hit in retriever.search(query)]
                assert wanted in found, (stage, query)
        alone = Retriever(connector, Beginning()).search("pump X77Q12")
        assert "near" not in [hit.document.id for hit in alone], "without weight it is the model's"


def test_a_lone_word_does_not_outrank_what_vectors_and_tensors_find(tmp_path: Path) -> None:
    draw = random.Random(7)
    documents = [Document(f"m{n}", " ".join(draw.choices(WORDS, k=20))) for n in range(60)]
    documents.append(Document("polite", " ".join([*draw.choices(WORDS, k=20), "kindly"])))
    documents.append(Document("right", "You get your money back within fourteen days."))
    encoder = load_encoder()
    with EmbeddedConnector.create(tmp_path / "index", encoder=encoder) as connector:
        connector.index(documents)
        query = "could you kindly explain how I get a refund?"
        [first, *_] = Retriever(connector, MaxSim(encoder)).search(query)
        assert first.document.id == "right"
