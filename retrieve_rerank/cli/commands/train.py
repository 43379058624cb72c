"""`rr train`: a reranker from training groups, as a YAML file says."""

from __future__ import annotations

from pathlib import Path

import click

from retrieve_rerank.cli.options import json_option
from retrieve_rerank.cli.views.progress import show_progress
from retrieve_rerank.cli.views.results import write_json
from retrieve_rerank.cli.views.terminal import say
from retrieve_rerank.training.launching import fewer_than_asked, launched
from retrieve_rerank.training.rag_retrieval import is_rag_retrieval, rag_retrieval_recipe
from retrieve_rerank.training.recipe import own_recipe, read_yaml
from retrieve_rerank.training.trainers import Progress, Trained, group_ndcg, train
from retrieve_rerank.training.trainers.processes import idle_gpus, leave


@click.command()
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def command(config: Path, as_json: bool) -> None:
    """Train a reranker as the YAML file CONFIG says.

    Its keys: data, a file of groups in any format of `rr data`, or a list of them; output, the
    folder for the run, whose folder model is what comes of it; base, a cross-encoder, an encoder
    or a language model to start from (all-MiniLM-L6-v2, which comes with the package, if it is
    left out); dev, a file of groups whose nDCG@10 chooses the best checkpoint; and those of
    retrieve_rerank.training.trainers.TrainerSettings, such as loss, learning_rate, epochs, and for
    language models reranker and prompt.

    RAG-Retrieval's training_bert.yaml and training_llm.yaml are read as they are.

    Started by torchrun or accelerate launch, several processes train together.

    What was broken off goes on by the same command.
    """
    rank, _ = launched()
    shown = rank == 0  # the others do the same
    if alone := fewer_than_asked():
        say(f"Warning: {alone}")
    chosen = read_yaml(config)
    read = rag_retrieval_recipe if is_rag_retrieval(chosen) else own_recipe
    recipe = read(chosen, config)
    for note in [*recipe.notes, *filter(None, [idle_gpus()])] if shown else []:
        say(f"Note: {note}")
    evaluator = group_ndcg(recipe.dev) if recipe.dev else None
    latest: list[Progress] = []
    with show_progress(
        lambda pairs: latest[-1].step / latest[-1].steps if latest else None,
        doing="training",
        quiet=as_json or not shown,
        things="groups",
    ) as advance:

        def hear(progress: Progress) -> None:
            latest[:] = [progress]
            advance(recipe.settings.batch_size)

        trained = train(
            recipe.groups,
            base=recipe.base,
            output=recipe.output,
            settings=recipe.settings,
            evaluator=evaluator,
            on_progress=hear,
        )
    leave()
    if shown and as_json:
        write_json(trained.as_dict())
    elif shown:
        _say(trained)
    if trained.failed:
        raise click.exceptions.Exit(1)


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
    if trained.reranker != "cross-encoder":
        say(f"it is searched with by --rerank {trained.reranker} --model {trained.model}")
