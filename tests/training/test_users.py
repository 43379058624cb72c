"""One model for all users: what is known of who asks is read in training and in serving alike."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank import Document, Retriever
from retrieve_rerank.connectors.memory import MemoryConnector
from retrieve_rerank.errors import ConfigError, InputError, ModelError
from retrieve_rerank.evaluation.evaluate import evaluate
from retrieve_rerank.pipeline.retriever import USER_UNREAD
from retrieve_rerank.rerankers.cached import Cached, ScoreCache
from retrieve_rerank.rerankers.cross_encoder import CrossEncoder
from retrieve_rerank.testing.overlap import OverlapScorer
from retrieve_rerank.training import read_groups
from retrieve_rerank.training.converting import write_groups
from retrieve_rerank.training.doubtful import find_doubtful
from retrieve_rerank.training.finetuning import (
    read_judged_folder,
    read_ready_groups,
)
from retrieve_rerank.training.groups import Group, GroupText
from retrieve_rerank.training.mining import Mining, Rules, Veto, fit_veto, mine
from retrieve_rerank.training.trainers import Trained, TrainerSettings, group_ndcg, train
from retrieve_rerank.training.trainers.base import load_base
from retrieve_rerank.training.tuning import find_candidates, tune
from tests.models.tiny import make_model

AIR, HOME = ("wing", "flutter", "tunnel"), ("cat", "mat", "sat")
QUERY = "short"


def words(interest: tuple[str, ...], draw: random.Random) -> str:
    return " ".join(draw.choices(interest, k=5))


def groups(count: int, *, seed: int) -> list[Group]:
    """Make groups of one query: what is relevant depends on the user alone."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        mine, other = draw.sample((AIR, HOME), 2)
        texts = (
            GroupText(words(mine, draw), 1.0),
            *(GroupText(words(other, draw), 0.0) for _ in range(2)),
        )
        made.append(Group(QUERY, texts, user=words(mine, draw)))
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Trained:
    folder = tmp_path_factory.mktemp("users")
    return train(
        groups(300, seed=1),
        base=str(make_model(folder / "base", "bert")),
        output=folder / "run",
        settings=TrainerSettings(
            loss="bce",
            learning_rate=1e-3,
            stable=0.6,
            max_steps=120,  # in 70 one seed of two has learnt nothing yet
            batch_size=8,
            group_size=3,
            evaluate_every=120,
            device="cpu",
        ),
        evaluator=group_ndcg(groups(20, seed=2)),
    )


