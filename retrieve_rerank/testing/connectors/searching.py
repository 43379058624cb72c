"""Searches: their ranks and scores, their limits, several at once."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from retrieve_rerank.base import (
    Connector,
    Filter,
    MaxSimScores,
    Range,
    TensorConnector,
    TensorStore,
    VectorSearch,
)
from retrieve_rerank.errors import InputError
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings
from retrieve_rerank.testing.connectors.subject import (
    WINGS,
    Subject,
    assert_alike,
    assert_raises,
    ids,
)
from retrieve_rerank.testing.hashing import HashingEncoder
from retrieve_rerank.types import Candidates, Document, Hit


class SearchingConformance(Subject):
    """What `search`, `asearch` and `schema` do."""

    def test_ranks_run_from_one_and_scores_never_rise(self) -> None:
        """A hit of the first stage was not reranked from another."""
        with self.opened(WINGS) as connector:
            hits = connector.search("lift and drag of a wing", top_k=10)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert hits[0].document == WINGS[2]
        assert all(hit.previous is None and hit.first_stage is hit for hit in hits)

    def test_hits_tell_their_rank_in_each_ranking(self) -> None:
        """Those that the schema names, of which each ranks from 1 without gaps."""
        with self.opened(WINGS) as connector:
            hits = connector.search("drag", top_k=10)
            rankings = set(connector.schema().rankings)
        assert {name for hit in hits for name in hit.sources} == rankings
        for name in rankings:
            ranked = sorted(hit.sources[name] for hit in hits if name in hit.sources)
            assert [each.rank for each in ranked] == list(range(1, len(ranked) + 1))
            scores = [each.score for each in ranked]
            assert scores == sorted(scores, reverse=True)

    def test_top_k_cuts_without_changing_the_order(self) -> None:
        """Fewer hits are the first of more."""
        documents = [Document(f"d{i}", f"wing number {i} of {i % 7}") for i in range(30)]
        with self.opened(documents) as connector:
            every = connector.search("wing number 3", top_k=30)
            for top_k in (1, 2, 10):
                assert_alike(connector.search("wing number 3", top_k=top_k), every[:top_k])

    def test_an_empty_query_and_a_top_k_below_one_are_errors(self) -> None:
        """They say so, whatever the index holds."""
        with self.opened() as connector:
            for query, top_k, message in (
                ("", 1, "the query is empty"),
                (" \n\t", 1, "the query is empty"),
                ("wing", 0, "top_k must be at least 1; got 0"),
                ("wing", -1, "top_k must be at least 1; got -1"),
            ):
                assert_raises(InputError, partial(connector.search, query, top_k=top_k), message)

    def test_a_query_of_which_only_the_beginning_is_read_is_told(self) -> None:
        """By hits, by MaxSim's scores and of vectors; one that is just short enough is not."""
        encoder = self.encoder()
        with self.connector(encoder) as connector:
            connector.index(WINGS)
            for query, cut in (("wing " * 65, True), ("wing " * 64, False)):
                assert _truncated(connector.search(query, top_k=10)) is (
                    cut and encoder is not None
                )
                if encoder is not None:
                    _check_truncation(connector, encoder, query, cut=cut)

    def test_queries_of_a_hundred_thousand_characters_are_answered(self) -> None:
        """Of many words, of one word often, of one long word; sync as async."""
        letter = "heat in a pipe " + " ".join(f"w{n:x}q" for n in range(14_000))
        queries = {letter: "heat", "wing " * 20_000: "lift", "x" * 100_000: None}
        with self.opened(WINGS) as connector:
            found = {query: ids(connector.search(query, top_k=4)) for query in queries}

            async def search_again() -> None:
                for query in queries:
                    assert ids(await connector.asearch(query, top_k=4)) == found[query]

            asyncio.run(search_again())
        assert all(first is None or first in found[query][:2] for query, first in queries.items())

    def test_half_a_surrogate_pair_loses_nothing_beside_it(self) -> None:
        """In a query as in a filter's value."""
        documents = [Document("d", "a wing ?", {"k": "a ?"}), Document("e", "heat")]
        with self.opened(documents) as connector:
            filter: Filter = {"k": ["a \ud83d", "x"]}
            assert ids(connector.search("wing \ud83d", top_k=1)) == ["d"]
            assert ids(connector.search("\udc4dwing", top_k=1, filter=filter)) == ["d"]
            if isinstance(connector, TensorConnector):
                connector.max_sim("wing \ud83d", ["d"])

    def test_async_answers_as_sync_does(self) -> None:
        """Eight at once."""
        with self.opened(WINGS) as connector:
            filter: Filter = {"year": Range(lt=1975)}
            expected = connector.search("wing drag", top_k=3, filter=filter)

            async def search_eight_times() -> list[list[Hit]]:
                searches = [
                    connector.asearch("wing drag", top_k=3, filter=filter) for _ in range(8)
                ]
                return await asyncio.gather(*searches)

            for answer in asyncio.run(search_eight_times()):
                assert_alike(answer, expected)

    def test_threads_may_share_a_connector(self) -> None:
        """Eight threads get what one gets."""
        words = [f"word{i}" for i in range(25)]
        randomly = random.Random(5)
        documents = [Document(f"d{i}", " ".join(randomly.sample(words, 8))) for i in range(200)]
        with self.opened(documents) as connector, ThreadPoolExecutor(8) as threads:
            expected = [connector.search(word, top_k=5) for word in words]
            answers = threads.map(lambda word: connector.search(word, top_k=5), words * 3)
            for answer, hits in zip(answers, expected * 3, strict=True):
                assert_alike(answer, hits)

    def test_searching_goes_on_while_documents_come(self) -> None:
        """No search fails, and none finds half a document."""
        documents = [Document(f"d{i}", f"wing number {i}", {"i": i}) for i in range(600)]
        with self.opened(documents[:1]) as connector, ThreadPoolExecutor(1) as threads:
            writing = threads.submit(connector.index, documents)
            while not writing.done():
                assert connector.search("wing", top_k=5)
                assert all(hit.document.text for hit in connector.search("number 7", top_k=50))
            assert writing.result().indexed == 599
            assert connector.count() == 600

    def test_the_schema_describes_the_index(self) -> None:
        """Its size, the dotted names and types of its fields, its encoder."""
        encoder = self.encoder()
        with self.connector(encoder) as connector:
            connector.index(WINGS)
            schema = connector.schema()
        assert schema.documents == 4
        assert schema.fields == {
            "author.name": "string",
            "open": "boolean",
            "tags": "string",
            "year": "integer",
        }
        expected = (encoder.name, encoder.dimension) if encoder else (None, None)
        assert (schema.encoder, schema.dimension) == expected


def _truncated(hits: list[Hit]) -> bool:
    return isinstance(hits, Candidates) and hits.query_truncated


def _check_truncation(
    connector: Connector, encoder: HashingEncoder, query: str, *, cut: bool
) -> None:
    """What the connector can do besides must tell it as well."""
    if isinstance(connector, TensorConnector):
        if isinstance(connector, TensorStore) and connector.tensor_settings() is None:
            add_tensors(connector, encoder, tensor_settings(encoder))
        found = connector.search_max_sim(query, top_k=10)
        for scores in (found.scores, connector.max_sim(query, ["lift"])):
            assert isinstance(scores, MaxSimScores)
            assert scores.query_truncated is cut
        assert _truncated(found.hits) is cut
    if isinstance(connector, VectorSearch):
        assert connector.truncated_queries([query, "wing"]) == cut
