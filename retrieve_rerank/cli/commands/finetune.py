"""`rr finetune`: train a reranker on the index that serves, prove it, promote it if better."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click

from retrieve_rerank.cli.finetuning import (
    default_base,
    gate_options,
    held_out_options,
    load_training,
    model_name,
    query_options,
    read_judged,
    read_protected,
    train_by_segment,
)
from retrieve_rerank.cli.judgments import exclude_self_option, say_division, say_left_out
from retrieve_rerank.cli.options import (
    NumberRange,
    candidates_option,
    field_options,
    index_option,
    json_option,
)
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.models.checkpoints.version_lookup import promotion_for
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.settings.build import build_retriever, candidate_settings, locate
from retrieve_rerank.settings.promoted import (
    index_address,
    promoted_in,
    stages_digest,
    with_promoted,
)
from retrieve_rerank.settings.sources import StageSettings, load_settings
from retrieve_rerank.training.curriculum import Curriculum
from retrieve_rerank.training.launching import alone


@click.command()
@index_option
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="BEIR folder of judged queries. Its splits stay what they are; those that it lacks are "
    "drawn by hash, and a lone one is divided.  [default: queries are made from the index's own "
    "documents]",
)
@click.option(
    "--groups",
    type=click.Path(exists=True, path_type=Path),
    help="Training data that are there already, in any form that rr data reads, in place of mined "
    "ones. Without --data some of them are held out, by their texts' ids.",
)
@click.option(
    "--segment",
    "field",
    metavar="FIELD",
    help="Field of the queries by which they are divided: each value with enough judged queries "
    "gets a model of its own, which serves searches with that --segment; others get the one for "
    "all. Needs --data.",
)
@query_options
@click.option(
    "--replay",
    multiple=True,
    metavar="FILE[:SHARE]",
    help="General training data, in any form that rr data reads, of which SHARE groups are trained "
    "on for each of your own, so that less is forgotten.  [default share: 0.25]",
)
@click.option(
    "--protect",
    multiple=True,
    type=(str, click.Path(exists=True, file_okay=False, path_type=Path)),
    metavar="INDEX FOLDER",
    help="Another index and a BEIR folder of queries judged on it: shown before and after, and the "
    "model is not promoted where it may have lost much there.",
)
@click.option(
    "--base",
    help="Cross-encoder or encoder to start from: an alias, a hub id or a folder.  [default: the "
    "index's own, else the bundled MiniLM-L6-reranker, which reads English]",
)
@click.option("--name", help="Name of the model.  [default: the index's, with -reranker]")
@click.option(
    "--minutes",
    type=NumberRange(min=0, min_open=True),
    help="What all of it may take; it becomes a number of steps, which is kept.  [default: one "
    "round of the training queries]",
)
@click.option(
    "--veto",
    metavar="MODEL",
    help="Cross-encoder that keeps texts which it takes for relevant from becoming negatives: an "
    "alias, a hub id, a folder, 'served' for the index's own, or 'cross-fit' for two that are "
    "trained on half of the queries and judge the other half's.",
)
@click.option(
    "--curriculum",
    type=click.Choice(get_args(Curriculum)),
    help="Negatives of ever higher ranks, or of ever more, as training goes on.  [default: of all "
    "ranks]",
)
@click.option(
    "--remine",
    is_flag=True,
    help="Take of each query's negatives those that the model in training scores highest, anew at "
    "each step, in place of any.",
)
@click.option("--loss", help="Loss, such as lce, ranknet or lambda.  [default: by the labels]")
@click.option(
    "--learning-rate",
    type=NumberRange(min=0, min_open=True),
    help="Learning rate.  [default: the best of several where --minutes leaves time, else 5e-5]",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=8),
    help="Tokens that the model reads of a query and a text together.  [default: the base's]",
)
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How many hits the model may rerank at most.",
)
@held_out_options
@gate_options
@click.option("--seed", type=int, default=13, show_default=True, help="What chance draws by.")
@exclude_self_option
@click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on where documents were added to the index or deleted since mining began.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it would take.")
@candidates_option
@field_options
@json_option
def command(
    index: str | None,
    data: Path | None,
    groups: Path | None,
    field: str | None,
    queries: str,
    query_model: str | None,
    replay: tuple[str, ...],
    protect: tuple[tuple[str, Path], ...],
    base: str | None,
    name: str | None,
    minutes: float | None,
    veto: str | None,
    curriculum: Curriculum | None,
    remine: bool,
    loss: str | None,
    learning_rate: float | None,
    max_tokens: int | None,
    depth: int,
    test_queries: int,
    dev_queries: int,
    min_gain: float,
    max_p95_ms: float | None,
    seed: int,
    accept_generated: bool,
    exclude_self: bool,
    accept_changes: bool,
    dry_run: bool,
    candidates: int | None,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Train a reranker on an index, prove it on held-out queries, promote it if it is better.

    Hard negatives are mined from the index, a cross-encoder is trained on them, its depth and
    weight are chosen on dev queries, and held-out queries tell whether it beats today's pipeline
    with its own depth and weight tuned on the same dev queries. Only then it is promoted: searches
    of the index use it from then on. Stopped at any moment, the same command goes on.
    """
    began = time.perf_counter()
    if field is not None and (data is None or groups is not None):
        raise click.UsageError("--segment needs --data, whose queries have the field, alone")
    if (queries == "llm") != (query_model is not None) or (query_model and (data or groups)):
        raise click.UsageError("--queries llm and --query-model go together, without --data")
    alone("rr finetune")
    training = load_training()
    settings = load_settings(index=index, candidates=candidates, **fields)
    where = locate(settings)
    address = index_address(where)
    chosen = training.FinetuneSettings(
        trainer=training.TrainerSettings.from_mapping(
            {
                key: value
                for key, value in {
                    "curriculum": curriculum,
                    "remine": remine or None,
                    "loss": loss,
                    "learning_rate": learning_rate,
                    "max_tokens": max_tokens,
                    "seed": seed,
                }.items()
                if value is not None
            }
        ),
        veto=veto,
        sweep=learning_rate is None,
        minutes=minutes,
        depth=depth,
        test_queries=test_queries,
        dev_queries=dev_queries,
        min_gain=min_gain,
        max_p95_ms=max_p95_ms,
        accept_generated=accept_generated,
        exclude_self=exclude_self,
    )
    name = model_name(name, settings, kind="reranker")
    view = import_module("retrieve_rerank.cli.views.finetune")

    def watching(name: str) -> Any:
        kept_in = ModelVersions(settings.data_dir, name).folder
        return view.Terminal(quiet=as_json, kept_in=kept_in)

    watch = watching(name)
    replays = [training.Replay.parse(each) for each in replay]
    protected = [read_protected(*each, at_most=test_queries) for each in protect]

    def run(judged: Any, name: str, segment: str = "", models: int = 1) -> None:
        """Train the model of a segment, or of all searches, in its share of the minutes."""
        today = with_promoted(settings.model_copy(update={"segment": segment}), address)
        its_base = base or default_base(today.stages, judged.queries.values())
        beside = training.with_replay(
            judged,
            replays,
            protected=protected,
            template=chosen.trainer.template_for(its_base) if replays else None,
            seed=seed,
        )
        say_left_out(beside.left_out, told=judged.left_out)
        result = training.finetune(
            lambda: build_retriever(today),
            beside,
            name=name,
            data_dir=settings.data_dir,
            serving=training.Serving(
                index=address, replaces=stages_digest(settings.stages), segment=segment
            ),
            searching=candidate_settings(settings),
            promoted=_promoted(today.stages),
            protected=protected,
            settings=replace(
                chosen,
                base=its_base,
                minutes=minutes and minutes / models,
            ),
            accept_changes=accept_changes,
            dry_run=dry_run,
            spent_s=time.perf_counter() - began if models == 1 else 0.0,
            watch=watching(name),
        )
        if as_json:
            write_json(result.to_dict())

    try:
        runs = settings.data_dir / "finetune" / name
        judged = read_judged(
            data,
            groups,
            settings,
            runs,
            watch,
            query_model=query_model,
            dry_run=dry_run,
            base=base,
        )
        say_division(judged)
        if field is None:
            run(judged, name)
        else:
            segments = training.read_segments(data, field, judged)
            shared = promotion_for(settings.data_dir, address) is None
            beside = training.with_replay(judged, replays, protected=protected, seed=seed)
            described = {
                **beside.digests(),
                "chosen": chosen,
                "field": field,
                "base": base,
                "protected": [each.digest() for each in protected],
                "index": address,  # not what is promoted for it, which the command changes
                "stages": stages_digest(settings.stages),
                "searching": candidate_settings(settings),
            }
            done = training.Done(runs / "segments.json", described)
            train_by_segment(run, judged, segments, name, done, shared=shared, dry_run=dry_run)
    except KeyboardInterrupt:
        click.echo("\nWhat is done is kept; the same command goes on from there.", err=True)
        raise


def _promoted(stages: Sequence[StageSettings] | None) -> str:
    """Name the version that is promoted for the index; empty where none is."""
    found = promoted_in(stages)
    return found.promotion.address if found else ""