def unseen_users(count: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield two users whom training did not see, and what either of them looks for."""
    seen = {group.user for group in groups(300, seed=1)}
    draw = random.Random(7)
    while count:
        users = [words(each, draw) for each in (AIR, HOME)]
        if not seen & set(users):
            count -= 1
            yield users[0], users[1], words(AIR, draw), words(HOME, draw)


def test_what_is_relevant_depends_on_the_user_also_for_users_never_seen(trained: Trained) -> None:
    model = CrossEncoder(trained.model, device="cpu")
    connector = MemoryConnector()
    for pilot, host, air, home in unseen_users(10):
        for user, order in ((pilot, [air, home]), (host, [home, air])):
            query = model.for_user(QUERY, user)
            liked, other = model.score(query, order)
            assert liked > other, (user, order)
        connector.index([Document(air, air), Document(home, home)])
    with Retriever(connector, Cached(model, ScoreCache())) as retriever:
        for user, interest in ((pilot, AIR), (host, HOME), (pilot, AIR)):
            result = retriever.search(QUERY, user=user, top_k=2)
            assert result.query == QUERY
            assert all(set(hit.document.id.split()) <= set(interest) for hit in result), user
            assert not result.notes


def test_the_folder_says_how_the_user_is_read(trained: Trained, tmp_path: Path) -> None:
    model = CrossEncoder(trained.model, device="cpu")
    assert model.for_user("shoes", " likes red ") == "shoes | likes red"
    assert model.for_user("shoes", " ") == "shoes"
    assert model.for_user("{user}", "{query}") == "{user} | {query}"
    # Too long together, the user's text is cut, not the query.
    short, long = (model.for_user("wing flutter", "cat " * n) for n in (3, 500))
    read = [model.model.tokenize([(query, "mat " * 30)])[0].ids for query in (short, long)]
    assert read[0][:7] == read[1][:7]

    folder = tmp_path / "copy"
    shutil.copytree(trained.model, folder)
    settings = json.loads((folder / "retrieve_rerank.json").read_text())
    assert settings["query_template"] == "{query} | {user}"
    again = load_base(str(folder), TrainerSettings())  # what is trained on goes on as it was
    assert again.folder.for_user("shoes", "red") == "shoes | red"
    for damaged, said in (("{query}", "records a template that"), (3, "expected a text")):
        settings["query_template"] = damaged
        (folder / "retrieve_rerank.json").write_text(json.dumps(settings))
        with pytest.raises(ModelError, match=said):
            CrossEncoder(folder)
    with pytest.raises(ConfigError, match=r"must have \{query\} and \{user\}, once each"):
        TrainerSettings(query_template="{query} {user} {user}")


def test_a_search_says_where_nobody_reads_the_user(tmp_path: Path) -> None:
    plain = CrossEncoder(str(make_model(tmp_path, "bert", labels=1)), device="cpu")
    with Retriever(MemoryConnector([Document("a", "cat mat")]), plain) as retriever:
        assert retriever.search("cat", user="likes mats").stages[0].notes == (USER_UNREAD,)
        assert retriever.search("cat", user="").stages[0].notes == ()
        with pytest.raises(InputError, match="expected a text as user"):
            retriever.search("cat", user={"likes": "mats"})  # type: ignore[arg-type]


def test_groups_keep_the_users_text(tmp_path: Path) -> None:
    made = groups(2, seed=4)
    write_groups(made, tmp_path / "groups.jsonl")
    assert list(read_groups(tmp_path / "groups.jsonl")) == made
    done = write_groups(made, tmp_path / "triplets.jsonl", format="n-tuple")
    assert done.left_out["text of the user, which only the format grouped holds"] == 2
    (tmp_path / "bad.jsonl").write_text('{"query": "a", "user": 7, "hits": []}\n')
    with pytest.raises(InputError, match="no text in 'user'"):
        list(read_groups(tmp_path / "bad.jsonl"))


class Personal(OverlapScorer):
    """Reads what the user is told to like as if it were asked for."""

    def for_user(self, query: str, user: str) -> str:
        return f"{query} {user}"


def test_what_is_measured_is_asked_by_its_user_and_users_are_held_out(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    queries, rows = [], []
    for number in range(120):
        likes = "mats" if number % 2 else "wings"
        user = f"user{number // 3} likes {likes}"
        queries.append(json.dumps({"_id": f"q{number}", "text": "cat", "metadata": {"user": user}}))
        rows.append(f"q{number}\t{likes}\t1")
    (tmp_path / "queries.jsonl").write_text("\n".join(queries))
    (tmp_path / "qrels" / "all.tsv").write_text("\n".join(rows))

    judged = read_judged_folder(tmp_path)

    of_splits = [
        {judged.users[query] for query in getattr(judged, split)}
        for split in ("train", "dev", "calibration", "test")
    ]
    assert (
        sum(map(len, of_splits)) == len(set().union(*of_splits)) == len(set(judged.users.values()))
    )
    assert all(of_splits)
    assert replace(judged, users={}).digests() != judged.digests()

    documents = [Document("wings", "cat wings"), Document("mats", "cat mats")]
    retriever = Retriever(MemoryConnector(documents), Personal())
    asked: dict[str, Any] = {"queries": judged.queries, "qrels": judged.train}
    measured = evaluate(retriever, **asked, measures=["nDCG@10"], users=judged.users)
    assert measured.stages[-1].means["nDCG@10"] == 1
    assert evaluate(retriever, **asked, measures=["nDCG@10"]).stages[-1].means["nDCG@10"] < 1
    found = find_candidates(Retriever(retriever.connector), **asked, users=judged.users)
    scored = found.scored({"it": Personal()})
    assert tune(scored, Personal(), "it").value == 1
    groups = [
        group
        for group, _ in Mining(retriever=retriever, **asked, users=judged.users).outcomes()
        if group is not None
    ]
    assert {group.user for group in groups} == of_splits[0]


def test_mining_asks_as_the_user_does() -> None:
    likes = {"q1": "wings", "q2": "mats"}
    documents = [
        Document(f"{each} {n}", f"cat {each} {n}") for each in likes.values() for n in "ab"
    ]
    connector = MemoryConnector([*documents, Document("dogs", "cat and dogs")])
    asked: dict[str, Any] = {
        "queries": dict.fromkeys(likes, "cat"),
        "qrels": {query: {f"{its} a": 1} for query, its in likes.items()},
        "users": likes,
        "sampling": "top",
    }

    def negatives(*stages: Personal, **options: Any) -> list[set[str | None]]:
        """Mine with ranks, or what is asked of scores, to tell what the user likes."""
        groups = mine(Retriever(connector, *stages), **asked, **options)
        return [{text.id for text in group.negatives} for group in groups]

    liked = [{"wings b"}, {"mats b"}]
    others = [{"mats a", "mats b", "dogs"}, {"wings a", "wings b", "dogs"}]
    assert negatives(Personal(), rules=Rules(last_rank=2)) == liked
    assert negatives(scorer=Personal(), rules=Rules(min_score=2)) == liked
    assert negatives(veto=Veto(Personal(), threshold=2)) == others


def test_a_vetos_threshold_is_fitted_on_what_users_ask() -> None:
    queries = {f"q{n}": "cat" for n in range(20)}
    documents = [Document(f"d{n}", f"cat mats{n}") for n in range(20)]
    found = fit_veto(
        Personal(),
        Retriever(MemoryConnector(documents)),
        queries,
        {f"q{n}": {f"d{n}": 1} for n in range(20)},
        users={f"q{n}": f"mats{n}" for n in range(20)},
    )
    assert found.threshold == 2  # both words, where the query alone has one


def test_positives_are_doubted_as_the_user_asked() -> None:
    texts = (GroupText("mats here", 1.0), *(GroupText(f"cat {n}", 0.0) for n in range(3)))
    groups = [Group("cat", texts, user=user) for user in ("", "mats here")]
    assert find_doubtful(groups, Personal(), Personal()).count == 1


def test_ready_groups_of_users_are_held_out_by_user(tmp_path: Path) -> None:
    made = [
        Group("cat", (GroupText("yes", 1.0, "a"), GroupText("no", 0.0, "b")), user=f"user {n // 2}")
        for n in range(1600)
    ]
    write_groups(made, tmp_path / "groups.jsonl")
    ready = read_ready_groups(tmp_path / "groups.jsonl")
    learnt = {group.user for group in ready.groups or ()}
    held_out = {ready.users[query] for query in [*ready.dev, *ready.calibration, *ready.test]}
    assert len(learnt) + len(held_out) == 800
    assert not learnt & held_out
    assert set(ready.queries.values()) == {"cat"}
