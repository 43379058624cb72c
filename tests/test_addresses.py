"""Addresses are read by one parser and shown by one redaction, whatever stands in them."""

from __future__ import annotations

import json
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retrieve_rerank.connectors.elasticsearch.address import Address as ElasticsearchAddress
from retrieve_rerank.connectors.qdrant.address import Address as QdrantAddress
from retrieve_rerank.errors import ConfigError, RetrieveRerankError
from retrieve_rerank.models.causal.language_models import load_language_model
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.encoders.embedders import load_embedder
from retrieve_rerank.models.services.http import JsonServer, read_url
from retrieve_rerank.network.addresses import (
    Host,
    Url,
    redacted,
    split_credentials,
    without_credentials,
)
from retrieve_rerank.rerankers.remote import Remote
from retrieve_rerank.settings.build import locate
from retrieve_rerank.settings.sources import IndexSettings, Settings, StageSettings

EXPECTED = "http://HOST:PORT"
SECRET = "tops3cret"
# What people choose and forget to encode, with a part that is easily recognised.
secrets = st.builds(
    lambda before, after: before + SECRET + after,
    st.text("ab1-/?#[]:%$&=+ ü", max_size=4),
    st.text("ab1-/?#[]:%$&=+ ü", max_size=4),
)
places = st.sampled_from(
    [
        "{scheme}://user:{secret}@host/docs",
        "{scheme}://{secret}@host:9200/docs",
        "{scheme}://{secret}:@[::1]:9200/docs",
        "{scheme}://user:{secret}@host:9200/docs?x=1",
        "{scheme}://user:{secret}@a:1,b:2/docs",
        "{scheme}:/user:{secret}@host/docs",
        "{scheme}:user:{secret}@host/docs",
        "{scheme}:///user:{secret}@host/docs",
        "//user:{secret}@host/docs",
        "user:{secret}@host/docs",
        "{scheme}://host/docs?api_key={secret}",
        "{scheme}://host/docs?{secret}",
        "{scheme}://host/docs#{secret}",
        "{scheme}://host:9200/docs?model=m&key={secret}",
    ]
)
schemes = st.sampled_from(["elasticsearch", "elasticsearch+https", "qdrant", "qdrant+https"])
kinds = st.sampled_from(["openai:http", "tei:http", "ollama:https", "cohere:http", "vllm:http"])
addresses = st.builds(
    lambda place, scheme, secret: place.format(scheme=scheme, secret=secret),
    places,
    schemes | kinds,
    secrets,
)


def outcome(function: Any, *arguments: Any, **options: Any) -> str:
    """What a caller sees: the result, or the error with all that caused it."""
    try:
        made = function(*arguments, **options)
        return f"{made!r} {made}"
    except RetrieveRerankError as exc:
        return "".join(traceback.format_exception_only(exc)) + repr(exc) + repr(exc.__cause__)


quickly = settings(deadline=None, max_examples=60)


@quickly
@given(address=addresses)
@example(address=f"elasticsearch://user:{SECRET}/x@host/docs")
@example(address=f"elasticsearch://user:{SECRET}?x@host/docs")
@example(address=f"elasticsearch://user:{SECRET}#x@host/docs")
@example(address=f"elasticsearch:/user:{SECRET}@host/docs")
@example(address=f"openai:http://u:{SECRET}@h/v1")
def test_no_secret_is_shown_wherever_it_stands_in_an_address(address: str) -> None:
    assert SECRET not in redacted(address)
    for function in (
        ElasticsearchAddress.parse,
        QdrantAddress.parse,
        load_embedder,
        Remote,
        resolve,
        *([load_language_model] if address.startswith(("openai:", "ollama:")) else []),
    ):
        assert SECRET not in outcome(function, address), function
    assert SECRET not in outcome(read_url, address.partition(":")[2], where="URL")


@quickly
@given(address=addresses)
def test_no_setting_shows_a_secret(address: str) -> None:
    for made in (
        lambda: IndexSettings(url=address),
        lambda: Settings(index=address),
        lambda: locate(Settings(index=address)),
        lambda: Settings(encoder=address, sparse_encoder=address),
        lambda: Settings(stages=[StageSettings(reranker="remote", model=address)]),  # type: ignore[call-arg]  # an option of the reranker
    ):
        assert SECRET not in outcome(made)
        try:
            read = made()
        except RetrieveRerankError:
            continue
        assert SECRET not in read.model_dump_json()
        json.loads(read.model_dump_json())


