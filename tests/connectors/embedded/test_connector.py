from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank import Candidates, Document, Encoder, Range
from retrieve_rerank.base import Encoding
from retrieve_rerank.connectors.embedded import EmbeddedConnector, EmbeddedSettings
from retrieve_rerank.connectors.embedded.manifest import FORMAT
from retrieve_rerank.connectors.hybrid import Fusion
from retrieve_rerank.connectors.lexical import LEFT_OUT
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import (
    ConfigError,
    ConnectorError,
    IndexCorruptError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    ModelError,
    ModelNotFoundError,
)
from retrieve_rerank.models.encoders.token_pooling import pool_tokens
from retrieve_rerank.models.loading import load_encoder
from retrieve_rerank.testing import HashingEncoder

WORDS = ["lift", "drag", "wing", "body", "heat", "pipe", "flow", "shock", "layer", "cone", "jet"]


def sentences(count: int) -> list[Document]:
    randomly = np.random.default_rng(3)
    return [
        Document(f"d{i}", " ".join(randomly.choice(WORDS, size=randomly.integers(3, 12))), {"i": i})
        for i in range(count)
    ]


def made(folder: Path, encoder: Encoder | None, documents: Sequence[Document] = ()) -> Path:
    with EmbeddedConnector.create(folder, encoder=encoder) as connector:
        connector.index(documents)
    return folder


def test_what_was_written_is_there_when_reopened(tmp_path: Path) -> None:
    documents = sentences(50)
    encoder = HashingEncoder()
    folder = tmp_path / "some" / "new folder"
    with EmbeddedConnector.create(folder, encoder=encoder) as connector:
        connector.index(documents)
        before = connector.search_max_sim("lift of a cone", top_k=50)
        schema = connector.schema()
    for url in (str(folder), f"embedded://{folder}"):
        with EmbeddedConnector.connect(url, encoder=HashingEncoder()) as connector:
            assert connector.search_max_sim("lift of a cone", top_k=50) == before
            assert sorted(connector.scan(), key=lambda document: document.id) == sorted(
                documents, key=lambda document: document.id
            )
            assert connector.schema().fields == schema.fields
            assert connector.index(documents).unchanged == 50


def test_an_index_is_not_made_over_another_nor_over_other_files(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", None, sentences(3))
    with pytest.raises(IndexExistsError, match=r"there is an index at .* already"):
        EmbeddedConnector.create(folder, encoder=None)
    with EmbeddedConnector.connect(str(folder)) as connector:
        assert connector.count() == 3
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(IndexExistsError, match="holds other files"):
        EmbeddedConnector.create(tmp_path, encoder=None)


def test_an_interrupted_creation_is_made_anew(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", None, sentences(3))
    (folder / "manifest.json").rename(folder / "manifest.draft.json")
    with pytest.raises(IndexNotFoundError):
        EmbeddedConnector.connect(str(folder))
    with EmbeddedConnector.create(folder, encoder=None) as connector:
        assert connector.count() == 0


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_no_index_is_an_error_that_says_how_to_make_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IndexNotFoundError, match=r"no index at .*; make one: rr index SOURCE"):
        EmbeddedConnector.connect(str(tmp_path / name))
    assert not (tmp_path / "nowhere").exists()


def test_options_of_other_backends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an embedded index takes no api_key"):
        EmbeddedConnector.connect(str(tmp_path), api_key="secret")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1, "settings": {"x": 1}}'])
def test_a_broken_manifest_is_an_error_that_says_what_to_do(tmp_path: Path, content: str) -> None:
    folder = made(tmp_path / "index", None)
    (folder / "manifest.json").write_text(content)
    with pytest.raises(IndexCorruptError, match=r"manifest\.json cannot be read .*backup"):
        EmbeddedConnector.connect(str(folder))


def test_an_index_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", None)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": FORMAT + 1}))
    with pytest.raises(IndexMismatchError, match="newer release; upgrade"):
        EmbeddedConnector.connect(str(folder))


