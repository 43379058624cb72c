"""Addresses that stand for several indexes, on real servers of both releases."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.parse import quote

import numpy as np
import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.elasticsearch.names import is_plain, sidecar_name
from retrieve_rerank.errors import ConfigError, IndexMismatchError, InputError
from retrieve_rerank.evaluation.audit.audit import audit
from retrieve_rerank.evaluation.calibration.calibrating import score_candidates
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_status
from retrieve_rerank.testing import HashingEncoder, OverlapScorer
from tests.connectors.elasticsearch.test_tensors import settings, tensor
from tests.servers import Server, fresh_index

connect = ElasticsearchConnector.connect


def make(server: Server, *texts: dict[str, str]) -> list[str]:
    """Make lexical indexes of our own, id -> text each; return their names."""
    names = []
    for each in texts:
        names.append(fresh_index(server))
        with ElasticsearchConnector.create(server.address(names[-1]), encoder=None) as index:
            index.index([Document(id_, text) for id_, text in each.items()])
    return sorted(names)


def alias(server: Server, name: str, *indexes: str) -> str:
    """Point an alias at indexes; return its address."""
    actions = [{"add": {"index": each, "alias": name}} for each in indexes]
    server.call("POST", "/_aliases", {"actions": actions})
    return server.address(name)


def exists(server: Server, name: str) -> bool:
    try:
        server.call("GET", f"/{name}/_count")
    except HTTPError:
        return False
    return True


def test_dropping_tensors_deletes_no_document_index(server: Server) -> None:
    one, two = make(server, {"d": "wing"}, {"d": "pipe"})
    with connect(server.address(one)) as index:
        index.create_tensors(settings())
    for address in (f"{one},{two}", f"{two},{one}", f"{one}*,{two}", f"{one},{two}*,-{one}*"):
        with connect(server.address(address)) as index:
            index.drop_tensors()
    for name in (one, two, f"rr-tensors-{one}"):
        assert exists(server, name), name


def test_what_only_looks_like_a_sidecar_is_never_used_nor_deleted(server: Server) -> None:
    [one] = make(server, {"d": "wing"})
    [mine] = make(server, {"precious": "text"})
    lookalike = f"rr-tensors-{one}"
    server.call("PUT", f"/{lookalike}", {"mappings": {"_meta": {"made_by": "somebody"}}})
    with connect(server.address(one)) as index:
        for work in (
            index.drop_tensors,
            index.tensor_settings,
            lambda: index.create_tensors(settings()),
            lambda: index.write_tensors([tensor("d", "wing")]),
            lambda: index.delete_tensors(["d"]),
        ):
            with pytest.raises(IndexMismatchError, match=f"neither used nor deleted.*{lookalike}"):
                work()
    assert server.call("GET", f"/{lookalike}/_count")["count"] == 0
    server.call("DELETE", f"/{lookalike}")
    alias(server, lookalike, mine)
    with connect(server.address(one)) as index, pytest.raises(IndexMismatchError, match=mine):
        index.drop_tensors()
    assert exists(server, mine)


def test_tensors_that_an_alias_leads_to_are_dropped_by_the_name_of_their_index(
    server: Server,
) -> None:
    one, two = make(server, {"d": "wing"}, {"d": "pipe"})
    with connect(server.address(one)) as index:
        index.create_tensors(settings())
    alias(server, f"rr-tensors-{two}", f"rr-tensors-{one}")
    with connect(server.address(two)) as index:
        index.drop_tensors()
    assert not exists(server, f"rr-tensors-{one}")
    assert exists(server, one) and exists(server, two)


def test_several_indexes_are_not_written_to(server: Server) -> None:
    one, two = make(server, {"d": "wing"}, {"d": "pipe"})
    name = fresh_index(server)
    for url in (server.address(f"{one},{two}"), alias(server, name, one, two)):
        with connect(url) as index:
            for work in (
                lambda: index.index([Document("e", "new")]),
                lambda: index.take_alias(name),
            ):
                with pytest.raises(ConfigError, match=f"2 indexes .{one}, {two}.*name it"):
                    work()
    with connect(server.address(one)) as index:
        assert index.count() == 1
        with pytest.raises(ConfigError, match="one alias's name"):
            index.take_alias(f"{name},{two}")
    with connect(server.address(f"{one}*")) as index:  # one after all
        assert index.index([Document("e", "new")]).indexed == 1
        assert index.delete(["e"]) == 1
        assert index.take_alias(name) == [one, two]


@pytest.mark.parametrize("address", ["a,b", "v*", "-v1", "_all", "<v-{now}>", "there:v"])
def test_an_index_to_be_made_needs_one_name(server: Server, address: str) -> None:
    with pytest.raises(ConfigError, match="not the name of one index"):
        ElasticsearchConnector.create(server.address(quote(address)), encoder=None)


@pytest.mark.parametrize(
    ("address", "indexes", "expected"),
    [
        ("v1", ["v1"], "rr-tensors-v1"),
        ("now", ["v1"], "rr-tensors-now"),
        ("v*", ["v1"], "rr-tensors-v1"),
        ("<v-{now/d}>", ["v-2026.01.31"], "rr-tensors-v-2026.01.31"),
    ],
)
def test_the_sidecar_of_one_index(address: str, indexes: list[str], expected: str) -> None:
    assert sidecar_name(address, indexes) == expected


def test_sidecars_of_several_are_named_so_that_none_is_another() -> None:
    several = ["a", "b"]
    addresses = ["a,b", "b,a", "a-b", "*", "a*", "a*,b", "_all", "A", "a" * 255]
    names = {sidecar_name(each, several) for each in addresses}
    names |= {sidecar_name(each, ["a"]) for each in ("A", "a", "a" * 255, "A" * 255)}
    assert len(names) == len(addresses) + 4
    assert sidecar_name("a,b", several).startswith("rr-tensors-_a-b-")
    for name in names:
        assert is_plain(name) and name == name.lower() and len(name) <= 255


TEXTS = {
    "1": "refunds are paid within ten days",
    "2": "invoices are sent by letter",
}
LATER = {
    "1": "refunds for gift cards go to the card",
    "2": "the lift is closed for repair",
    "3/a": "opening hours",
}


@pytest.fixture(params=["list", "pattern", "alias"])
def twins(request: pytest.FixtureRequest, server: Server) -> tuple[str, str, str]:
    """An address of two indexes with the same ids, and their names."""
    encoder = HashingEncoder()
    stem = fresh_index(server)
    one, two = f"{stem}-one", f"{stem}-two"
    for name, texts in ((one, TEXTS), (two, LATER)):
        with ElasticsearchConnector.create(server.address(name), encoder=encoder) as index:
            index.index([Document(id_, text) for id_, text in texts.items()])
    url = {
        "list": server.address(f"{one},{two}"),
        "pattern": server.address(f"{stem}-*"),
        "alias": server.address(stem),
    }[request.param]
    alias(server, stem, one, two)
    return url, one, two


def test_every_document_stands_for_itself(twins: tuple[str, str, str]) -> None:
    url, one, two = twins
    everything = {f"{one}/{id_}": text for id_, text in TEXTS.items()}
    everything |= {f"{two}/{id_}": text for id_, text in LATER.items()}
    encoder = HashingEncoder()
    with connect(url, encoder=encoder) as index:
        hits = index.search("refunds", top_k=10)  # both rankings, fused
        assert {hit.document.id: hit.document.text for hit in hits} == everything
        assert {hit.document.id for hit in hits[:2]} == {f"{one}/1", f"{two}/1"}
        assert all(set(hit.sources) == {"dense", "bm25"} for hit in hits[:2])
        assert {each.id: each.text for each in index.scan()} == everything
        assert index.count() == len(everything)
        assert index.schema().details["indexes"] == [one, two]

        assert [each.id for each in index.get([f"{two}/3/a", f"{one}/1", f"{one}/3/a"])] == [
            f"{two}/3/a",
            f"{one}/1",
        ]
        assert index.resolve_ids(["3/a", f"{one}/2", "nobody", f"{one}/nobody"]) == {
            "3/a": f"{two}/3/a",
            f"{one}/2": f"{one}/2",
        }
        for work in (index.get, index.delete, index.resolve_ids):
            with pytest.raises(InputError, match=f"'1' is the id of 2.*{one}/1, {two}/1"):
                work(["2/x", "1"])

        [vector] = index.query_vectors(["refunds for gift cards go to the card"])
        for found in (
            index.nearest(vector, top_k=10),
            index.nearest_exact(np.array([vector]), top_k=10)[0],
        ):
            assert {id_ for id_, _ in found} == everything.keys()
            assert found[0][0] == f"{two}/1"
            assert found[0][1] == pytest.approx(1.0, abs=0.05)  # of int8

        assert index.delete([f"{one}/1", "3/a", f"{two}/nobody"]) == 2
        assert index.get([f"{two}/1", "1"])[0].text == LATER["1"]
        assert index.count() == len(everything) - 2


def test_tensors_of_several_indexes(twins: tuple[str, str, str], server: Server) -> None:
    url, one, two = twins
    with connect(url, encoder=HashingEncoder()) as index:
        report = add_tensors(index, HashingEncoder(), settings())
        assert (report.documents, report.added, report.deleted) == (5, 5, 0)
        status = tensor_status(index)
        assert (status.present, status.missing, status.stale, status.orphaned) == (5, 0, 0, 0)
        found = index.search_max_sim("gift cards", top_k=10)
        assert found.scores.keys() == {hit.document.id for hit in found.hits}
        best = max(found.scores, key=lambda id_: found.scores[id_])
        assert best == f"{two}/1"
        assert found.scores == pytest.approx(index.max_sim("gift cards", list(found.scores)))
        for name in (one, two):  # whose tensors would have other keys
            with connect(server.address(name)) as alone:
                assert alone.tensor_settings() is None

        with connect(server.address(two), encoder=HashingEncoder()) as alone:
            alone.index([Document("2", "the lift works again")])
            alone.delete(["3/a"])
        status = tensor_status(index)
        assert (status.present, status.missing, status.stale, status.orphaned) == (3, 0, 1, 1)
        report = add_tensors(index, HashingEncoder(), settings())
        assert (report.added, report.replaced, report.deleted) == (0, 1, 1)
        index.drop_tensors()
        assert index.tensor_settings() is None
        assert index.count() == 4
    assert exists(server, one) and exists(server, two)


def test_an_id_that_begins_like_an_index_is_looked_up_both_ways(server: Server) -> None:
    stem = fresh_index(server)
    one, two = f"{stem}-a", f"{stem}-b"
    texts = ({f"{two}/1": "odd", f"{two}/9": "only here"}, {"1": "plain", "x" * 600: "long"})
    for name, each in zip((one, two), texts, strict=True):
        with ElasticsearchConnector.create(server.address(name), encoder=None) as index:
            index.index([Document(id_, text) for id_, text in each.items()])
    with connect(server.address(f"{stem}-*")) as index:
        found = {each.id: each.text for each in index.scan()}
        assert found == {
            f"{one}/{two}/1": "odd",
            f"{one}/{two}/9": "only here",
            f"{two}/1": "plain",
            f"{two}/{'x' * 600}": "long",
        }
        assert {each.id: each.text for each in index.get(list(found))} == found
        assert [each.text for each in index.get([f"{two}/1", f"{two}/9", "x" * 600])] == [
            "plain",
            "only here",
            "long",
        ]


@pytest.mark.parametrize("twins", ["pattern"], indirect=True)
def test_judgments_may_leave_out_the_index_where_that_is_plain(
    twins: tuple[str, str, str],
) -> None:
    url, one, two = twins
    queries = {"q1": "opening hours", "q2": "refunds for gift cards"}
    qrels = {"q1": {"3/a": 1, "gone": 1}, "q2": {f"{two}/1": 1, f"{one}/1": 0}}
    with connect(url, encoder=HashingEncoder()) as index:
        found = evaluate(Retriever(index), queries, qrels, measures=["MRR@10"])
        [stage] = found.stages
        assert (stage.means, found.absent_documents) == ({"MRR@10": 1.0}, 1)
        assert stage.rankings["q1"][0] == "3/a"  # as judged, so that run files agree with qrels
        assert set(stage.rankings["q1"][1:]) <= {f"{n}/{i}" for n in (one, two) for i in "12"}
        measured = audit(index, queries, qrels=qrels, top_ks=[3]).relevance
        assert measured is not None and measured.ndcg_exact > 0.7
        candidates = score_candidates(OverlapScorer(), index, queries, qrels, depth=5)
        assert [sum(each.relevant) for each in candidates] == [1, 1]

        ambiguous = {"q1": {"3/a": 1}, "q2": {"1": 1}}
        for work in (
            lambda: evaluate(Retriever(index), queries, ambiguous),
            lambda: audit(index, queries, qrels=ambiguous, top_ks=[3]),
            lambda: score_candidates(OverlapScorer(), index, queries, ambiguous, depth=5),
        ):
            with pytest.raises(InputError, match=f"{one}/1, {two}/1"):
                work()
        with pytest.raises(InputError, match="by two ids, '3/a' and"):
            evaluate(Retriever(index), queries, {"q1": {"3/a": 1}, "q2": {f"{two}/3/a": 1}})


def test_passages_in_several_indexes_stand_for_their_documents(server: Server) -> None:
    stem = fresh_index(server)
    for name, parent in ((f"{stem}-a", "guide.md"), (f"{stem}-b", "notes/x.md")):
        with ElasticsearchConnector.create(server.address(name), encoder=None) as index:
            text = "wing lift. " * 3
            index.index(
                Document(f"{parent}#{i}", text, {"parent": parent, "passage": i}) for i in range(3)
            )
    qrels = {"q": {"guide.md": 1, f"{stem}-b/notes/x.md": 1}}
    with connect(server.address(f"{stem}-a,{stem}-b")) as index:
        found = evaluate(Retriever(index), {"q": "wing"}, qrels, measures=["nDCG@10"])
    assert found.absent_documents == 0
    assert set(found.stages[0].rankings["q"]) == qrels["q"].keys()
    assert found.stages[0].means == {"nDCG@10": 1.0}


def test_a_pattern_does_not_take_in_the_indexes_of_tensors(server: Server) -> None:
    stem = fresh_index(server)
    names = [f"{stem}-{each}" for each in "ab"]
    for name in names:
        with ElasticsearchConnector.create(server.address(name), encoder=None) as index:
            index.index([Document(str(i), f"wing {i}") for i in range(5)])
    for each in names:
        server.call("PUT", f"/{each}/_settings", {"index.max_result_window": 3})
    with connect(server.address(f"*{stem}*")) as index:  # *, on a server that others use
        add_tensors(index, HashingEncoder(), settings())
    with connect(server.address(f"*{stem}*")) as index:
        assert list(index.schema().details["indexes"]) == names
        status = tensor_status(index)
        assert (status.documents, status.present, status.orphaned) == (10, 10, 0)
        found = [each.id for each in index.scan()]
        assert [each.id for each in index.get(found)] == found
        index.drop_tensors()


def test_an_alias_may_grow_from_one_index_to_two_while_it_is_open(server: Server) -> None:
    stem, encoder = fresh_index(server), HashingEncoder()
    one, two = f"{stem}-1", f"{stem}-2"
    for name in (one, two):
        with ElasticsearchConnector.create(server.address(name), encoder=encoder) as index:
            index.index([Document("d", f"wing {name}")])
    alias(server, stem, one)
    with connect(server.address(stem), encoder=encoder) as index:
        add_tensors(index, encoder, settings())
        assert index.search_max_sim("wing", top_k=5).scores.keys() == {"d"}
        alias(server, stem, two)
        assert {hit.document.id for hit in index.search("wing", top_k=5)} == {
            f"{one}/d",
            f"{two}/d",
        }
        assert tensor_status(index).missing == 2
        add_tensors(index, encoder, settings())
        assert index.search_max_sim("wing", top_k=5).scores.keys() == {f"{one}/d", f"{two}/d"}
        assert [each.id for each in index.get([f"{two}/d"])] == [f"{two}/d"]
    with connect(server.address(one)) as index:
        index.take_alias(stem)
    with connect(server.address(stem)) as index:  # whose tensors are still there
        assert tensor_status(index).present == 1
