# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where encoder pretraining and supervised training meet: encoders published in a folder, local or shared.

Layout of the store:

    000010000-drift/      one snapshot: a folder that `EntropyASRForCTC.from_pretrained` loads
        model.safetensors, config.json, ...
        manifest.json     written last: step, kind, SHA-256 of every other file
    users/NAME.json       snapshots that a run is copying or reading: garbage collection leaves them
    .writing-*            what a publisher has not finished

Files are written beside the snapshot and renamed; a folder without a manifest, or with a file whose hash differs, is
never used. Whoever adopts a snapshot copies it, so that later neither a deletion nor a broken share can reach the run.
Only renames within one folder and whole small files are relied on: NFS, Lustre and the like will do.
"""

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ..runs.console import error_text
from ..runs.disk import named_disk_errors
from ..runs.records import write_text


logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
HIDDEN_MANIFEST = "manifest.json.deleting"
WEIGHTS = "model.safetensors"
# Folder of a run with its copies of the snapshots it trains on.
ADOPTED = "adopted_encoders"
# What a snapshot is for, in the order of kinds published at one step. References are compared with, not trained on.
KINDS = ("reference", "drift", "final")


class SnapshotError(RuntimeError):
    """A snapshot that cannot be used: torn, changed, or gone. The message names it and the reason."""


@dataclass(frozen=True)
class Snapshot:
    """One complete snapshot.

    Args:
        folder: Its folder.
        step: Pretraining step of the encoder.
        kind: "reference", "drift" (published because CKA fell below the threshold) or "final".
        files: SHA-256 of each file, by its name.
        details: What the publisher says besides, `cka` for one.
    """

    folder: Path
    step: int
    kind: str
    files: dict[str, str]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def order(self) -> tuple[int, int]:
        """What snapshots are sorted by: the finished encoder comes after one published at the same step."""
        return self.step, KINDS.index(self.kind)

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return self.files[WEIGHTS]

    def verify(self) -> None:
        """Read every file and compare its hash.

        Raises:
            SnapshotError: a file is missing, unreadable or differs.
        """
        for name, expected in self.files.items():
            try:
                actual = hash_file(self.folder / name)
            except OSError as error:
                raise SnapshotError(f"{self.folder}: {name} cannot be read ({error.strerror}).") from error
            if actual != expected:
                raise SnapshotError(f"{self.folder}: {name} is damaged, its SHA-256 is not that of the manifest.")


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_snapshot(folder: Path) -> Snapshot:
    """A snapshot from its manifest; its files are not looked at.

    Raises:
        SnapshotError: there is no manifest, or it is not one.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        snapshot = Snapshot(folder, **manifest)
    except FileNotFoundError as error:
        raise SnapshotError(f"{folder}: no {MANIFEST}; it is being written, or its writer was killed.") from error
    except (OSError, ValueError, TypeError) as error:
        raise SnapshotError(f"{folder}: {MANIFEST} cannot be read ({error}).") from error
    if not (isinstance(snapshot.step, int) and isinstance(snapshot.details, dict) and _are_names(snapshot.files)):
        raise SnapshotError(f"{folder}: {MANIFEST} names no files of the folder, or others outside of it.")
    if snapshot.kind not in KINDS or WEIGHTS not in snapshot.files:
        raise SnapshotError(f"{folder}: {MANIFEST} names no {WEIGHTS} or an unknown kind {snapshot.kind!r}.")
    return snapshot


def _are_names(files: Any) -> bool:
    return isinstance(files, dict) and all(name not in ("", "..") and Path(name).name == name for name in files)