@pytest.mark.parametrize("victim", ["shard", "shard/segments", "segment.json", "edge_config.json"])
def test_broken_files_are_an_error_that_says_what_to_do(tmp_path: Path, victim: str) -> None:
    folder = made(tmp_path / "index", HashingEncoder(), sentences(20))
    if "." in victim:
        [file] = (folder / "shard").rglob(victim)
        file.write_bytes(b"broken")
    else:
        shutil.rmtree(folder / victim)
        (folder / victim).touch()
    with pytest.raises(IndexCorruptError, match=r"is damaged: .*make it anew from its sources"):
        EmbeddedConnector.connect(str(folder))


def test_another_encoder_than_the_recorded_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", HashingEncoder(32))
    with pytest.raises(IndexMismatchError) as raised:
        EmbeddedConnector.connect(str(folder), encoder=HashingEncoder(16, name="other"))
    assert "hashing (32 dimensions, fingerprint hashing-32-64)" in str(raised.value)
    assert "other (16 dimensions, fingerprint hashing-16-64)" in str(raised.value)
    with EmbeddedConnector.connect(str(folder), encoder=HashingEncoder(32, name="alias")):
        pass  # the name may differ, the vectors may not
    lexical = made(tmp_path / "lexical", None)
    with pytest.raises(IndexMismatchError, match="made without an encoder"):
        EmbeddedConnector.connect(str(lexical), encoder=HashingEncoder())


def test_a_model_is_looked_for_only_when_a_search_needs_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", HashingEncoder(name="./no-such-model"), sentences(5))
    with EmbeddedConnector.connect(str(folder)) as connector:
        assert connector.schema().encoder == "./no-such-model"
        assert connector.count() == len(list(connector.scan())) == 5
        with pytest.raises(ModelNotFoundError):
            connector.search("lift", top_k=1)
    lexical = Fusion(weights={"dense": 0.0})
    with EmbeddedConnector.connect(str(folder), fusion=lexical) as connector:
        hits = connector.search("lift wing", top_k=5)
        assert {name for hit in hits for name in hit.sources} == {"bm25"}


def test_lexical_search_imports_no_inference_library(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", None, sentences(5))
    program = (
        "import sys; from retrieve_rerank.connectors.embedded import EmbeddedConnector\n"
        f"with EmbeddedConnector.connect({str(folder)!r}) as connector:\n"
        "    assert connector.search('wing', top_k=5) and connector.schema()\n"
        "sys.exit(bool({'openvino', 'torch', 'tokenizers', 'pydantic'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_model_in_a_folder_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = load_encoder().folder.path
    (tmp_path / "model").symlink_to(bundled)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    folder = made(tmp_path / "index", load_encoder("model"), sentences(3))
    monkeypatch.chdir(tmp_path / "elsewhere")
    with EmbeddedConnector.connect(str(folder)) as connector:
        assert connector.schema().encoder == "model"
        assert len(connector.search_max_sim("lift of a wing", top_k=3).scores) == 3


def test_a_model_that_was_replaced_under_its_name_is_noticed(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(load_encoder().folder.path, model)
    folder = made(tmp_path / "index", load_encoder(str(model)), sentences(3))
    settings = model / "sentence_bert_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_seq_length": 16}))
    with (
        EmbeddedConnector.connect(str(folder)) as connector,
        pytest.raises(IndexMismatchError, match=r"was made with .*model \(384 dimensions"),
    ):
        connector.search("lift", top_k=1)


