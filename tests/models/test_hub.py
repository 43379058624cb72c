"""Hub ids: downloaded once without pickles, then served from the cache, offline too."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.hostile import ANSWERS, HTML, LONGEST_MESSAGE, PAGE, Answer
from tests.models.hub_server import HubServer, Response

RR = "from retrieve_rerank.cli import main; main(prog_name='rr')"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(HubServer):
    """Answers as the hub does, for one repository: owner/tiny."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requested: list[str] = []
        self.spoilt: dict[str, Answer] = {}
        """Name of a repository -> what stands in place of its listing."""

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> Response:
        path = request.path.partition("?")[0]
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        names = [file.relative_to(self.folder).as_posix() for file in files]
        prefix = f"/owner/tiny/resolve/{COMMIT}/"
        spoilt = self.spoilt.get(path.partition("/api/models/owner/")[2])
        if spoilt is not None:
            return Response(spoilt.status, spoilt.headers, spoilt.body)
        if path.startswith("/api/models/owner/tiny/tree/"):
            entries = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": _etag(file)}
                for name, file in zip(names, files, strict=True)
            ]
            return Response(200, {}, json.dumps(entries).encode())
        if path.startswith("/api/models/owner/tiny"):
            siblings = [{"rfilename": name} for name in names]
            listing = {"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}
            return Response(200, {}, json.dumps(listing).encode())
        if path.startswith(prefix) and path.removeprefix(prefix) in names:
            file = self.folder / path.removeprefix(prefix)
            self.requested.append(path.removeprefix(prefix))
            headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT}
            return Response(200, headers, file.read_bytes())
        return Response(404, {"X-Error-Code": "RepoNotFound"}, b"{}")


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A repository of a pair model, whose network nobody opens here."""
    folder = tmp_path / "repository"
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    for name, content in {
        "config.json": json.dumps({**config, "model_type": "bert", "num_hidden_layers": 2}),
        "tokenizer.json": "{}",
        "tokenizer_config.json": '{"model_max_length": 128}',
        "README.md": "---\nlicense: mit\n---\n",
        "openvino/openvino_model.xml": "<net/>",
        "openvino/openvino_model.bin": "weights",
        "pytorch_model.bin": "a pickle",
        "modeling_tiny.py": "raise SystemExit('code of the checkpoint ran')",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    with Hub(folder).serving() as server:
        yield server


def info(name: str, *, home: Path, url: str, offline: bool = False) -> tuple[int, str]:
    """Run `rr models info` in a process of its own, since the hub's library reads its
    environment when it is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": str(int(offline)),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "*",
    }
    run = subprocess.run(
        [sys.executable, "-c", RR, "models", "info", name, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout or run.stderr


def test_a_hub_id_is_downloaded_once_without_pickles_or_code(hub: Hub, tmp_path: Path) -> None:
    code, output = info("owner/tiny", home=tmp_path / "home", url=hub.url)

    assert code == 0, output
    described = json.loads(output)
    assert described["runs_on"].startswith("OpenVINO")
    assert (described["kind"], described["max_tokens"]) == ("cross-encoder", 128)
    assert described["licence"] == "mit"
    assert "openvino/openvino_model.bin" in hub.requested
    assert not {"pytorch_model.bin", "modeling_tiny.py"} & set(hub.requested)

    asked = len(hub.requested)
    code, _ = info("owner/tiny", home=tmp_path / "home", url=hub.url)
    assert (code, len(hub.requested)) == (0, asked)
    code, again = info("owner/tiny", home=tmp_path / "home", url=hub.url, offline=True)
    assert (code, again) == (0, output)


def test_offline_the_error_says_what_to_do(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    for offline in (True, False):
        code, output = info("owner/tiny", home=tmp_path, url=nobody, offline=offline)
        assert code == 1
        assert f"owner/tiny is not in the local cache {tmp_path / 'hub'}" in output
        assert "hf download owner/tiny" in output
        assert "Traceback" not in output


def test_an_unknown_repository_is_named(hub: Hub, tmp_path: Path) -> None:
    code, output = info("owner/absent", home=tmp_path, url=hub.url)
    assert code == 1
    assert "no model 'owner/absent' at" in output


def test_a_repository_of_pickles_says_how_to_convert(hub: Hub, tmp_path: Path) -> None:
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (hub.folder / "openvino" / name).unlink()
    code, output = info("owner/tiny", home=tmp_path, url=hub.url)
    assert code == 1
    assert "owner/tiny holds its weights as pickles" in output


def test_a_sparse_encoder_comes_with_its_static_weights(hub: Hub, tmp_path: Path) -> None:
    shutil.rmtree(hub.folder)
    network, pooling, static = (
        "document_0_Transformer",
        "document_1_SpladePooling",
        "query_0_SparseStaticEmbedding",
    )
    router = {
        "types": {name: f"sentence_transformers.{name[11:]}" for name in (network, pooling)}
        | {static: "sentence_transformers.SparseStaticEmbedding"},
        "structure": {"document": [network, pooling], "query": [static]},
    }
    for name, content in {
        "modules.json": json.dumps([{"type": "sentence_transformers.Router", "path": ""}]),
        "router_config.json": json.dumps(router),
        f"{network}/config.json": '{"model_type": "bert", "vocab_size": 30522}',
        f"{network}/model.safetensors": "\2" + "\0" * 7 + "{}",
        f"{pooling}/config.json": '{"pooling_strategy": "sum"}',
        f"{static}/model.safetensors": "weights",
        f"{static}/tokenizer.json": "{}",
    }.items():
        (hub.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (hub.folder / name).write_text(content)
    code, output = info("owner/tiny", home=tmp_path / "home", url=hub.url)

    assert code == 0, output
    described = json.loads(output)
    assert (described["kind"], described["dimension"]) == ("sparse encoder", 30522)
    assert described["pooling"] == ["relu", "sum"]
    assert {f"{network}/model.safetensors", f"{static}/model.safetensors"} <= set(hub.requested)
    assert f"{static}/tokenizer.json" in hub.requested


DOWNLOAD = """
import json, sys
from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.checkpoints.hub import download
messages = {}
for name in json.load(sys.stdin):
    try:
        download(f"owner/{name}", on_gpu=False)
    except ModelError as exc:
        messages[name] = str(exc)
print(json.dumps(messages))
"""


def test_whatever_answers_in_place_of_a_hub_is_an_error_of_ours(hub: Hub, tmp_path: Path) -> None:
    """All through a proxy, which is what answers with a login page, and is named."""
    files = [
        {"rfilename": "openvino/openvino_model.xml", "size": 7},
        {"rfilename": "openvino/openvino_model.bin", "size": 10**10},
        {"rfilename": "config.json", "size": 10**9},
    ]
    listings = {
        "page": Answer(200, PAGE, HTML),
        "large": Answer(200, json.dumps({"id": "x", "sha": COMMIT, "siblings": files}).encode()),
        "numbers": Answer(200, b'{"id": 7, "siblings": [{"rfilename": 8}]}'),
    }
    # The library itself waits where it is told to.
    quick = [answer for answer in ANSWERS.values() if answer.status not in (429, 500, 302)]
    hub.spoilt = {**listings, **{f"r{number}": each for number, each in enumerate(quick)}}
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {
        "HF_ENDPOINT": "http://hub.invalid",
        "HF_HOME": str(tmp_path),
        "HTTP_PROXY": hub.url.replace("http://", "http://me:s3cret@"),
    }
    run = subprocess.run(
        [sys.executable, "-c", DOWNLOAD],
        input=json.dumps(list(hub.spoilt)),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert run.returncode == 0, run.stderr
    messages = json.loads(run.stdout)
    assert messages.keys() == hub.spoilt.keys()
    assert all(len(message) < LONGEST_MESSAGE for message in messages.values())
    assert "s3cret" not in run.stdout
    named = f"hub.invalid answers through the proxy {hub.url} (HTTP_PROXY)"
    assert named in messages["page"]
    assert "owner/large/config.json has 1,000,000,000 bytes; expected at most" in messages["large"]
    assert "does a proxy or a login page" in messages["numbers"].lower()
