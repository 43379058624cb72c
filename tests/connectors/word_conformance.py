"""What our own backends do besides with words: BM25, alone and fused with vectors."""

from __future__ import annotations

import random

from retrieve_rerank import Candidates, Document
from retrieve_rerank.connectors.lexical import NOTHING_TO_FIND
from retrieve_rerank.registry import CONNECTORS
from retrieve_rerank.testing.connectors.subject import WINGS, Subject, ids

SAYINGS = [
    Document("hamlet", "To be, or not to be: that is the question of the prince in the play."),
    Document("band", "The Who are a band of London, which is what they say of it on the air."),
    Document("sharp", "This is an introduction to C# for those who have written some Java."),
    Document("plus", "This is a reference of C++ for those who have written some Java."),
    Document("party", "We are happy that you are here \U0001f389 and that it is warm."),
    Document("soft", "Please co\u00adoper\u00adate with those who are at the gate of İstanbul."),
]
ASKED = {
    "to be or not to be": "hamlet",
    "The Who": "band",
    "C#": "sharp",
    "C++": "plus",
    "\U0001f389": "party",
    "cooperate": "soft",
    "istanbul": "soft",
    "hap\u200dpy": "party",
}


class WordConformance(Subject):
    def test_the_schema_names_the_rankings_and_the_language(self) -> None:
        with self.opened(WINGS) as connector:
            schema = connector.schema()
        assert CONNECTORS[schema.connector]
        assert set(schema.rankings) == ({"bm25", "dense"} if self.encoder() else {"bm25"})
        assert schema.language == "english"

    def test_words_that_no_document_has_find_nothing_by_bm25(self) -> None:
        with self.opened(WINGS) as connector:
            for query in ("zebra", "???"):
                hits = connector.search(query, top_k=10)
                assert all("bm25" not in hit.sources for hit in hits)
                assert len(hits) == (4 if self.encoder() else 0)

    def test_words_are_found_however_they_are_written(self) -> None:
        with self.connector(None) as connector:
            connector.index(SAYINGS)
            for query, first in ASKED.items():
                hits = connector.search(query, top_k=10)
                assert isinstance(hits, Candidates)
                assert (query, ids(hits)[:1], hits.notes) == (query, [first], ())

    def test_a_query_without_words_says_that_it_has_none(self) -> None:
        with self.opened(SAYINGS) as connector:
            hits = connector.search("?! …", top_k=10)
        assert isinstance(hits, Candidates)
        assert hits.notes == (NOTHING_TO_FIND,)

    def test_what_only_words_can_find_is_among_the_first(self) -> None:
        # To the encoder, the code beyond the words that it reads does not exist.
        filling = "valve pump boiler " * 30
        documents = [Document(f"m{n:03}", f"{n} {filling}") for n in range(130)]
        documents.append(Document("code", f"999 {filling} X77Q12"))
        documents.append(Document("two", f"{filling} K8"))
        documents.append(Document("twin", f"{filling} {'spare ' * 20} K8"))
        with self.opened(documents) as connector:
            assert "code" in ids(connector.search("X77Q12", top_k=100))[:10]
            assert {"two", "twin"} <= set(ids(connector.search("K8", top_k=100))[:10])

    def test_an_uninformative_word_does_not_outrank_what_the_encoder_finds(self) -> None:
        words = [f"w{n}" for n in range(400)]
        draw = random.Random(7)
        documents = [Document(f"m{n}", " ".join(draw.sample(words, 12))) for n in range(130)]
        documents.append(Document("polite", " ".join([*draw.sample(words, 12), "kindly"])))
        documents.append(Document("right", "refund " * 60 + "money back"))
        with self.opened(documents) as connector:
            hits = ids(connector.search("refund refund refund kindly", top_k=100))
        assert hits.index("right") < hits.index("polite")
