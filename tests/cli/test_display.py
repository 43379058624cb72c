from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len

from retrieve_rerank.cli.views.console import Console
from retrieve_rerank.cli.views.hits import hits_table, stages_table
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.pipeline.result_json import result_as_json, stage_hits
from retrieve_rerank.pipeline.retriever import Retriever
from retrieve_rerank.pipeline.stage import Stage
from retrieve_rerank.testing import OverlapScorer
from retrieve_rerank.types import Document, SearchResult, StageReport

DOCUMENTS = [
    Document("short", "wing", {"title": "Short"}),
    Document("long", "the lift of a wing and the drag of a wing in a wind tunnel"),
]
QUERY = "lift drag wing"


def shown(
    retriever: Retriever, query: str = QUERY, *, explain: bool = False, width: int = 90
) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=width)
    console.print(hits_table(retriever.search(query), language="english", explain=explain))
    output: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    return output


def test_matching_words_are_marked_on_a_terminal() -> None:
    marked = "\x1b[30;43m"  # black on yellow
    assert f"{marked}lift\x1b[0m" in shown(Retriever(MemoryConnector(DOCUMENTS)))


def test_control_characters_of_documents_are_left_out() -> None:
    evil = Document("\x1b[2Jid", "wing \x1b]0;title\x07 \x9b31m", {"title": "\x1b[31mred"})
    output = shown(Retriever(MemoryConnector([evil])), "wing")
    assert "\x1b[2J" not in output
    assert "\x1b]0" not in output
    assert "\x9b" not in output


def test_a_stage_that_is_used_twice_keeps_both_of_its_ranks() -> None:
    retriever = Retriever(MemoryConnector(DOCUMENTS), OverlapScorer(), OverlapScorer())
    placed = stage_hits(retriever.search(QUERY))
    assert list(placed["long"]) == ["first-stage", "overlap", "overlap-2"]


def test_a_mixed_stage_tells_its_own_rank_too() -> None:
    documents = [Document("a", "wing wing wing"), Document("b", "wing lift lift lift lift lift")]
    stage = Stage(OverlapScorer(), weight=0.0)
    output = shown(Retriever(MemoryConnector(documents), stage), "wing lift", explain=True)
    assert "overlap" in output
    result = Retriever(MemoryConnector(documents), stage).search("wing lift")
    assert result_as_json(result)["hits"][0]["sources"].keys() == {"bm25", "overlap"}


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize(
    "text",
    [
        "退款政策规定客户可以在收到商品后的三十天之内申请全额退款但是必须保留原始包装和购买凭证否则"
        "本公司有权拒绝受理退款答案是四十二天",
        f"refund https://example.com/{'a-very-long-path/' * 8}the-answer",
        f"{'x' * 120}the-answer",
    ],
)
def test_text_without_spaces_is_broken_not_cut(text: str, width: int) -> None:
    document = Document("i" * 90, text, {"title": f"T{'i' * 90}"})
    output = shown(Retriever(MemoryConnector([document])), text, width=width)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    whole = "".join(lines).replace(" ", "")
    for part in (text, document.id, document.title):
        assert part.replace(" ", "") in whole


def test_an_error_of_a_stage_is_told_whole_in_a_narrow_terminal() -> None:
    reason = "cannot reach http://models.example.com:8080/v1/rerank/with/a/path/that/is/long"
    console = Console(file=io.StringIO(), width=60)
    report = StageReport("remote", 1.0, candidates=3, scored=0, error=reason)
    console.print(stages_table(SearchResult("q", [], [report])))
    output: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    told = "".join(
        line[len("remote  1.0   3       0          0  ") :] for line in output.splitlines()
    )
    assert reason.replace(" ", "") in told.replace(" ", "")
