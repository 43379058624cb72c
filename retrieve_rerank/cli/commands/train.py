"""`rr train`: a cross-encoder from training groups, as a YAML file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
import yaml

from retrieve_rerank.cli.options import json_option
from retrieve_rerank.cli.views.progress import show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.errors import ConfigError
from retrieve_rerank.models.loading import DEFAULT_ENCODER
from retrieve_rerank.training.groups import Group
from retrieve_rerank.training.opening import read_groups
from retrieve_rerank.training.trainers import Progress, Trained, TrainerSettings, group_ndcg, train

_OWN = ("data", "dev", "base", "output")


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def command(config: Path, as_json: bool) -> None:
    """Train a cross-encoder as the YAML file CONFIG says.

    Its keys: data, a file of groups in any format of `rr data`, or a list of them; output, the
    folder for the run, whose folder model is what comes of it; base, a cross-encoder or an encoder
    to start from (all-MiniLM-L6-v2, which comes with the package, if it is left out); dev, a file
    of groups whose nDCG@10 chooses the best checkpoint; and those of
    retrieve_rerank.training.trainers.TrainerSettings, such as loss, learning_rate, epochs.

    What was broken off goes on by the same command.
    """
    chosen = _read(config)
    settings = TrainerSettings.from_mapping(
        {name: value for name, value in chosen.items() if name not in _OWN}
    )
    paths = chosen["data"] if isinstance(chosen["data"], list) else [chosen["data"]]
    groups = [group for path in paths for group in _groups(config, path)]
    dev = chosen.get("dev")
    evaluator = group_ndcg(_groups(config, dev)) if dev else None
    latest: list[Progress] = []
    with show_progress(
        lambda pairs: latest[-1].step / latest[-1].steps if latest else None,
        doing="training",
        quiet=as_json,
        things="groups",
    ) as advance:

        def hear(progress: Progress) -> None:
            latest[:] = [progress]
            advance(settings.batch_size)

        trained = train(
            groups,
            base=str(chosen.get("base", DEFAULT_ENCODER)),
            output=_beside(config, chosen["output"]),
            settings=settings,
            evaluator=evaluator,
            on_progress=hear,
        )
    if as_json:
        write_json(trained.as_dict())
    else:
        _say(trained)
    if trained.failed:
        raise click.exceptions.Exit(1)


def _read(config: Path) -> Mapping[str, Any]:
    """Read the file; raise ConfigError for what it may not hold, or lacks."""
    try:
        chosen = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(f"cannot read {config}: {' '.join(str(exc).split())}") from exc
    if not isinstance(chosen, dict):
        raise ConfigError(f"{config} holds no keys; expected data: and output: at least")
    known = [*_OWN, *(field.name for field in fields(TrainerSettings))]
    for name in chosen:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{config} has an unknown key {name!r}{meant}")
    for name in ("data", "output"):
        if not chosen.get(name):
            raise ConfigError(f"{config} lacks the key {name!r}")
    return chosen


def _groups(config: Path, path: object) -> list[Group]:
    return list(read_groups(_beside(config, path)))


def _beside(config: Path, path: object) -> Path:
    """Take paths as relative to the file that names them."""
    return config.parent / Path(str(path)).expanduser()


def _say(trained: Trained) -> None:
    for reason, count in trained.left_out.items():
        say(f"Note: left out {count:,} × {reason}")
    for point in trained.curve:
        if point.measure is not None:
            say(f"step {point.step:,}: dev nDCG@10 {point.measure:.4f}")
    for warning in trained.warnings:
        say(f"Warning: {warning}")
    if trained.stopped:
        say(trained.stopped)
    say(
        f"{trained.steps:,} steps with {trained.loss}, {trained.pairs_per_s:.1f} pairs/s"
        f" ({trained.description})"
    )
    say(f"the model is in {trained.model}")
