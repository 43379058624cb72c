"""The models that label, as `rr label` is told them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrieve_rerank.cli.spending import Spending, check_price
from retrieve_rerank.connecting import reranker_for
from retrieve_rerank.data.lines import read_settings_text
from retrieve_rerank.errors import ConfigError, RetrieveRerankError
from retrieve_rerank.models.metering import Price
from retrieve_rerank.training.labelling import Teacher

_PRICES = ("input_price", "output_price", "request_price")
_CHATS = ("openai:", "ollama:")


def make_teachers(
    names: Sequence[str], spending: Spending, *, reranker: str | None, prompt: str | None
) -> list[Teacher]:
    """Load teachers: models by name, or .toml files that describe one each.

    Raises ConfigError where one behind a server has no price, and something may be spent.
    """
    teachers = []
    for name in names:
        if name.endswith(".toml"):
            options, price = _read(Path(name), spending.price)
        else:
            options = {"model": name, "prompt": prompt, "reranker": reranker}
            price = spending.price
        model, kind = options.pop("model", None), options.pop("reranker", None)
        if kind is None and str(model).startswith(_CHATS):
            kind = "llm-listwise"  # which any chat model can answer, without log-probabilities
        try:
            made = reranker_for(model, kind, options)
        except RetrieveRerankError:
            raise
        except ValueError as exc:  # of a stage's own options, such as a depth that is no number
            raise ConfigError(f"the teacher {name} cannot be used: {exc}") from exc
        teacher = Teacher(made, spending.store, price=price, purse=spending.purse)
        check_price(teacher.name, teacher.served, price, spending.purse)
        teachers.append(teacher)
    return teachers


def _read(path: Path, price: Price) -> tuple[dict[str, Any], Price]:
    try:
        options = tomllib.loads(read_settings_text(path))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read the teacher {path}: {exc}") from exc
    given = [options.pop(name, its) for name, its in zip(_PRICES, price, strict=True)]
    if not all(isinstance(each, int | float) and each >= 0 for each in given):
        raise ConfigError(f"{path}: {', '.join(_PRICES)} must be numbers, 0 or above; got {given}")
    return options, Price(*given)
