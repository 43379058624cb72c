"""What is kept of a run: the model as a version, its record, card, provenance, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from retrieve_rerank.base import IndexSchema
from retrieve_rerank.models.checkpoints.version_record import Record, Serving, now, write_record
from retrieve_rerank.models.checkpoints.versions import ModelVersions
from retrieve_rerank.training.card import write_card
from retrieve_rerank.training.doubtful import LISTED, Doubtful
from retrieve_rerank.training.finetuning.data import SplitJudgments
from retrieve_rerank.training.finetuning.placing import Place
from retrieve_rerank.training.finetuning.proof import Proof
from retrieve_rerank.training.finetuning.result import Finetuned
from retrieve_rerank.training.finetuning.run_folder import RunFolder
from retrieve_rerank.training.finetuning.settings import FinetuneSettings
from retrieve_rerank.training.finishing import Finished
from retrieve_rerank.training.provenance import Provenance, index_fingerprint
from retrieve_rerank.training.reporting import Outcome, write_report
from retrieve_rerank.training.trainers import Trained
from retrieve_rerank.training.tuning import PRIMARY

GENERATED = (
    "better on generated queries, which nobody has judged: not promoted; judge queries, or promote"
    " it all the same with --accept-generated"
)


def keep(
    run: RunFolder,
    trained: Trained,
    finished: Finished,
    place: Place,
    proof: Proof,
    doubtful: Doubtful,
    *,
    name: str,
    data_dir: Path,
    serving: Serving,
    schema: IndexSchema,
    judged: SplitJudgments,
    settings: FinetuneSettings,
    steps: int,
    looks: int,
) -> Finetuned:
    """Put what is known into the model's folder, make it a version, promote it if it earned it."""
    verdict, tuned = proof.verdict, place.tuned
    earned = verdict.promote and (settings.accept_generated or not judged.generated)
    sentence = verdict.sentence
    if verdict.promote and judged.generated:
        figures = verdict.sentence.partition(": ")[2]
        said = "better on generated queries" if settings.accept_generated else GENERATED
        sentence = f"{said}: {figures}"
    outcome = Outcome(
        name=name,
        index=serving.index,
        verdict=replace(verdict, sentence=sentence),
        systems=proof.systems,
        baseline=proof.baseline,
        queries=judged.queries,
        qrels=judged.test,
        tuned=tuned,
        curve=trained.curve,
        texts=proof.texts,
        doubtful=doubtful.worst(LISTED),
        facts={
            "training": f"{trained.steps:,} of {steps:,} steps with {trained.loss}",
            "speed": f"{trained.pairs_per_s:.1f} pairs a second, {trained.description}",
            "place": f"after {place.kept} of the stages that were set",
        },
        notes=list(_notes(trained, finished, doubtful, proof, judged)),
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
    write_card(trained.model, outcome, provenance)
    provenance.write(trained.model)
    write_record(trained.model, record)
    write_report(run.report, outcome)
    versions = ModelVersions(data_dir, name)
    number = versions.add(trained.model)
    if earned:
        versions.promote(number)
    return Finetuned(
        name=name,
        version=number,
        promoted=earned,
        sentence=sentence,
        advice=tuple(verdict.advice),
        folder=versions.path(number),
        report=run.report,
        place=place,
        proof=proof.to_dict(),
        doubtful=doubtful.worst(LISTED),
    )


def _notes(
    trained: Trained,
    finished: Finished,
    doubtful: Doubtful,
    proof: Proof,
    judged: SplitJudgments,
) -> Iterator[str]:
    yield from trained.warnings
    if trained.stopped:
        yield trained.stopped
    yield from (f"{count:,} {reason} were left out" for reason, count in trained.left_out.items())
    yield from finished.notes
    if doubtful.note:
        yield doubtful.note
    if proof.failed:
        yield f"the trained model failed on {len(proof.failed):,} held-out queries"
    if judged.generated:
        yield (
            f"the queries were generated from the documents: {PRIMARY} tells how well their own"
            " documents are found, not how relevant people find the hits"
        )
