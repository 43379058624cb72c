"""An index's folder: whose it is, what in it is in use, and what may be removed.

Only what we made is ever removed: shards that a manifest of ours names, and of these only the
engine's files. Neither the folder nor its lock is renamed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from retrieve_rerank.connectors.embedded import inventory
from retrieve_rerank.connectors.embedded.lock import LOCK, IndexLock
from retrieve_rerank.connectors.embedded.manifest import (
    DRAFT,
    MANIFEST,
    SHARD,
    Manifest,
    rename,
    shards,
)
from retrieve_rerank.connectors.embedded.shard import (
    REPAIR,
    bytes_on_disk,
    engine_errors,
    has_space,
)
from retrieve_rerank.errors import (
    IndexCorruptError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    StorageFullError,
)

SCHEME = "embedded://"

_MUCH_BYTES = 8 << 20  # read by a comparison: not to be read again the next time
_ENGINES = re.compile(
    r"edge_config\.json|temp_segments|\.atomicwrite\w+"
    r"|segments/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\w+\.deleted)?"
    r"|wal/((open|closed|tmp-open)-\d+|first-index|\.\w+)"
)
"""What the engine makes in a shard, some of it for a moment; what else is there is another's."""


class IndexFolder:
    """A folder that this process has locked: its manifest, and the shard in use."""

    def __init__(self, path: Path, lock: IndexLock, manifest: Manifest, *, draft: bool) -> None:
        """Use `open_folder` or `start_draft` instead."""
        self.path = path
        self.lock = lock
        self.manifest = manifest
        self.draft = draft
        """Whether the index is not in use yet; closed as a draft, it is removed."""
        self.written = False
        """Whether this process has written to the shard."""
        self._found = manifest.inventory

    @property
    def shard(self) -> Path:
        """The folder of the engine's files."""
        return self.path / self.manifest.shard

    def save(self, manifest: Manifest) -> None:
        """Replace the manifest."""
        with engine_errors(self.path):
            manifest.save(self.path / (DRAFT if self.draft else MANIFEST))
        self.manifest = manifest

    def begin_writing(self, *, segments: bool = False) -> None:
        """Mark the inventory as outdated, before the first change that this process makes.

        `segments` says that whole segments may go, so that not even names stay as they were.
        """
        known = None if segments else self.manifest.inventory
        if not self.manifest.writing or self.manifest.inventory != known:
            self.save(replace(self.manifest, inventory=known, writing=True))
        self.written = True

    def end_writing(self, documents: int) -> None:
        """Record the files of the shard, which is closed and holds so many documents."""
        with engine_errors(self.path):
            taken = inventory.take(self.shard, documents, known=self._found)
        self.save(replace(self.manifest, inventory=taken, writing=False))

    def require_whole(self) -> None:
        """Raise IndexCorruptError where the shard, not opened yet, is not as it was left."""
        recorded = self.manifest.inventory
        with engine_errors(self.path):
            if recorded is None or self.manifest.writing:
                damage = inventory.missing(self.shard, recorded)
            else:
                damage, now, bytes_read = inventory.compare(self.shard, recorded)
                if bytes_read > _MUCH_BYTES and not damage:  # copied: the dates are others
                    self.save(replace(self.manifest, inventory=now))
        if damage:
            raise damaged(self.path, damage)

    def activate(self) -> None:
        """Let the draft take its place: in use from now on, and what it replaces is removed."""
        if not self.draft:
            return
        with engine_errors(self.path):
            rename(self.path / DRAFT, self.path / MANIFEST)
            self.draft = False
            if self.manifest.replaced is not None:
                _remove(self.path / self.manifest.replaced)

    def close(self) -> None:
        """Let other processes in; a draft goes away."""
        try:
            if self.draft and self.lock.in_place():
                with engine_errors(self.path):
                    _remove(self.shard)
                    (self.path / DRAFT).unlink(missing_ok=True)
        finally:
            self.lock.release()


def folder_of(path: str | Path) -> Path:
    """Return the folder that a path or a URL names."""
    return Path(str(path).removeprefix(SCHEME)).absolute()


def load_manifest(path: Path) -> Manifest:
    """Read the manifest of the index at `path`.

    Raises IndexNotFoundError where there is none, and IndexCorruptError where only the manifest
    of an index is missing.
    """
    try:
        return Manifest.load(path / MANIFEST)
    except IndexNotFoundError:
        if path.is_dir() and not (path / DRAFT).exists():
            _refuse_orphans(path)
        raise


def open_folder(path: Path, *, lock_timeout_s: float) -> IndexFolder:
    """Lock the index at `path`; raise IndexLockedError, and what `load_manifest` does."""
    load_manifest(path)  # before a lock is left where there is no index
    lock = IndexLock(path, timeout_s=lock_timeout_s)
    try:
        manifest = load_manifest(path)  # again: the holder may have written to it
        _sweep(path, manifest)
        return IndexFolder(path, lock, manifest, draft=False)
    except BaseException:
        lock.release()
        raise


