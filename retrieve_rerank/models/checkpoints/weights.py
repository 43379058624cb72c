"""Whether a checkpoint's weights can be what its settings say, before a library reads them.

Reads headers, never weights. Libraries open pickles where an index names them, allocate whatever
the settings say, and load an adapter's base model from wherever it points to.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from retrieve_rerank.errors import ModelError, shown
from retrieve_rerank.models.checkpoints.folder import ModelFolder
from retrieve_rerank.models.checkpoints.folder_files import AGAIN
from retrieve_rerank.models.checkpoints.folder_schema import TEXT, Schema, object_of, read_settings
from retrieve_rerank.models.checkpoints.network_files import NetworkFiles
from retrieve_rerank.models.checkpoints.safetensors_files import read_header

_INDEX: Schema = {"weight_map": object_of(TEXT, most=1_000_000)}
_PER_BYTE = 2  # numbers, of weights in four bits
_MATRICES = ("vocab_size", "intermediate_size")  # by hidden_size, in any network that has them


def check_weights(folder: ModelFolder, network: NetworkFiles, files: Collection[str]) -> None:
    """Raise ModelError where safetensors cannot be read, or are fewer than the settings say.

    `files` are the names of all files in the folder.
    """
    if network.form != "safetensors":
        return
    check_no_adapter(folder.path, files)
    main = folder.path / network.main
    shards = [main]
    if main.suffix == ".json":
        inner = main.parent.relative_to(folder.path)
        named = sorted(set((read_settings(main, _INDEX).get("weight_map") or {}).values()))
        for name in named:
            if not name.endswith(".safetensors") or (inner / name).as_posix() not in files:
                raise ModelError(
                    f"{main} names {shown(name)}; expected a .safetensors file beside it; {AGAIN}"
                )
        shards = [main.parent / name for name in named]
    for shard in shards:
        read_header(shard)
    _check_sizes(folder, sum(shard.stat().st_size for shard in shards), main)


def check_no_adapter(path: Path, files: Collection[str]) -> None:
    """Raise ModelError for an adapter, which is nothing without its base model."""
    if "adapter_config.json" in files:
        raise ModelError(
            f"{path} holds an adapter (adapter_config.json): load it and its base model with peft,"
            " save model.merge_and_unload() with save_pretrained('folder'), and name that folder"
        )


def _check_sizes(folder: ModelFolder, weights: int, main: Path) -> None:
    hidden = folder.config.get("hidden_size") or 0
    for name in _MATRICES:
        size = folder.config.get(name)
        if isinstance(size, int) and size * hidden > weights * _PER_BYTE:
            raise ModelError(
                f"{folder.transformer / 'config.json'} says {name} is {size:,} and hidden_size"
                f" {hidden:,}: more numbers than {main.name} can hold in {weights:,} bytes; {AGAIN}"
            )