class Misbehaving(HashingEncoder):
    """Gives what `spoil` makes of its vectors."""

    def __init__(self, spoil: str) -> None:
        super().__init__()
        self.spoil = spoil

    def encode_documents(self, texts: Sequence[str]) -> list[Encoding]:
        changed = []
        for vector, tokens, truncated in super().encode_documents(texts):
            if self.spoil == "short":
                vector = vector[:-1]
            elif self.spoil == "nan":
                vector = vector * np.float32("nan")
            elif self.spoil == "wide tokens":
                tokens = np.repeat(tokens, 2, axis=1)
            else:
                tokens = tokens[:0]
            changed.append(Encoding(vector, tokens, truncated))
        return changed


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        ("short", IndexMismatchError, "vectors of 31 numbers for document 'd0'.* made for 32"),
        ("wide tokens", IndexMismatchError, "vectors of 64 numbers for document 'd0'"),
        ("nan", ModelError, "numbers that are infinite or none for document 'd0'"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    tmp_path: Path, spoil: str, error: type[Exception], message: str
) -> None:
    with EmbeddedConnector.create(tmp_path / "index", encoder=Misbehaving(spoil)) as connector:
        with pytest.raises(error, match=message):
            connector.index(sentences(1))
        assert connector.count() == 0


def test_documents_without_tokens_stay_among_the_hits_without_a_score(tmp_path: Path) -> None:
    with EmbeddedConnector.create(tmp_path / "index", encoder=Misbehaving("none")) as connector:
        connector.index(sentences(5))
        found = connector.search_max_sim("lift wing", top_k=5)
        assert len(found.hits) == 5
        assert found.scores == {}
        assert connector.max_sim("lift", ["d0", "d1"]) == {}


def test_bm25_scores_are_the_exact_ones(tmp_path: Path) -> None:
    documents = sentences(300)
    memory = MemoryConnector(documents)
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index(documents)
        for query in ("lift", "shock layer of a cone", "jet jet flow"):
            scores = {hit.document.id: hit.score for hit in connector.search(query, top_k=300)}
            exact = {hit.document.id: hit.score for hit in memory.search(query, top_k=300)}
            assert scores == pytest.approx(exact, rel=1e-5)


def test_dense_scores_are_the_cosines(tmp_path: Path) -> None:
    documents, encoder = sentences(100), HashingEncoder()
    with EmbeddedConnector.create(tmp_path / "index", encoder=encoder) as connector:
        connector.index(documents)
        hits = connector.search("shock layer of a cone", top_k=100)
    rows = encoder.embed_documents([document.text for document in documents])
    cosines = rows @ encoder.embed_queries(["shock layer of a cone"])[0]
    scores = {hit.document.id: hit.sources["dense"].score for hit in hits}
    assert scores == pytest.approx(
        {document.id: cosine for document, cosine in zip(documents, cosines, strict=True)}, abs=1e-5
    )


def test_max_sim_is_the_mean_over_query_tokens_of_pooled_documents(tmp_path: Path) -> None:
    documents, encoder = sentences(100), HashingEncoder()
    settings = EmbeddedSettings(pooling_factor=3)
    with EmbeddedConnector.create(
        tmp_path / "index", encoder=encoder, settings=settings
    ) as connector:
        connector.index(documents)
        found = connector.search_max_sim("shock layer of a cone", top_k=100)
        assert found.hits == connector.search("shock layer of a cone", top_k=100)
        some = connector.max_sim("shock layer of a cone", ["d7", "nobody", "d3"])
    [query] = encoder.encode_queries(["shock layer of a cone"])
    expected = {
        document.id: float((query.tokens @ pool_tokens(encoding.tokens, 3).T).max(axis=1).mean())
        for document, encoding in zip(
            documents, encoder.encode_documents([each.text for each in documents]), strict=True
        )
    }
    assert found.scores == pytest.approx(expected, abs=2e-3)  # kept in 16 bits
    assert some == pytest.approx({"d7": expected["d7"], "d3": expected["d3"]}, abs=2e-3)