def new_folder(path: Path, manifest: Manifest, *, lock_timeout_s: float) -> IndexFolder:
    """Lock an empty folder and start an index in it; raise IndexExistsError for any other."""
    with engine_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        _refuse_to_overwrite(path)
        lock = IndexLock(path, timeout_s=lock_timeout_s)
        try:
            _refuse_to_overwrite(path)  # again: two may have waited for the lock
            # Only under the lock: another's creation that ends right now puts the manifest in the
            # draft's place, and would look like an index without one.
            if not (path / DRAFT).exists():
                _refuse_orphans(path)
            _sweep(path, None)
            _refuse_orphans(path)
            return _start_draft(path, lock, manifest)
        except BaseException:
            lock.release()
            raise


def second_folder(path: Path, manifest: Manifest, *, lock_timeout_s: float) -> IndexFolder:
    """Lock the index at `path` and start another one in its folder, which shall replace it."""
    return replacement(open_folder(path, lock_timeout_s=lock_timeout_s), manifest)


def replacement(current: IndexFolder, manifest: Manifest) -> IndexFolder:
    """Start another index in the folder of this one, under its lock, which shall replace it."""
    path = current.path
    with closed_on_error(current):
        takes = bytes_on_disk(current.shard)
        if not has_space(path, takes):
            raise StorageFullError(
                f"the index at {path} takes {takes >> 20} MiB, and so much is not free for a new "
                "one beside it; free some, or make the new one in another folder"
            )
        replacing = replace(manifest, replaced=current.manifest.shard)
        return _start_draft(path, current.lock, replacing)


@contextmanager
def closed_on_error(folder: IndexFolder) -> Iterator[None]:
    """Let go of the folder, and of a draft in it, when what is done with it fails."""
    try:
        yield
    except BaseException:
        folder.close()
        raise


def damaged(path: Path, damage: list[str]) -> IndexCorruptError:
    """Say what is damaged, and how it is made good."""
    more = f", and {len(damage) - 3} more" if len(damage) > 3 else ""
    return IndexCorruptError(
        f"the index at {path} is damaged: {'; '.join(damage[:3])}{more}. Nothing is read from it "
        f"or written to it; {REPAIR.format(folder=path)}"
    )


def _start_draft(path: Path, lock: IndexLock, manifest: Manifest) -> IndexFolder:
    """Save the manifest before its shard is made, so that whatever is left of that is known."""
    names = chain([SHARD], (f"{SHARD}-{number}" for number in count(2)))
    free = next(name for name in names if not (path / name).exists())
    folder = IndexFolder(path, lock, replace(manifest, shard=free), draft=True)
    folder.save(folder.manifest)
    folder.written = True
    return folder


def _sweep(path: Path, manifest: Manifest | None) -> None:
    """Remove what was left by a process that was killed while it made or replaced an index."""
    with engine_errors(path):
        (path / f"{DRAFT}.new").unlink(missing_ok=True)
        if manifest is not None:
            (path / f"{MANIFEST}.new").unlink(missing_ok=True)
        if manifest and manifest.replaced:
            _remove(path / manifest.replaced)
        try:
            draft = Manifest.load(path / DRAFT)
        except (IndexNotFoundError, IndexCorruptError, IndexMismatchError):
            return  # none, or none of ours
        if manifest is None or draft.shard != manifest.shard:
            _remove(path / draft.shard)
        (path / DRAFT).unlink()


def _remove(shard: Path) -> None:
    """Remove the engine's files; whatever else lies among them stays, with the folders it is in."""
    for entry in [*shard.glob("*"), *shard.glob("segments/*"), *shard.glob("wal/*")]:
        if _ENGINES.fullmatch(entry.relative_to(shard).as_posix()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    for folder in (shard / "segments", shard / "wal", shard):
        with suppress(OSError):  # it holds other files, or is gone
            folder.rmdir()


def _refuse_to_overwrite(path: Path) -> None:
    """Raise IndexExistsError unless the folder is empty or holds what a killed creation left."""
    if (path / MANIFEST).exists():
        raise IndexExistsError(
            f"there is an index at {path} already; index into it, or delete the folder first"
        )
    own = {LOCK, DRAFT, *(f"{name}.new" for name in (MANIFEST, DRAFT))}
    others = {entry.name for entry in path.iterdir()} - own - {each.name for each in shards(path)}
    if others:
        raise IndexExistsError(
            f"{path} holds other files ({', '.join(sorted(others)[:3])}); "
            "choose a new or an empty folder"
        )


def _refuse_orphans(path: Path) -> None:
    if orphans := shards(path):
        raise IndexCorruptError(
            f"{path} holds {orphans[0].name}, which may be an index's, but no {MANIFEST}: nothing "
            "there is touched. Restore that file from a backup, or, if the documents are not "
            "needed, move the folder away and make the index anew from its sources"
        )