class EncoderSnapshots:
    """Store of encoder snapshots in a folder; any number of processes on any number of machines may have it open.

    Args:
        folder: The store; made when something is published.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._reported: set[str] = set()

    def snapshot_name(self, step: int, kind: str) -> str:
        """Name of the snapshot of a step."""
        return f"{step:09d}-{kind}"

    def complete(self, kinds: tuple[str, ...] = KINDS) -> list[Snapshot]:
        """Snapshots with a manifest, by step. Folders without a usable one are reported, once each, and left out."""
        snapshots = []
        for folder in sorted(self.folder.glob("*-*")):
            if folder.name.startswith(".") or folder.name.rpartition("-")[2] not in KINDS:
                continue
            try:
                snapshots.append(read_snapshot(folder))
            except SnapshotError as error:
                self.report(error)
        snapshots.sort(key=lambda snapshot: snapshot.order)
        return [snapshot for snapshot in snapshots if snapshot.kind in kinds]

    def published(self) -> list[Snapshot]:
        """Snapshots meant for training on, by step."""
        return self.complete(("drift", "final"))

    def get(self, name: str) -> Snapshot:
        """A snapshot by its name.

        Raises:
            SnapshotError: it is not complete.
        """
        return read_snapshot(self.folder / name)

    def report(self, error: SnapshotError) -> None:
        """Warn of an unusable snapshot, once."""
        if str(error) not in self._reported:
            self._reported.add(str(error))
            logger.warning(f"Snapshot left out: {error}")

    def publish(self, step: int, kind: str, save: Callable[[Path], None], **details: Any) -> Snapshot:
        """Publish a snapshot. One that is there already stays as it is: others may train on it.

        Args:
            step: Pretraining step.
            kind: One of `KINDS`.
            save: Writes weights and whatever belongs to them into the folder it is given.
            **details: JSON-serialisable facts for the manifest.
        """
        folder = self.folder / self.snapshot_name(step, kind)
        try:
            existing = read_snapshot(folder)
            existing.verify()
            return existing
        except SnapshotError as error:
            if folder.exists():
                logger.warning(f"Written anew: {error}")
        with named_disk_errors(self.folder):
            return self._write(folder, save, lambda files: Snapshot(folder, step, kind, files, details))

    def _write(
        self, folder: Path, save: Callable[[Path], None], describe: Callable[[dict[str, str]], Snapshot]
    ) -> Snapshot:
        """Write a snapshot beside its folder, and rename it; its manifest comes last."""
        writing = self._new_folder()
        save(writing)
        snapshot = describe({path.name: hash_file(path) for path in sorted(writing.iterdir())})
        for name in snapshot.files:
            _flush(writing / name)
        if folder.exists():
            (folder / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(folder)
        writing.rename(folder)
        write_text(folder / MANIFEST, _manifest(snapshot))
        _flush(folder / MANIFEST)
        return snapshot

    def _new_folder(self) -> Path:
        """Empty folder to write a snapshot into; what killed publishers left is removed (one publishes at a time)."""
        for left in self.folder.glob(".writing-*"):
            shutil.rmtree(left, ignore_errors=True)
        writing = self.folder / f".writing-{uuid.uuid4().hex}"
        writing.mkdir(parents=True)
        return writing

    def adopt(self, snapshot: Snapshot, runs_folder: Path, user: str) -> Snapshot:
        """Copy a snapshot into a run and verify the copy.

        Args:
            snapshot: A snapshot of this store.
            runs_folder: The run's folder of adopted snapshots; one that is there already is verified and used.
            user: Name of the run; only one process at a time goes by it.

        Returns:
            The copy.

        Raises:
            SnapshotError: the snapshot is damaged or was deleted meanwhile.
        """
        copy = runs_folder / snapshot.name
        try:
            adopted = read_snapshot(copy)
            adopted.verify()
            if adopted.sha256 == snapshot.sha256:
                return adopted
        except SnapshotError:
            pass  # not there, or damaged: copied anew
        with self.in_use(snapshot, user):
            copying = runs_folder / f".copying-{snapshot.name}"
            shutil.rmtree(copying, ignore_errors=True)
            _copy(snapshot, copying)
            copied = read_snapshot(copying)
            if copied.files != snapshot.files:
                raise SnapshotError(f"{snapshot.folder}: changed while it was copied.")
            copied.verify()
        shutil.rmtree(copy, ignore_errors=True)
        copying.rename(copy)
        return read_snapshot(copy)

    @contextmanager
    def in_use(self, snapshot: Snapshot, user: str) -> Iterator[None]:
        """Keep garbage collection from a snapshot.

        Raises:
            SnapshotError: it was deleted before that.
        """
        lease = self.folder / "users" / f"{user}.json"
        lease.parent.mkdir(exist_ok=True)
        write_text(lease, json.dumps({"snapshot": snapshot.name, "since": time.time()}))
        try:
            # The collector hides a manifest first and looks at leases then; one of the two sees the other.
            read_snapshot(snapshot.folder)
            yield
        finally:
            lease.unlink(missing_ok=True)

    def users(self) -> set[str]:
        """Names of the snapshots in use."""
        used = set()
        for lease in (self.folder / "users").glob("*.json"):
            try:
                used.add(json.loads(lease.read_text(encoding="utf-8"))["snapshot"])
            except FileNotFoundError:
                continue  # given back meanwhile
        return used

    def collect_garbage(self, keep: int, protected: set[str] = frozenset()) -> list[str]:
        """Delete old snapshots.

        Never deleted are the `keep` newest of all kinds, final ones, protected ones and those in use.

        Args:
            keep: Number of newest snapshots that stay, at least 1.
            protected: Names of further ones that stay, such as a reference that a checkpoint needs.

        Returns:
            Names of the deleted ones.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}.")
        for snapshot in self.complete()[:-keep]:
            if snapshot.kind != "final" and snapshot.name not in {*protected, *self.users()}:
                (snapshot.folder / MANIFEST).rename(snapshot.folder / HIDDEN_MANIFEST)
        return [folder.name for folder in self._hidden() if self._delete_unless_used(folder)]

    def _hidden(self) -> list[Path]:
        """Folders about to be deleted, also those of a collector that was killed."""
        return sorted(path.parent for path in self.folder.glob(f"*/{HIDDEN_MANIFEST}"))

    def _delete_unless_used(self, folder: Path) -> bool:
        if folder.name in self.users():
            (folder / HIDDEN_MANIFEST).rename(folder / MANIFEST)
            return False
        shutil.rmtree(folder)
        return True


