"""Aliases that move, and collections made anew under their name, while a connector is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from retrieve_rerank import Document
from retrieve_rerank.base import TensorSettings
from retrieve_rerank.connectors.qdrant import QdrantConnector, collection, reader
from retrieve_rerank.errors import IndexMismatchError, IndexNotFoundError, SchemaError
from retrieve_rerank.indexing.token_tensors import add_tensors
from retrieve_rerank.testing import HashingEncoder
from tests.connectors.qdrant.stub import Stub

WIDE, NARROW = HashingEncoder(64), HashingEncoder(32)


def make(
    client: QdrantClient,
    name: str,
    prefix: str,
    *,
    field: str = "content",
    encoder: HashingEncoder = WIDE,
    count: int = 3,
) -> None:
    """Make a collection as others do, of texts that begin with `prefix`, and fill it."""
    size = models.VectorParams(size=encoder.dimension, distance=models.Distance.COSINE)
    client.create_collection(name, vectors_config={"emb": size})
    fill(client, name, prefix, field=field, encoder=encoder, count=count)


def fill(
    client: QdrantClient,
    name: str,
    prefix: str,
    *,
    field: str = "content",
    encoder: HashingEncoder = WIDE,
    count: int = 3,
) -> None:
    points = []
    for number in range(count):
        text = f"{prefix} wing number {number}"
        vector = {"emb": encoder.embed_documents([text])[0].tolist()}
        points.append(models.PointStruct(id=number, vector=vector, payload={field: text}))
    if points:
        client.upsert(name, points)


def point(client: QdrantClient, collection: str) -> None:
    """Let the alias name a collection and no other, in one step."""
    new = models.CreateAlias(collection_name=collection, alias_name="docs")
    known = {each.alias_name for each in client.get_aliases().aliases}
    old = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="docs"))
    client.update_collection_aliases(
        [*([old] if "docs" in known else []), models.CreateAliasOperation(create_alias=new)]
    )


def texts(connector: QdrantConnector, query: str = "wing") -> list[str]:
    return sorted(hit.document.text for hit in connector.search(query, top_k=10))


def expected(prefix: str, count: int = 3) -> list[str]:
    return sorted(f"{prefix} wing number {number}" for number in range(count))


@pytest.fixture(params=["rest", "local"])
def place(request: pytest.FixtureRequest, stub: Stub) -> Iterator[tuple[QdrantClient, Any]]:
    """A client, and what connects to its `docs`: through a stand-in, and in local mode."""

    def connect(**options: Any) -> QdrantConnector:
        given: dict[str, Any] = {"encoder": WIDE, **options}
        if request.param == "rest":
            return QdrantConnector.connect(stub.url, **given)
        return QdrantConnector.connect("qdrant+local:///docs", client=stub.client, **given)

    yield stub.client, connect


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look what the name stands for with every search."""
    monkeypatch.setattr(collection, "CHECK_EVERY_S", -1.0)


