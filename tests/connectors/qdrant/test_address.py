"""URLs of Qdrant collections."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.address import Address
from retrieve_rerank.errors import ConfigError, IndexNotFoundError


@pytest.mark.parametrize(
    ("url", "server", "collection"),
    [
        ("qdrant://host/docs", "http://host:6333", "docs"),
        ("qdrant://host:7000/docs", "http://host:7000", "docs"),
        ("qdrant+https://host/docs", "https://host:6333", "docs"),
        ("qdrant+https://host:443/pre/fix/my%20docs/", "https://host:443/pre/fix", "my docs"),
        ("qdrant://[::1]:7000/docs", "http://[::1]:7000", "docs"),
    ],
)
def test_a_url_names_server_and_collection(url: str, server: str, collection: str) -> None:
    address = Address.parse(url)
    assert (address.url, address.collection, address.folder) == (server, collection, None)


def test_local_mode_is_a_folder() -> None:
    address = Address.parse("qdrant+local:///data/q/docs")
    assert (address.folder, address.collection) == (Path("/data/q"), "docs")
    assert address.location == "qdrant+local:///data/q/docs"


@pytest.mark.parametrize(
    "url",
    ["qdrant://host", "qdrant://host/", "qdrant:///docs", "qdrant+local://", "qdrant://h:x/d"],
)
def test_what_is_no_address_says_what_is_expected(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected|not a number"):
        Address.parse(url)


def test_the_key_is_taken_out_of_a_url_and_never_shown() -> None:
    for url in ("qdrant://s3%2Fcret@host/docs", "qdrant://me:s3%2Fcret@host/docs"):
        address = Address.parse(url)
        assert address.headers == {"api-key": "s3/cret"}
        assert address.location == "qdrant://host:6333/docs"
        assert "s3" not in repr(address)


def test_a_key_given_beside_the_url_counts_first() -> None:
    address = Address.parse("qdrant://old@host/docs", api_key="new", bearer_token="t0ken")
    assert address.headers == {"api-key": "new", "authorization": "Bearer t0ken"}


def test_options_of_other_backends_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes no cloud_id, num_candidates"):
        QdrantConnector.connect("qdrant://host/docs", cloud_id="x", num_candidates=3)


def test_a_folder_without_collections_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="no collections of Qdrant"):
        QdrantConnector.connect(f"qdrant+local://{tmp_path}/new/docs")
    assert not (tmp_path / "new").exists()


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read certificates from .*none\.pem"):
        QdrantConnector.connect("qdrant+https://host/docs", ca_certs=tmp_path / "none.pem")