names = st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")), min_size=1)
hosts = st.builds(
    Host,
    st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z]{1,5}){0,2}", fullmatch=True)
    | st.ip_addresses(v=6).map(str)
    | st.just("münchen.example"),
    st.none() | st.integers(1, 65535),
)
urls = st.builds(
    Url,
    st.sampled_from(["http", "elasticsearch+https", "qdrant"]),
    st.lists(hosts, max_size=3).map(tuple),
    st.lists(names, max_size=3).map(tuple),
)


@quickly
@given(url=urls)
@example(url=Url("elasticsearch", (Host("h"),), ("one,two-*",)))
@example(url=Url("elasticsearch", (Host("::1", 9200),), ("pre/fix", "a@b?c#d%25")))
def test_what_is_printed_is_read_again(url: Url) -> None:
    assert Url.parse(str(url), expected=EXPECTED) == url


@quickly
@given(url=urls, user=names, password=names)
def test_credentials_are_read_and_not_printed(url: Url, user: str, password: str) -> None:
    scheme, _, rest = str(url).partition("://")
    given = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
    read = Url.parse(given, expected=EXPECTED)
    assert (read.username, read.password, read.public) == (user, password, url)
    assert str(read) == str(url)
    clean, *credentials = split_credentials(given, expected=EXPECTED)
    assert (clean, credentials) == (f"{scheme}://{rest}", [user, password])


@quickly
@given(text=st.text() | addresses)
def test_any_text_is_an_address_or_an_error_of_ours(text: str) -> None:
    for parse in (ElasticsearchAddress.parse, QdrantAddress.parse):
        outcome(parse, text)
    outcome(split_credentials, text, expected=EXPECTED)
    redacted(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("docs", "docs"),
        ("./me@work/docs", "./me@work/docs"),
        ("qdrant+local:///home/me@work/docs", "qdrant+local:///home/me@work/docs"),
        ("elasticsearch://h:9200/one,two-*", "elasticsearch://h:9200/one,two-*"),
        ("elasticsearch://me:pw@[::1]:9200/docs", "elasticsearch://***@[::1]:9200/docs"),
        ("elasticsearch://me:pw/docs", "elasticsearch://me:***/docs"),
        ("openai:qwen3:8b", "openai:qwen3:8b"),
        ("openai:@cf/baai/bge-m3", "openai:@cf/baai/bge-m3"),
        ("vllm:http://h:8000?model=BAAI/bge-m3", "vllm:http://h:8000?model=BAAI/bge-m3"),
        ("tei:http://h?dimensions=3&key=pw", "tei:http://h?***"),
    ],
)
def test_what_is_no_secret_is_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://u:a/b@host", r"http://\*\*\*@host cannot be read: in a user or password write /"),
        ("http://host/a@b", "in a name @ as %40"),
        ("http://u:[@host[/x", r"http://\*\*\*@host\[:\*\*\*/x has a host or port that cannot"),
        ("http://[::zz]/x", "names a host that there cannot be"),
        ("http://h℀x/x", "names a host that there cannot be"),
        ("http://host:99999/x", "has a port beyond 65535"),
        ("http://host/a\nb", "is no address"),
        ("http://host/a%1bb", "has characters in its path"),
        ("http://host/x?y=z", r"http://host/x\?\*\*\* goes on after its path"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Url.parse(text, expected=EXPECTED)


def test_credentials_in_the_words_of_others_are_hidden() -> None:
    text = "cannot fetch http://u:p/w@h/x or 'https://k@h'"
    assert without_credentials(text) == "cannot fetch http://***@h/x or 'https://***@h'"


def test_a_servers_credentials_are_used_and_not_shown() -> None:
    server = JsonServer(
        read_url("http://me:s%3Ft@h/v1", where="URL"),
        name="tei",
        key=None,
        key_variable="KEY",
        url_variable=None,
        timeout_s=1,
    )
    assert server.url == "http://h/v1"
