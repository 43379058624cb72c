"""Networks of transformers from folders, without a word: what is amiss becomes an error of ours.

Needs the extra `torch`.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging as its_logging

from retrieve_rerank.errors import ModelError, RetrieveRerankError
from retrieve_rerank.models.checkpoints.folder_files import AGAIN

_SAID = 500  # characters
_silence = threading.RLock()  # whose switches are the whole process's


def load_pretrained(kind: Any, folder: Path, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """Load a network from safetensors and without its code; return what was amiss beside it.

    `kind` is a class of transformers and `options` what its `from_pretrained` takes. Raises
    ModelError.
    """
    with silent(), loading(folder):
        network, found = kind.from_pretrained(
            str(folder),
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
    return network, found


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Raise ModelError for whatever the code of a network or a tokenizer raises."""
    try:
        yield
    except RetrieveRerankError:
        raise
    except Exception as exc:
        raise ModelError(f"transformers cannot load {folder}: {said(exc)}; {AGAIN}") from exc


def said(exc: Exception) -> str:
    """Say in one line what a network's own code raised."""
    text = " ".join(str(exc).split())
    if "ignore_mismatched_sizes" in text:
        return "its weights have other shapes than its config.json says"
    if "trust_remote_code" in text:
        return "it needs code of its own, which is not run; expected a network of transformers"
    if isinstance(exc, IndexError):
        return (
            "a token or a position beyond its tables: tokenizer.json, config.json and the most"
            " tokens that it reads must be those that it was trained with"
        )
    text = text if len(text) <= _SAID else f"{text[:_SAID]}…"
    return (
        text
        if isinstance(exc, OSError | ValueError | RuntimeError)
        else f"{type(exc).__name__}: {text}"
    )


@contextmanager
def silent() -> Iterator[None]:
    """Keep the bars, reports and warnings of loading from standard error."""
    with _silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bars, level = its_logging.is_progress_bar_enabled(), its_logging.get_verbosity()
        its_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # its own
        its_logging.set_verbosity(logging.CRITICAL)
        try:
            yield
        finally:
            its_logging.set_verbosity(level)
            if bars:
                its_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