@pytest.mark.parametrize("storage", ["float32", "float16", "turbo8"])
def test_every_storage_of_tensors_ranks_alike(tmp_path: Path, storage: str) -> None:
    settings = EmbeddedSettings(tensor_storage=storage, pooling_factor=1)  # type: ignore[arg-type]
    encoder = HashingEncoder(64)
    with EmbeddedConnector.create(
        tmp_path / "index", encoder=encoder, settings=settings
    ) as connector:
        connector.index([*sentences(100), Document("same", "conical shock waves")])
        scores = connector.search_max_sim("conical shock waves", top_k=101).scores
    assert max(scores, key=scores.__getitem__) == "same"
    assert scores["same"] == pytest.approx(1.0, abs=0.02)


def test_the_fusion_can_be_chosen_at_creation_and_at_opening(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    settings = EmbeddedSettings(fusion=Fusion("weighted", {"dense": 2.0}))
    with EmbeddedConnector.create(
        tmp_path / "index", encoder=encoder, settings=settings
    ) as connector:
        connector.index(sentences(30))
        recorded = connector.search("lift of a wing", top_k=30)
    with EmbeddedConnector.connect(str(tmp_path / "index"), encoder=encoder) as connector:
        assert connector.search("lift of a wing", top_k=30) == recorded
        assert connector.schema().details["fusion"] == {
            "method": "weighted",
            "weights": {"dense": 2.0},
        }
    dense = Fusion(weights={"bm25": 0.0})
    with EmbeddedConnector.connect(
        str(tmp_path / "index"), encoder=encoder, fusion=dense
    ) as connector:
        for hit in connector.search("lift of a wing", top_k=30):
            assert hit.sources.keys() == {"dense"}
            assert hit.score == hit.sources["dense"].score


def test_a_fusion_that_leaves_no_ranking_is_an_error(tmp_path: Path) -> None:
    folder = made(tmp_path / "index", None)
    with pytest.raises(ConfigError, match=r"leave no ranking; there are: bm25"):
        EmbeddedConnector.connect(str(folder), fusion=Fusion(weights={"bm25": 0.0}))
    with EmbeddedConnector.connect(str(folder)):
        pass  # the failed opening has let go of the lock


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Fusion("average"),  # type: ignore[arg-type]
            "unknown fusion 'average'",
        ),
        (lambda: Fusion(weights={"colbert": 1.0}), r"unknown rankings \['colbert'\]"),
        (lambda: Fusion(weights={"dense": -1.0}), "must not be negative"),
        (
            lambda: EmbeddedSettings(tensor_storage="int3"),  # type: ignore[arg-type]
            "unknown tensor_storage 'int3'",
        ),
        (lambda: EmbeddedSettings(pooling_factor=0), "pooling_factor must be at least 1; got 0"),
        (lambda: EmbeddedSettings(b=1.5), "b must lie between 0 and 1; got 1.5"),
        (lambda: EmbeddedSettings(k1=-1), "k1 must not be negative; got -1"),
    ],
)
def test_impossible_settings_are_errors(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_truncated_documents_are_counted(tmp_path: Path) -> None:
    encoder = HashingEncoder(max_tokens=4)
    with EmbeddedConnector.create(tmp_path / "index", encoder=encoder) as connector:
        report = connector.index([Document("a", "one two three"), Document("b", "a b c d e")])
    assert report.truncated == 1


def test_the_title_is_indexed_with_the_text(tmp_path: Path) -> None:
    document = Document("d", "of a slender body", {"title": "Wave drag"})
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index([document, *sentences(3)])
        assert connector.search("wave", top_k=1)[0].document == document


def test_a_large_index_filters_as_a_small_one(tmp_path: Path) -> None:
    """From 2,000 documents on, the first filter on a field makes an index over it."""
    documents = [
        Document(f"d{i}", "wing", {"n": i, "s": str(i % 7), "b": i % 3 == 0, "f": i / 4})
        for i in range(2500)
    ]
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index(documents)
        for _ in range(2):
            for filter, expected in (
                ({"n": [3, 5]}, 2),
                ({"s": "3"}, 357),
                ({"b": True}, 834),
                ({"f": Range(gte=10, lt=11)}, 4),
                ({"f": 10.25}, 1),
            ):
                assert len(connector.search("wing", top_k=2500, filter=filter)) == expected


def test_a_field_that_changes_its_type_later_is_still_filtered_by(tmp_path: Path) -> None:
    documents = [Document(f"d{i}", "wing", {"n": i % 100}) for i in range(2100)]
    with EmbeddedConnector.create(tmp_path / "index", encoder=None) as connector:
        connector.index(documents)
        assert len(connector.search("wing", top_k=3000, filter={"n": 7})) == 21
        connector.index(
            [Document("text", "wing", {"n": "7"}), Document("half", "wing", {"n": 7.5})]
        )
        found = connector.search("wing", top_k=3000, filter={"n": 7})
        assert len(found) == 22
        assert connector.schema().fields == {"n": "mixed"}
    with EmbeddedConnector.connect(str(tmp_path / "index")) as connector:
        assert len(connector.search("wing", top_k=3000, filter={"n": 7})) == 22
        assert len(connector.search("wing", top_k=3000, filter={"n": Range(gt=7, lt=8)})) == 1


def test_the_language_comes_from_the_first_documents_unless_it_is_set(tmp_path: Path) -> None:
    text = "Die Häuser sind nicht so alt wie das Rathaus und die Kirche in der Stadt."
    for language, found in ((None, True), ("english", False)):
        folder = tmp_path / str(language)
        settings = EmbeddedSettings(language=language)
        with EmbeddedConnector.create(folder, encoder=None, settings=settings) as connector:
            assert connector.schema().language == language
            connector.index([Document("d", text)])
            assert connector.schema().language == (language or "german")
            assert bool(connector.search("Haus", top_k=1)) is found


def test_the_schema_tells_size_and_settings(tmp_path: Path) -> None:
    with EmbeddedConnector.create(tmp_path / "index", encoder=HashingEncoder()) as connector:
        connector.index(sentences(40))
        schema = connector.schema()
    assert schema.connector == "embedded"
    assert schema.location == str(tmp_path / "index")
    assert schema.rankings == ("dense", "bm25")
    assert schema.token_tensors
    details = schema.details
    assert schema.bytes_on_disk is not None
    assert 0 < schema.bytes_on_disk < 50 << 20
    assert details["bm25"]["average_length"] == pytest.approx(7, abs=2)
    assert details["tensors"] == {"pooling_factor": 2, "storage": "turbo8"}
    json.dumps(details)


def test_a_closed_index_says_so(tmp_path: Path) -> None:
    connector = EmbeddedConnector.create(tmp_path / "index", encoder=None)
    connector.index(sentences(3))
    connector.close()
    with pytest.raises(ConnectorError, match="is closed; connect anew"):
        connector.search("wing", top_k=1)
    with pytest.raises(ConnectorError, match="is closed"):
        connector.index(sentences(1))


def test_an_index_of_an_earlier_release_keeps_its_analysis(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    EmbeddedConnector.create(folder, encoder=None).close()
    manifest = json.loads((folder / "manifest.json").read_text())
    earlier = {"language": "english", "average_length": 6.0, "k1": 0.9, "b": 0.75}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 1, "bm25": earlier}))
    with EmbeddedConnector.connect(str(folder)) as connector:
        connector.index([Document("hamlet", "To be, or not to be: that is the question.")])
        assert [hit.document.id for hit in connector.search("questions", top_k=5)] == ["hamlet"]
        lost = connector.search("to be or not to be", top_k=5)
        assert isinstance(lost, Candidates)
        assert (list(lost), lost.notes) == ([], (LEFT_OUT,))
    with EmbeddedConnector.connect(str(folder)) as connector:
        assert connector.index([Document("hamlet", "To be, or not to be.")]).indexed == 1
        assert connector.search("to be or not to be", top_k=5) == []
