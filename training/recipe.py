"""What `rr train` is told by a YAML file: this project's keys, or those of RAG-Retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from transformers.integrations.integration_utils import get_available_reporting_integrations

from retrieve_rerank.errors import ConfigError
from retrieve_rerank.evaluation.judges import by_models
from retrieve_rerank.models.checkpoints.resolving import resolve
from retrieve_rerank.models.loading import BUNDLED_RERANKER
from retrieve_rerank.models.runtimes.torch import gpu
from retrieve_rerank.models.tokenizers.prompts import PromptTokenizer
from retrieve_rerank.rerankers.llm.published_prompts import load_scalar_prompt
from retrieve_rerank.text.template import Template
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.reading import GroupSource, gathered
from retrieve_rerank.training.trainers.decoders.base import check_marks
from retrieve_rerank.training.trainers.settings import TrainerSettings

OWN = ("data", "dev", "base", "output")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained, from what and how."""

    groups: Sequence[Group]
    dev: Sequence[Group]
    """Empty where nothing chooses the best checkpoint."""
    base: str
    output: Path
    settings: TrainerSettings
    notes: Sequence[str] = ()
    """What the file says that is taken otherwise than one may think, a sentence each."""


def read_yaml(config: Path) -> Mapping[str, Any]:
    """Read the keys of a file; raise ConfigError where there are none."""
    try:
        chosen = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(f"cannot read {config}: {' '.join(str(exc).split())}") from exc
    if not isinstance(chosen, dict):
        raise ConfigError(f"{config} holds no keys; expected data: and output: at least")
    return chosen


def check_keys(config: Path, chosen: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise ConfigError for a key that is not known, naming the nearest one that is."""
    for name in chosen:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"
            raise ConfigError(f"{config} has an unknown key {name!r}{meant}")


def own_recipe(chosen: Mapping[str, Any], config: Path) -> Recipe:
    """Read what this project's keys say; paths are relative to the file.

    Of BEIR folders `data` is the training split, and `dev` that of this name. What has titles is
    laid out by the template that will be recorded, the settings' or the base's.
    """
    check_keys(config, chosen, [*OWN, *(field.name for field in fields(TrainerSettings))])
    for name in ("data", "output"):
        if not chosen.get(name):
            raise ConfigError(f"{config} lacks the key {name!r}")

    def beside(path: object) -> Path:
        return config.parent / Path(str(path)).expanduser()

    base = str(chosen.get("base", BUNDLED_RERANKER))
    given = {name: value for name, value in chosen.items() if name not in OWN}
    if str(given.get("prompt")).endswith((".toml", ".json")):
        given["prompt"] = str(beside(given["prompt"]))
    if "base" in chosen and beside(base).is_dir():  # else an alias, a version or a name of the hub
        base = str(beside(base))
    named = chosen["data"] if isinstance(chosen["data"], list) else [chosen["data"]]
    paths = [beside(path) for path in named]
    sources = [read_groups(path) for path in paths]
    settings, notes = _with_template(TrainerSettings.from_mapping(given), base, sources)
    notes += notes_on_formats(settings, base)
    notes += [f"{each.name}: {by_models(each.judges)}" for each in sources if each.judges]
    check_machine(settings)
    template = settings.template_for(base)
    dev = chosen.get("dev")
    return Recipe(
        groups=[group for path in paths for group in read_groups(path, template=template)],
        dev=gathered(read_groups(beside(dev), split="dev", template=template)) if dev else [],
        base=base,
        output=beside(chosen["output"]),
        settings=settings,
        notes=notes,
    )


def check_machine(settings: TrainerSettings) -> None:
    """Raise ConfigError for a device or a package that this machine lacks."""
    if settings.device.startswith("cuda") and not gpu():
        raise ConfigError(
            f"device {settings.device!r}: torch finds no GPU here; leave device out, or name cpu"
        )
    there = get_available_reporting_integrations()  # type: ignore[no-untyped-call]  # as it is theirs
    for name in settings.report_to:
        if name not in there:
            raise ConfigError(
                f"report_to {name!r}: no such package is installed or known; there are:"
                f" {', '.join(there) or 'none'}"
            )


def notes_on_formats(settings: TrainerSettings, base: str) -> list[str]:
    """Say where RAG-Retrieval's formats for decoders hold what is no token of the base."""
    if not settings.has_their_formats:
        return []
    prompt = load_scalar_prompt(settings.prompt, model=base)
    tokenizer = PromptTokenizer(resolve(base, on_gpu=True))
    try:
        check_marks([text for _, text in prompt.messages], tokenizer, name=base)
    except ConfigError as exc:
        return [f"{exc}; it is read in pieces, as RAG-Retrieval does"]
    return []


def _with_template(
    settings: TrainerSettings, base: str, sources: Sequence[GroupSource]
) -> tuple[TrainerSettings, list[str]]:
    """Have the template recorded that the texts are read by, and say where nobody can know it."""
    template, plain = settings.template_for(base), Template()
    whole = [source.name for source in sources if not source.has_titles]
    if template == plain or not whole:
        return settings, []
    named = f"the texts in {', '.join(whole)} have no titles and are read as they stand"
    if settings.template is not None:
        told = f"the model will read documents by {template.pattern!r}: they should be laid out so"
        return settings, [f"{named}; {told}"]
    told = f"so the model will read documents by {plain.pattern!r}, not as {base} does by"
    return replace(settings, template=plain.pattern), [
        f"{named}, {told} {template.pattern!r}; the key template says how they are laid out"
    ]
