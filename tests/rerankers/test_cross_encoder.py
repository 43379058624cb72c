from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from retrieve_rerank import Document, Stage, Template, rank
from retrieve_rerank.errors import ConfigError, InputError
from retrieve_rerank.models.loading import BUNDLED_RERANKER
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from tests.models.tiny import MAX_TOKENS, QUERY, TEXTS, make_model

LONG = " ".join(TEXTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("cross-encoder"), "bert", labels=1)


@pytest.fixture(scope="module")
def reranker(folder: Path) -> CrossEncoder:
    return CrossEncoder(str(folder))


def test_scores_are_raw_logits_as_sentence_transformers_gives_them(folder: Path) -> None:
    from sentence_transformers import CrossEncoder as Peer
    from torch.nn import Identity

    peer = Peer(str(folder), activation_fn=Identity())
    expected = peer.predict([(QUERY, text) for text in TEXTS]).tolist()
    assert CrossEncoder(str(folder)).score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("query", "answer", "others"),
    [
        (
            "how long does shipping take",
            "Parcels arrive within three working days.",
            ["We ship to Spain, too.", "Shipping is a trade of the sea.", "It takes courage."],
        ),
        (
            "who wrote Faust",
            "Faust is a tragic play by Johann Wolfgang von Goethe.",
            ["The writers of the show went on strike.", "Faust was first shown in 1829."],
        ),
    ],
)
def test_the_bundled_reranker_tells_answers_from_what_shares_words(
    query: str, answer: str, others: list[str]
) -> None:
    first, *rest = CrossEncoder(BUNDLED_RERANKER).score(query, [answer, *others])
    assert first > max(rest)


def test_a_model_recommends_its_share_of_the_order(folder: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "model")
    assert Stage(CrossEncoder(copied)).share == 1.0
    (copied / "retrieve_rerank.json").write_text('{"weight": 0.3}')
    assert Stage(CrossEncoder(copied)).share == 0.3
    assert Stage(CrossEncoder(copied), weight=0.5).share == 0.5
    assert Stage(CrossEncoder(BUNDLED_RERANKER)).share == 0.4


def test_threads_get_the_scores_that_one_gets_alone(reranker: CrossEncoder) -> None:
    expected = reranker.score(QUERY, TEXTS)
    answers: list[list[float]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(reranker.score(QUERY, TEXTS)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert all(answer == pytest.approx(expected, abs=1e-5) for answer in answers)


async def test_tasks_get_the_scores_that_one_gets_alone(reranker: CrossEncoder) -> None:
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate(TEXTS))
    expected = reranker.rerank(QUERY, hits).hits
    for found in await asyncio.gather(*(reranker.arerank(QUERY, hits) for _ in range(16))):
        assert found.hits == expected


def test_the_template_says_what_is_read_of_a_document(folder: Path) -> None:
    hits = rank([(Document("a", "short", {"title": "The cat", "lang": "en"}), 0.0)])
    whole = CrossEncoder(str(folder)).rerank(QUERY, hits).hits[0].score
    assert whole == pytest.approx(CrossEncoder(str(folder)).score(QUERY, ["The cat short"])[0])
    text = CrossEncoder(str(folder), template="{text}").rerank(QUERY, hits).hits[0].score
    other = CrossEncoder(str(folder), template=Template("{text}")).rerank(QUERY, hits).hits[0].score
    assert text == other != whole


def test_a_template_that_no_document_fills_is_noted(folder: Path) -> None:
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate(filter(None, TEXTS)))
    [note] = CrossEncoder(folder, template="{nope}").rerank(QUERY, hits).notes
    assert note.startswith("no document has any field of the template '{nope}'")
    assert CrossEncoder(folder).rerank(QUERY, hits).notes == ()


def test_truncated_texts_are_counted(reranker: CrossEncoder) -> None:
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate(["short", LONG]))
    assert reranker.rerank(QUERY, hits).truncated == 1


def test_a_long_document_scores_as_its_best_passage(folder: Path, reranker: CrossEncoder) -> None:
    by_passages = CrossEncoder(str(folder), long_documents="passages")
    passages = reranker.model.passages(QUERY, LONG)
    assert len(passages) > 1
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate([LONG, "short"]))
    found = by_passages.rerank(QUERY, hits)
    scores = {hit.document.id: hit.score for hit in found.hits}
    assert scores["0"] == pytest.approx(max(reranker.score(QUERY, passages)), abs=1e-5)
    assert scores["1"] == pytest.approx(reranker.score(QUERY, ["short"])[0], abs=1e-5)
    assert found.truncated == 0, f"every passage fits into {MAX_TOKENS} tokens"


def test_an_unknown_way_with_long_documents_is_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match='"truncate" or "passages"; got \'cut\''):
        CrossEncoder(str(folder), long_documents="cut")  # type: ignore[arg-type]


def test_half_a_surrogate_pair_does_not_stop_a_search(reranker: CrossEncoder) -> None:
    halved = "wing \ud83d flutter"
    assert reranker.score(halved, [halved]) == reranker.score("wing ? flutter", ["wing ? flutter"])
    hits = rank((Document(str(n), text), 0.0) for n, text in enumerate([halved, "short"]))
    assert len(reranker.rerank(QUERY, hits).hits) == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_that_cannot_be_is_an_error(folder: Path, threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads must be at least 1; got {threads}"):
        CrossEncoder(folder, threads=threads)
