"""What is kept of a run: the model as a version, its record, card, provenance, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.evaluation.judges import by_models
from retrieve_rerank.models.checkpoints.version_record import Record, Serving, now, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.training.card import write_card
from retrieve_rerank.training.doubtful import LISTED, Doubtful
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.fitting import Fitted
from retrieve_rerank.training.finetuning.plan import Plan
from retrieve_rerank.training.finetuning.proof import Proof
from retrieve_rerank.training.finetuning.result import Finetuned
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.provenance import Provenance, index_fingerprint
from retrieve_rerank.training.reporting import Outcome, write_report
from retrieve_rerank.training.tuning import PRIMARY

GENERATED = (
    "better on generated queries, which nobody has judged: not promoted; judge queries, or promote"
    " it all the same with --accept-generated"
)


def keep(
    run: RunFolder,
    fitted: Fitted,
    proof: Proof,
    doubtful: Doubtful,
    *,
    name: str,
    serving: Serving,
    schema: IndexSchema,
    judged: SplitJudgments,
    settings: FinetuneSettings,
    plan: Plan,
    looks: int,
    notes: Sequence[str] = (),
) -> Finetuned:
    """Put what is known into the model's folder, and return what has been decided of it.

    Nothing is kept as a version yet: that is for `publish`, which a kill may make happen twice.
    """
    trained, place = fitted.trained, fitted.place
    verdict, tuned = proof.verdict, place.tuned
    earned = verdict.promote and (settings.accept_generated or not judged.generated)
    sentence = verdict.sentence
    if verdict.promote and judged.generated:
        figures = verdict.sentence.partition(": ")[2]
        said = "better on generated queries" if settings.accept_generated else GENERATED
        sentence = f"{said}: {figures}"
    if plan.folds:
        sentence = f"{sentence}, over {plan.folds} folds: the procedure was judged, not this model"
    outcome = Outcome(
        name=name,
        index=serving.index,
        verdict=replace(verdict, sentence=sentence),
        held_out=proof.held_out,
        tuned=tuned,
        curve=trained.curve,
        doubtful=doubtful.worst(LISTED),
        facts={
            "training": f"{trained.steps:,} of {plan.steps:,} steps with {trained.loss}",
            "learning rate": f"{settings.trainer.learning_rate:g}",
            "speed": f"{trained.pairs_per_s:.1f} pairs a second, {trained.description}",
            "place": f"after {place.kept} of the stages that were set",
        },
        notes=[*_notes(fitted, doubtful, plan, judged), *notes],
        folds=plan.folds,
    )
    provenance = Provenance(
        base=settings.base,
        index=serving.index,
        index_fingerprint=index_fingerprint(schema),
        data=judged.digests(),
        queries=judged.sizes(),
        settings=asdict(settings),
        looks_at_test=looks,
    )
    record = Record(
        created=now(),
        verdict=sentence,
        gain=verdict.gain,
        low=verdict.low,
        high=verdict.high,
        serving=replace(serving, kept=place.kept, depth=tuned.depth, weight=tuned.weight),
    )
    write_card(trained.model, outcome, provenance, licence=plan.licence)
    provenance.write(trained.model)
    write_record(trained.model, record)
    write_report(run.report, outcome)
    return Finetuned(
        name=name,
        version=0,
        promoted=earned,
        sentence=sentence,
        advice=tuple(verdict.advice),
        folder=trained.model,
        report=run.report,
        place=place,
        proof=proof.to_dict(),
        doubtful=doubtful.worst(LISTED),
    )


def publish(decided: Finetuned, *, data_dir: Path) -> Finetuned:
    """Make the model a version, and promote it where that was decided; twice does it once."""
    versions = ModelVersions(data_dir, decided.name)
    number = versions.add(decided.folder)
    if decided.promoted:
        versions.promote(number)
    return replace(decided, version=number, folder=versions.path(number))


def _notes(fitted: Fitted, doubtful: Doubtful, plan: Plan, judged: SplitJudgments) -> Iterator[str]:
    if plan.folds:
        yield (
            f"too few queries can be held out to judge one model: {plan.folds} models judged the"
            " procedure, each on queries that it was not given; this one was trained on all of"
            f" them, for the median of their best steps ({fitted.trained.steps:,})"
        )
    yield from fitted.notes
    if doubtful.note:
        yield doubtful.note
    if judged.judges:
        yield f"measured by {by_models(judged.judges)}"
    if judged.generated:
        yield (
            f"the queries were generated from the documents: {PRIMARY} tells how well their own"
            " documents are found, not how relevant people find the hits"
        )
