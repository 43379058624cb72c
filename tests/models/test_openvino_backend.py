"""Models in OpenVINO's format and in ONNX: exact, safe under threads, cached."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from retrieve_rerank.errors import ModelError
from retrieve_rerank.models.loading import load_encoder, load_pair_model
from retrieve_rerank.models.runtimes import openvino as openvino_backend
from retrieve_rerank.models.runtimes.openvino import choose_arithmetic

LONGEST = "wing flutter at supersonic speeds was measured in a wind tunnel by several models"
TEXTS = [" ".join(LONGEST.split()[:n]) for n in (3, 9, 1, 14, 6, 12, 2)] * 6


def test_scores_do_not_depend_on_the_batch(exported: Path) -> None:
    model = load_pair_model(str(exported))
    pairs = [("which speeds?", text) for text in TEXTS]

    together = model.score(pairs).scores
    alone = np.concatenate([model.score([pair]).scores for pair in pairs])
    backwards = model.score(pairs[::-1]).scores[::-1]

    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(backwards, abs=1e-5)
    assert np.std(together) > 1e-3, "scores that hardly differ would pass all of the above"


def test_vectors_do_not_depend_on_the_batch() -> None:
    encoder = load_encoder()

    together = encoder.encode_documents(TEXTS)
    alone = [encoder.encode_documents([text])[0] for text in TEXTS]
    for one, other in zip(together, alone, strict=True):
        assert one.vector == pytest.approx(other.vector, abs=1e-5)
        assert one.tokens == pytest.approx(other.tokens, abs=1e-4)


def test_many_threads_may_share_a_model() -> None:
    encoder = load_encoder()
    expected = encoder.embed_documents(TEXTS)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: encoder.embed_documents([text])[0], TEXTS))

    assert np.array(found) == pytest.approx(expected, abs=1e-5)


def test_no_texts_give_no_scores_and_no_vectors(exported: Path) -> None:
    assert load_pair_model(str(exported)).score([]).scores.shape == (0,)
    assert load_encoder().embed_queries([]).shape == (0, 384)
    assert load_encoder().encode_documents([]) == []


def test_the_compiled_model_is_cached(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_pair_model(str(exported))

    assert list((tmp_path / "retrieve-rerank" / "openvino").glob("*.blob"))


def test_a_cache_that_cannot_be_written_does_no_harm(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert load_pair_model(str(exported)).score([("a", "b")]).scores.shape == (1,)


def test_a_damaged_cache_does_no_harm(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = load_pair_model(str(exported)).score([("a", "b")]).scores
    for blob in tmp_path.rglob("*.blob"):
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes()[:500])

    assert load_pair_model(str(exported)).score([("a", "b")]).scores == pytest.approx(expected)


def test_a_damaged_network_is_named(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / "openvino" / "openvino_model.xml").write_text("<net>")

    with pytest.raises(ModelError, match=r"cannot read the network .*openvino_model\.xml"):
        load_pair_model(str(folder))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's exporter warns of its own code
def test_onnx_files_give_the_same_scores(
    cross_encoder: Path, exported: Path, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript", reason="needs the extra 'export'")
    from retrieve_rerank.models.runtimes.torch import input_names, load_network

    network = load_network(cross_encoder, head="scores", dtype=torch.float32)
    inputs = {name: torch.ones((2, 8), dtype=torch.int64) for name in input_names(network)}
    folder = tmp_path / "model"
    shutil.copytree(cross_encoder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "onnx").mkdir()
    shape = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        network,
        kwargs=inputs,
        f=str(folder / "onnx" / "model.onnx"),
        input_names=list(inputs),
        output_names=["logits"],
        dynamic_shapes=dict.fromkeys(inputs, shape),
        dynamo=True,
        verbose=False,
    )
    pairs = [("which speeds?", text) for text in TEXTS]

    assert load_pair_model(str(folder)).score(pairs).scores == pytest.approx(
        load_pair_model(str(exported)).score(pairs).scores, abs=1e-4
    )


def test_int8_is_used_only_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_backend, "cpu_flags", lambda: frozenset({"avx2", "fma"}))
    assert not choose_arithmetic("int8").int8_activations
    assert "lacks int8 dot products" in choose_arithmetic("int8").reason

    monkeypatch.setattr(openvino_backend, "cpu_flags", lambda: frozenset({"avx512_vnni"}))
    assert choose_arithmetic("int8").int8_activations
    assert not choose_arithmetic("bf16").int8_activations
    assert choose_arithmetic("fp32") == ("fp32", False, "f32", "as the checkpoint is stored")


_EIGHT_AT_ONCE = """
import sys, threading
from retrieve_rerank.models.loading import load_encoder

encoder, together = load_encoder(), threading.Barrier(8)
sys.setswitchinterval(1e-6)

def embed():
    together.wait()
    encoder.embed_queries(["parcels to islands"])

threads = [threading.Thread(target=embed) for _ in range(8)]
for each in threads:
    each.start()
"""


def test_the_first_calls_may_come_at_once() -> None:
    for _ in range(3):  # two of three hung for ever before
        subprocess.run([sys.executable, "-c", _EIGHT_AT_ONCE], check=True, timeout=60)


def test_threads_can_be_limited(exported: Path) -> None:
    model = load_pair_model(str(exported), threads=1)
    assert model.score([("a", "b")]).truncated == 0
