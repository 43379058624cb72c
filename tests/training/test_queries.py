from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import InputError
from retrieve_rerank.evaluation.files import read_folder
from retrieve_rerank.indexing.token_tensors import add_tensors, tensor_settings
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.rerankers.database import DatabaseMaxSim
from retrieve_rerank.testing.hashing import HashingEncoder
from retrieve_rerank.training.queries import (
    Cut,
    Cuts,
    generate,
    read_cuts,
    without_spans,
    write_folder,
)
from retrieve_rerank.training.queries.cuts import without
from retrieve_rerank.training.queries.proposals import proposals
from retrieve_rerank.training.queries.sentences import sentences
from retrieve_rerank.training.queries.written import read_query

GLAUCOMA = Document(
    "glaucoma",
    "# Raised pressure in the eye\n"
    "Pressure inside the eye damages the optic nerve, often without a sign before sight is lost.\n"
    "What lowers the pressure? Drops lower the pressure of the eye and are taken every single day.",
    {"title": "Glaucoma and its treatment"},
)
FERRY = Document(
    "ferry",
    "渡轮每天早上八点从码头出发，前往对面的小岛。岛上的居民用渡轮运送蔬菜、鱼和邮件。"
    "冬天风浪大的时候，什么时候停航？船长在前一天晚上决定是否停航，并在码头贴出通知。",
    {"title": "小岛渡轮时刻表"},
)
OTHERS = [
    Document(f"d{i}", f"Part {i} of the handbook tells of ships, and of eyes {'x' * i}, at length.")
    for i in range(8)
]
DOCUMENTS = [GLAUCOMA, FERRY, *OTHERS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It holds. See Dr. Ng, e.g. on p. 4. Does it?", 3),
        ("他说：“不行。”然后走了！真的吗？", 3),
        ("version 2.5 came.\nno capital follows. so what", 2),
    ],
)
def test_sentences_end_where_readers_see_it(text: str, expected: int) -> None:
    found = sentences(text)
    assert len(found) == expected
    assert all(sentence in text for sentence in found)


def test_a_document_offers_its_title_headings_questions_and_sentences() -> None:
    offered = [(each.source, each.query) for each in proposals(GLAUCOMA) if each.says_something]
    assert offered == [
        ("title", "Glaucoma and its treatment"),
        ("heading", "Raised pressure in the eye"),
        (
            "sentence",
            "Pressure inside the eye damages the optic nerve, often without a sign before sight is"
            " lost.",
        ),
        ("question", "What lowers the pressure?"),
        ("sentence", "Drops lower the pressure of the eye and are taken every single day."),
    ]
    chinese = {each.source: each.query for each in proposals(FERRY) if each.says_something}
    assert chinese["title"] == "小岛渡轮时刻表"
    assert chinese["question"] == "冬天风浪大的时候，什么时候停航？"


@pytest.mark.parametrize("title", ["example.com", "Untitled 3", "index.html", "12-04", "The"])
def test_titles_that_say_nothing_are_no_queries(title: str) -> None:
    document = Document("d", GLAUCOMA.text, {"title": title})
    [offered] = [each for each in proposals(document) if each.source == "title"]
    assert not offered.says_something


def test_a_title_of_most_documents_says_nothing_and_one_of_few_is_of_all_of_them() -> None:
    site = [Document(f"s{i}", f"{each.text} And so on and on, page {i}.", {"title": "Our shop"})
            for i, each in enumerate(OTHERS * 2)]  # fmt: skip
    twins = [
        Document("a1", GLAUCOMA.text, {"title": "How is glaucoma treated"}),
        Document("a2", "Glaucoma is treated by drops or by surgery, as its pressure asks for it.",
                 {"title": "How is glaucoma treated?"}),
    ]  # fmt: skip
    found = generate(MemoryConnector([*site, *twins]), sources=["title"])
    assert list(found.qrels.values()) == [{"a1": 1, "a2": 1}]
    assert found.yields["title"].says_nothing == 1


@pytest.mark.parametrize("encoder", [None, HashingEncoder()])
def test_what_is_generated_depends_on_the_seed_alone(encoder: HashingEncoder | None) -> None:
    one = generate(MemoryConnector(DOCUMENTS, encoder=encoder), limit=6)
    other = generate(MemoryConnector(DOCUMENTS[::-1], encoder=encoder), limit=6)
    assert one.queries and one == other
    for query, its in one.yields.items():
        assert its.tried == its.kept + its.not_returned, query


def test_a_query_found_only_by_its_own_words_is_dropped() -> None:
    """Nothing else of its document has a word in common with it."""
    odd = "Zebras gallop over frozen mountain lakes."
    alone = Document("odd", f"{odd} Part of a handbook that tells of ships and of eyes at length.")
    found = generate(MemoryConnector([alone, *DOCUMENTS]), sources=["sentence"], top_k=3)
    assert odd not in found.queries.values()
    assert (odd, "odd") in found.yields["sentence"].lost


