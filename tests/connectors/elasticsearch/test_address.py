from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.connectors.elasticsearch.address import Address, client_options
from retrieve_rerank.connectors.elasticsearch.tls import pinned_context
from retrieve_rerank.errors import ConfigError, ConnectionFailedError

HERE = Address.parse("elasticsearch+https://here/docs")


@pytest.mark.parametrize(
    ("url", "hosts", "index"),
    [
        ("elasticsearch://h/docs", ("http://h:9200",), "docs"),
        ("elasticsearch://h:1,i:2/docs", ("http://h:1", "http://i:2"), "docs"),
        ("elasticsearch+https://h:443/search/v1/docs", ("https://h:443/search/v1",), "docs"),
        ("elasticsearch://[::1]:9200/docs", ("http://[::1]:9200",), "docs"),
        ("elasticsearch:///docs", (), "docs"),
        ("elasticsearch://h/docs%20a,b-*", ("http://h:9200",), "docs a,b-*"),
    ],
)
def test_a_url_says_where_an_index_is(url: str, hosts: tuple[str, ...], index: str) -> None:
    address = Address.parse(url)
    assert (address.hosts, address.index) == (hosts, index)


def test_credentials_in_a_url_are_taken_and_never_shown() -> None:
    address = Address.parse("elasticsearch://erin:s%40cret@h:9200/docs")
    assert client_options(address)["basic_auth"] == ("erin", "s@cret")
    assert address.location == "elasticsearch://h:9200/docs"
    assert "cret" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "elasticsearch://erin:s3cret@h:9200/",
        "elasticsearch://erin:s3cret@h:9200/docs?k=1",
        "elasticsearch://erin:s3cret@h:port/docs",
        "elasticsearch://erin:s3cret@:9200/docs",
        "elasticsearch://erin:s3cret@h:99999/docs",
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_without_secrets(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(url)
    assert "s3cret" not in str(caught.value)
    assert "erin" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"api_key": "k"}, {"api_key": "k"}),
        ({"bearer_token": "t"}, {"bearer_auth": "t"}),
        ({"username": "u", "password": "p"}, {"basic_auth": ("u", "p")}),
        ({"username": "u", "password": "p", "api_key": "k"}, {"api_key": "k"}),
    ],
)
def test_credentials_are_worded_as_the_client_takes_them(
    options: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = dict(client_options(HERE, **options))
    assert found.pop("ssl_context").verify_mode == ssl.CERT_REQUIRED
    assert found == {"hosts": ["https://here:9200"], **expected}


def test_a_cloud_id_stands_in_for_the_host() -> None:
    found = client_options(Address.parse("elasticsearch:///docs"), cloud_id="c:aGVsbG8=")
    assert found["cloud_id"] == "c:aGVsbG8="
    assert "hosts" not in found


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("elasticsearch://h/docs", {"cloud_id": "c"}, "two servers"),
        ("elasticsearch:///docs", {}, "no host"),
        ("elasticsearch://h/docs", {"ca_certs": Path("x")}, "not encrypted"),
        ("elasticsearch://h/docs", {"fingerprint": "x"}, "not encrypted"),
        ("elasticsearch+https://h/docs", {"ca_certs": Path("nowhere")}, "not a file"),
        ("elasticsearch+https://h/docs", {"fingerprint": "abc"}, "64 hexadecimal"),
        ("elasticsearch+https://h/docs", {"ca_certs": Path("x"), "fingerprint": "x"}, "either"),
        ("elasticsearch://h/docs", {"api_key": "k", "bearer_token": "t"}, "either"),
        ("elasticsearch://h/docs", {"username": "u"}, "go together"),
    ],
)
def test_settings_that_do_not_go_together_are_an_error(
    url: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        client_options(Address.parse(url), **options)


def test_a_fingerprint_of_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConnectionFailedError, match="cannot reach"):
        pinned_context("127.0.0.1", 1, "a" * 64)
