"""A full disk, and the engine's errors as ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from retrieve_rerank import Document
from retrieve_rerank.connectors.embedded import EmbeddedConnector, EmbeddedSettings
from retrieve_rerank.connectors.embedded.shard import engine_errors, translated
from retrieve_rerank.errors import (
    ConnectorError,
    IndexCorruptError,
    IndexLockedError,
    IndexMismatchError,
    InputError,
    StorageFullError,
)
from retrieve_rerank.testing import HashingEncoder


def long_texts(count: int) -> list[Document]:
    return [Document(f"d{i}", f"wing {i} " * 10_000, {"i": i}) for i in range(count)]


def test_a_full_disk_is_noticed_before_it_kills_and_what_was_written_stays(
    small_disk: Path,
) -> None:
    documents = long_texts(500)
    encoder = HashingEncoder(384)
    reported = 0

    def report(done: int) -> None:
        nonlocal reported
        reported += done

    large = EmbeddedSettings(tensor_storage="float32", pooling_factor=1)
    with EmbeddedConnector.create(
        small_disk / "index", encoder=encoder, settings=large
    ) as connector:
        with pytest.raises(StorageFullError, match=r"MiB are free at .*run the same again"):
            connector.index(documents, on_progress=report)
        assert 0 < reported < len(documents)
        assert (
            connector.get([document.id for document in documents[:reported]])
            == (documents[:reported])
        )
        assert connector.search("wing 5", top_k=3)
    with EmbeddedConnector.connect(str(small_disk / "index"), encoder=encoder) as connector:
        kept = connector.count()
        assert kept >= reported
        with pytest.raises(StorageFullError):
            connector.index(documents)
        subprocess.run(["mount", "-o", "remount,size=900m", str(small_disk)], check=True)
        report_ = connector.index(documents)
        assert report_.unchanged >= kept
        assert connector.count() == len(documents)
        assert {each.id: each for each in connector.scan()} == {each.id: each for each in documents}


def test_no_index_is_made_on_a_full_disk(small_disk: Path) -> None:
    (small_disk / "film").write_bytes(bytes(100 << 20))
    with pytest.raises(StorageFullError, match="256 MiB are needed"):
        EmbeddedConnector.create(small_disk / "index", encoder=None)
    (small_disk / "film").unlink()
    with EmbeddedConnector.create(small_disk / "index", encoder=None) as connector:
        assert connector.count() == 0


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Service runtime error: No space left on device (os error 28)", StorageFullError),
        ("failed to open WAL /x/wal: Can't init WAL: Kind(WouldBlock)", IndexLockedError),
        ("Vector dimension error: expected dim: 8, got 9", IndexMismatchError),
        ("Not existing vector name error: foo", IndexMismatchError),
        ("cannot load edge shard: directory /x does not exist", IndexCorruptError),
        ("failed to open WAL /x/wal: unexpected end of file", IndexCorruptError),
        ("the sky has fallen", ConnectorError),
    ],
)
def test_the_engines_messages_become_our_errors(message: str, error: type[Exception]) -> None:
    assert type(translated(message, Path("/x"))) is error
    with pytest.raises(error, match="/x"), engine_errors(Path("/x")):
        raise Exception(message)  # as bare as the engine raises them


class PanicException(BaseException):
    """As Rust's panics arrive; the package does not export theirs."""


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (OSError(28, "No space left on device"), StorageFullError),
        (PermissionError(13, "Permission denied"), ConnectorError),
        (PanicException("called `Option::unwrap()` on a `None` value"), IndexCorruptError),
        (InputError("ours"), InputError),
        (KeyError("a mistake in our code"), KeyError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_is_not_the_engines_keeps_its_meaning(
    raised: BaseException, error: type[BaseException]
) -> None:
    with pytest.raises(error), engine_errors(Path("/x")):
        raise raised


def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectorError, match="cannot be used"):
        EmbeddedConnector.create(tmp_path / "file" / "index", encoder=None)