def test_queries_of_one_document_share_a_split_and_some_keep_their_span() -> None:
    documents = [
        Document(f"t{i}", f"Topic{i} has a first property{i}, which is long. Is topic{i} so large? "
                 f"Nobody measured topic{i} before the survey{i} of last year.",
                 {"title": f"Survey{i} of topic{i}"})
        for i in range(60)
    ]  # fmt: skip
    found = generate(MemoryConnector(documents), top_k=5)
    of_document: dict[str, set[str]] = {}
    for query, documents_of in found.qrels.items():
        [document] = documents_of
        of_document.setdefault(document, set()).add(found.splits[query])
    assert all(len(splits) == 1 for splits in of_document.values())
    assert {"train", "test"} <= set(found.splits.values())
    train = [query for query, split in found.splits.items() if split == "train"]
    assert set(found.cuts.whole) < set(train)
    assert 0.02 < len(found.cuts.whole) / len(train) < 0.25  # one in ten


def test_a_search_without_spans_moves_the_source_down_and_cuts_like_spans_of_others() -> None:
    query = "Drops lower the pressure of the eye and are taken every single day."
    cuts = Cuts({"glaucoma": {"q": Cut("sentence", query)}})
    rival = Document("rival", "Drops of the eye lower the pressure. Take them every day. " * 2)
    retriever = Retriever(MemoryConnector([*DOCUMENTS, rival]))
    assert retriever.search(query).hits[0].document.id == "glaucoma"
    searched = without_spans(retriever, {"q": query}, cuts).search(query)
    assert [hit.document.id for hit in searched][:2] == ["rival", "glaucoma"]
    assert [hit.rank for hit in searched] == list(range(1, len(searched) + 1))
    scores = [hit.score for hit in searched]
    assert scores == sorted(scores, reverse=True)
    source = searched.hits[1].document
    assert query not in source.text and "What lowers the pressure?" in source.text
    assert len(searched.hits[0].document.text) < len(rival.text)
    # Of a training query in ten all is read.
    whole = Cuts(cuts.of, frozenset({"q"}))
    assert without_spans(retriever, {"q": query}, whole).search(query).hits[0].document == GLAUCOMA
    # Another query is searched for as ever.
    other = "optic nerve"
    assert (
        without_spans(retriever, {"q": query}, cuts).search(other).hits
        == retriever.search(other).hits
    )


@pytest.mark.parametrize(
    ("cut", "text", "left"),
    [
        (
            Cut("heading", "Data Retention"),
            "Data Retention\n\nThe Data Retention schedule applies; see Data Retentions.",
            "The Data Retention schedule applies; see Data Retentions.",
        ),
        (
            Cut("sentence", "It ends."),
            "All begins. It ends. They say that It ends.\nIt ends. So be it.",
            "All begins. They say that It ends.\nSo be it.",
        ),
        (Cut("question", "退款需要几天？"), "说明。退款需要几天？三天。", "说明。三天。"),
    ],
)
def test_a_span_is_cut_where_it_is_a_line_or_sentence_of_its_own(
    cut: Cut, text: str, left: str
) -> None:
    assert without(Document("d", text), cut).text == left


@pytest.mark.parametrize("factor", [1, 2])
def test_max_sim_in_the_database_is_of_the_text_without_the_span(factor: int) -> None:
    query = "Drops lower the pressure of the eye and are taken every single day."
    encoder = HashingEncoder()
    cut = Cut("sentence", query)

    def over(documents: list[Document]) -> Retriever:
        connector = MemoryConnector(documents, encoder=encoder)
        add_tensors(connector, encoder, tensor_settings(encoder, pooling_factor=factor))
        return Retriever(connector, Stage(DatabaseMaxSim(connector), weight=1.0))

    retriever = over(DOCUMENTS)
    cuts = Cuts({"glaucoma": {"q": cut}})
    searched = without_spans(retriever, {"q": query}, cuts)

    def score(of: Retriever) -> float:
        [found] = [hit for hit in of.search(query, top_k=20) if hit.document.id == "glaucoma"]
        return found.score

    assert not searched.search(query).degraded
    assert score(searched) < score(retriever) - 0.1
    assert factor > 1 or score(retriever) == pytest.approx(1, abs=0.01)
    others = [each for each in DOCUMENTS if each is not GLAUCOMA]
    stored = score(over([without(GLAUCOMA, cut), *others]))
    assert score(searched) == pytest.approx(stored, abs=0.01)


def test_a_folder_holds_queries_judgments_and_cuts(tmp_path: Path) -> None:
    found = generate(MemoryConnector(DOCUMENTS))
    write_folder(found, tmp_path / "queries")
    assert read_cuts(tmp_path / "queries") == found.cuts
    for split in set(found.splits.values()):
        queries, qrels = read_folder(tmp_path / "queries", split=split)
        assert queries == found.queries
        assert qrels == {q: found.qrels[q] for q, its in found.splits.items() if its == split}
    with pytest.raises(InputError, match="holds queries already"):
        write_folder(found, tmp_path / "queries")
    (tmp_path / "queries" / "cuts.jsonl").write_text('{"query-id": "x", "source": "tittle"}\n')
    with pytest.raises(InputError, match=r"cuts.jsonl:1: expected query-id"):
        read_cuts(tmp_path / "queries")


def test_an_index_that_offers_nothing_is_an_error_that_says_why() -> None:
    with pytest.raises(InputError, match="title: 2 proposed, 2 say nothing"):
        generate(MemoryConnector([Document(f"{i}", GLAUCOMA.text, {"title": "Index"})
                                  for i in range(2)]), sources=["title"])  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ("<think>A flap?</think>\n1. “What lifts a wing?”", "What lifts a wing?"),
        ("<think>\nThe passage tells of", ""),
    ],
)
def test_a_query_is_read_after_a_models_thoughts(answer: str, query: str) -> None:
    assert read_query(answer) == query