@pytest.mark.parametrize("field", ["body", "content"])
async def test_an_alias_that_moves_is_never_mixed(
    place: tuple[QdrantClient, Any], monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    client, connect = place
    make(client, "old", "old")
    make(client, "new", "new", field=field)
    point(client, "old")
    with connect() as connector:
        assert texts(connector) == expected("old")
        point(client, "new")
        assert texts(connector) == expected("old")  # for so long as is promised
        monkeypatch.setattr(collection, "CHECK_EVERY_S", -1.0)
        hits = await connector.asearch("wing", top_k=9)
        assert sorted(hit.document.text for hit in hits) == expected("new")
        point(client, "old")
        assert [each.text for each in connector.get(["1"])] == ["old wing number 1"]
        point(client, "new")
        assert sorted(each.text for each in connector.scan()) == expected("new")
        point(client, "old")
        client.delete_collection("new")
        assert connector.count() == 3
        await connector.aclose()


def test_an_alias_whose_old_collection_is_gone_is_followed_at_once(
    place: tuple[QdrantClient, Any],
) -> None:
    client, connect = place
    make(client, "old", "old")
    make(client, "new", "new", field="body")
    point(client, "old")
    with connect() as connector:
        point(client, "new")
        client.delete_collection("old")
        assert texts(connector) == expected("new")


@pytest.mark.usefixtures("at_once")
async def test_vectors_of_other_dimensions_are_an_error_that_says_what_to_do(
    place: tuple[QdrantClient, Any],
) -> None:
    client, connect = place
    make(client, "old", "old")
    make(client, "new", "new", encoder=NARROW)
    point(client, "old")
    with connect() as connector:
        point(client, "new")
        for _ in range(2):
            with pytest.raises(
                IndexMismatchError, match=r"stands for new now, no longer for old.*64.* anew"
            ):
                texts(connector)
            with pytest.raises(IndexMismatchError, match="Connect anew, with settings that fit"):
                await connector.asearch("wing", top_k=9)
        point(client, "old")
        assert texts(connector) == expected("old")
        await connector.aclose()


@pytest.mark.usefixtures("at_once")
def test_the_encoder_that_an_index_records_is_required_of_the_next(stub: Stub) -> None:
    other = HashingEncoder(64, max_tokens=8)
    for name, encoder in (("old", WIDE), ("new", other)):
        with QdrantConnector.create(stub.url.replace("docs", name), encoder=encoder) as made:
            made.index([Document("a", f"{name} wing")])
    point(stub.client, "old")
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:
        assert texts(connector) == ["old wing"]
        point(stub.client, "new")
        for use in (lambda: texts(connector), lambda: connector.index([Document("b", "tail")])):
            with pytest.raises(IndexMismatchError, match="Connect anew, with settings that fit"):
                use()
    assert stub.client.count("new").count == 1


@pytest.mark.parametrize(("field", "encoder"), [("body", WIDE), ("content", NARROW)])
def test_a_collection_made_anew_is_opened_anew_or_refused(
    place: tuple[QdrantClient, Any], field: str, encoder: HashingEncoder
) -> None:
    client, connect = place
    make(client, "docs", "old")
    with connect() as connector:
        assert texts(connector) == expected("old")
        client.delete_collection("docs")
        with pytest.raises(IndexNotFoundError, match="there is no index 'docs'"):
            texts(connector)
        make(client, "docs", "new", field=field, encoder=encoder)
        if encoder is WIDE:
            assert texts(connector) == expected("new")
        else:
            with pytest.raises(IndexMismatchError, match=r"64.*Connect anew"):
                texts(connector)


def test_texts_that_went_into_another_field_are_found_again(
    place: tuple[QdrantClient, Any],
) -> None:
    client, connect = place
    make(client, "docs", "old")
    with connect() as connector:
        assert texts(connector) == expected("old")
        client.delete_collection("docs")
        make(client, "docs", "new", field="passage")
        assert texts(connector) == expected("new")


def test_a_collection_that_was_empty_is_understood_once_it_is_filled(
    place: tuple[QdrantClient, Any],
) -> None:
    client, connect = place
    make(client, "docs", "", count=0)
    with connect() as connector:
        assert texts(connector) == []
        fill(client, "docs", "new", field="body")
        assert texts(connector) == expected("new")
    client.delete_collection("docs")
    make(client, "docs", "", count=0)
    with connect() as connector:
        fill(client, "docs", "long text of a wing", field="aa")
        for number in range(3):
            client.set_payload("docs", {"bb": f"long text of a wing {number}"}, [number])
        with pytest.raises(SchemaError, match="--text-field"):
            texts(connector)


def test_tensors_that_come_and_go_elsewhere_are_noticed(
    place: tuple[QdrantClient, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, connect = place
    make(client, "docs", "old")
    settings = TensorSettings("hashing", WIDE.fingerprint, 64, "float32", 1)
    with connect() as here, connect() as elsewhere:
        add_tensors(elsewhere, WIDE, settings)
        monkeypatch.setattr(collection, "CHECK_EVERY_S", -1.0)
        assert len(here.search_max_sim("wing", top_k=9).scores) == 3
        monkeypatch.setattr(collection, "CHECK_EVERY_S", 1e9)
        elsewhere.drop_tensors()
        found = here.search_max_sim("wing", top_k=9)
        assert (len(found.hits), len(found.scores)) == (3, 0)
        assert here.max_sim("wing", ["1"]) == {}


def test_a_normal_search_asks_nothing_more(stub: Stub) -> None:
    make(stub.client, "docs", "old")
    stub.client.upsert("docs", [models.PointStruct(id=9, vector={}, payload={"year": 1})])
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:
        stub.seen.clear()
        for _ in range(5):
            texts(connector)
        assert len(stub.seen) == 5
    vector = WIDE.embed_documents(["wing"])[0].tolist()
    stub.client.upsert("docs", [models.PointStruct(id=9, vector={"emb": vector}, payload={})])
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:
        texts(connector)
        stub.seen.clear()
        for _ in range(5):  # a document without text is looked into once
            assert texts(connector) == ["", *expected("old")]
        assert len(stub.seen) == 5


def test_a_scan_keeps_to_the_collection_it_began_on(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    make(stub.client, "old", "old", count=5)
    make(stub.client, "new", "new", field="body", count=5)
    point(stub.client, "old")
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:
        scan = connector.scan()
        seen = [next(scan)]
        point(stub.client, "new")
        seen += scan
        assert sorted(each.text for each in seen) == expected("old", 5)
        assert sorted(each.text for each in connector.scan()) == expected("new", 5)


@pytest.mark.parametrize("told", ["size", "time"])
def test_a_scan_of_a_collection_made_anew_meanwhile_stops(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setattr(reader, "PAGE", 2)
    make(stub.client, "docs", "old", count=5)
    stub.created["docs"] = "2026-11-01T00:00:00Z"
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:
        scan = connector.scan()
        next(scan)
        stub.client.delete_collection("docs")
        make(stub.client, "docs", "new", encoder=WIDE if told == "time" else NARROW, count=5)
        if told == "time":
            stub.created["docs"] = "2026-11-02T00:00:00Z"
        with pytest.raises(IndexMismatchError, match=r"when this began.*run it again"):
            list(scan)


@pytest.mark.usefixtures("at_once")
def test_writing_stops_where_its_alias_moves(stub: Stub) -> None:
    for name in ("old", "new"):
        QdrantConnector.create(stub.url.replace("docs", name), encoder=WIDE).close()
    point(stub.client, "old")
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:

        def documents() -> Iterator[Document]:
            for number in range(600):
                if number == 300:
                    point(stub.client, "new")
                yield Document(f"d{number}", f"wing {number}")

        with pytest.raises(IndexMismatchError, match=r"stood for old.* stands for new.*run it"):
            connector.index(documents())
        assert stub.client.count("new").count == 0
        assert connector.index(documents()).indexed == 600
        assert stub.client.count("new").count == 600


def test_a_key_that_may_not_list_aliases_goes_by_the_name(stub: Stub) -> None:
    make(stub.client, "old", "old")
    make(stub.client, "new", "new", field="body")
    point(stub.client, "old")
    stub.forbidden = ("GET /aliases",)
    with QdrantConnector.connect(stub.url, encoder=WIDE) as connector:
        assert texts(connector) == expected("old")
        point(stub.client, "new")
        assert texts(connector) == expected("new")