def _copy(snapshot: Snapshot, folder: Path) -> None:
    """Copy a snapshot's files into a folder that is made.

    Raises:
        SnapshotError: they cannot be read; another snapshot may do.
        OSError: they cannot be written: no other one could.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*snapshot.files, MANIFEST):
        with named_disk_errors(folder / name), (folder / name).open("wb") as file:
            for block in _blocks(snapshot.folder / name):
                file.write(block)


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(2**24):
                yield block
    except OSError as error:
        raise SnapshotError(f"{path.parent}: {path.name} cannot be copied ({error_text(error)}).") from error


def _manifest(snapshot: Snapshot) -> str:
    return json.dumps({name: value for name, value in asdict(snapshot).items() if name != "folder"}, indent=1) + "\n"


def _flush(path: Path) -> None:
    """Force a file to the disk: a rename must not be there before what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Patience:
    """Sleeps between looks, and says now and then what is waited for.

    Args:
        what: What is waited for.
        poll_seconds: Length of a sleep.
        log_seconds: Time between two lines.
    """

    def __init__(self, what: str, poll_seconds: float = 10.0, log_seconds: float = 600.0):
        self.what = what
        self.poll_seconds = poll_seconds
        self.log_seconds = log_seconds
        self._logged: float | None = None

    def sleep(self) -> None:
        """Sleep once."""
        now = time.monotonic()
        if self._logged is None or now - self._logged > self.log_seconds:
            self._logged = now
            logger.warning(f"Waiting for {self.what}.")
        time.sleep(self.poll_seconds)


def wait_for_snapshot(
    store: EncoderSnapshots, runs_folder: Path, user: str, adopts: bool = True, poll_seconds: float = 10.0
) -> Snapshot:
    """The first snapshot of a store that is meant for training on, copied into a run; waits until there is one.

    Args:
        store: The store.
        runs_folder: See [`EncoderSnapshots.adopt`]. A snapshot that the run adopted before is taken again.
        user: See [`EncoderSnapshots.adopt`].
        adopts: Whether this process copies; the others of the run wait for the copy. No collective call is waited in:
            it would time out.
        poll_seconds: Time between two looks.

    Raises:
        SnapshotError: the run's own copy is damaged.
    """
    patience = Patience(f"the first encoder snapshot in {store.folder}", poll_seconds)
    while True:
        for adopted in EncoderSnapshots(runs_folder).published():
            adopted.verify()
            return adopted
        for snapshot in store.published() if adopts else []:
            try:
                return store.adopt(snapshot, runs_folder, user)
            except SnapshotError as error:
                store.report(error)
        patience.sleep()


def run_id(output_dir: Path) -> str:
    """Name that a run goes by in a store: kept in its folder, so that it survives restarts and moves."""
    path = output_dir / "run_id"
    if not path.exists():
        output_dir.mkdir(parents=True, exist_ok=True)
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def first_snapshot(folder: str | os.PathLike, output_dir: Path) -> Snapshot:
    """The first published snapshot of a store, copied into the stage's folder by its main process; waits for it."""
    adopts = PartialState().is_main_process
    user = run_id(output_dir) if adopts else ""
    return wait_for_snapshot(EncoderSnapshots(folder), output_dir / ADOPTED, user, adopts)
