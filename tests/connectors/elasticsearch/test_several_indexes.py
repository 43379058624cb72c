"""Addresses that stand for several indexes, on real servers of both releases."""

from __future__ import annotations

from urllib.error import HTTPError

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.elasticsearch import ElasticsearchConnector
from retrieve_rerank.connectors.elasticsearch.names import is_plain, sidecar_name
from retrieve_rerank.errors import ConfigError, IndexMismatchError
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
    from urllib.parse import quote

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
