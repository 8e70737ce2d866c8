# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The snapshot store: what is incomplete or damaged is never adopted, what is in use never deleted."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from file_limits import files_of_at_most
from safetensors.torch import load_file, save_file

from entropy_asr.trainers.training import snapshots
from entropy_asr.trainers.training.snapshots import EncoderSnapshots, SnapshotError, wait_for_snapshot


def writer(value: float, size: int = 4):
    """Saves weights that are all `value`."""

    def save(folder: Path) -> None:
        save_file({"weight": torch.full((size,), value)}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")

    return save


@pytest.fixture
def store(tmp_path) -> EncoderSnapshots:
    return EncoderSnapshots(tmp_path / "store")


def value_of(snapshot) -> float:
    return load_file(snapshot.folder / "model.safetensors")["weight"][0].item()


def test_snapshots_come_by_step_and_references_are_not_for_training(store):
    assert store.published() == []
    store.publish(2000, "final", writer(3.0))
    store.publish(500, "reference", writer(1.0))
    store.publish(1000, "drift", writer(2.0), cka=0.97, reference="000000500-reference")
    assert [snapshot.name for snapshot in store.complete()] == [
        "000000500-reference",
        "000001000-drift",
        "000002000-final",
    ]
    drift, final = store.published()
    assert (drift.step, drift.kind, drift.details["cka"], value_of(drift)) == (1000, "drift", 0.97, 2.0)
    assert value_of(store.get("000002000-final")) == value_of(final) == 3.0
    for snapshot in store.complete():
        snapshot.verify()


def test_last_step_may_drift_and_be_final_in_this_order(store):
    store.publish(10, "final", writer(1.0))
    store.publish(10, "drift", writer(1.0))
    assert [snapshot.kind for snapshot in store.published()] == ["drift", "final"]


def test_published_snapshot_is_never_replaced(store):
    """A resumed run publishes its steps again; others may train on the first one already."""
    first = store.publish(10, "drift", writer(1.0), cka=0.9)
    again = store.publish(10, "drift", writer(2.0), cka=0.8)
    assert again == first
    assert value_of(again) == 1.0


def adopt(store, tmp_path, snapshot=None):
    return store.adopt(snapshot or store.published()[-1], tmp_path / "run", "me")


def test_adopted_snapshot_is_a_copy_that_outlives_the_store(store, tmp_path):
    store.publish(10, "drift", writer(1.0), cka=0.9)
    copy = adopt(store, tmp_path)
    shutil.rmtree(store.folder)
    copy.verify()
    assert value_of(copy) == 1.0 and copy.details == {"cka": 0.9}


def damage_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def tear(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def change_hash(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.safetensors"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))


def remove_file(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize("spoil", [damage_byte, tear, change_hash, remove_file])
def test_damaged_snapshot_is_never_adopted(store, tmp_path, spoil):
    spoil(store.publish(10, "drift", writer(1.0)).folder)
    with pytest.raises(SnapshotError, match="000000010-drift: .*(damaged|cannot be read)"):
        adopt(store, tmp_path)
    assert not (tmp_path / "run" / "000000010-drift").exists()
    assert store.users() == set()


@pytest.mark.parametrize("files", [{"model.safetensors": "0" * 64, "../other": "0" * 64}, ["model.safetensors"], None])
def test_a_snapshot_that_names_files_outside_of_its_folder_is_left_out(store, files):
    folder = store.publish(10, "drift", writer(1.0)).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = files
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert store.published() == []
    with pytest.raises(SnapshotError, match="000000010-drift: .*outside of it"):
        store.get("000000010-drift")


def test_a_run_without_room_for_a_copy_says_so_and_does_not_wait(store, tmp_path):
    """A snapshot that cannot be read is waited for; no other snapshot would help here."""
    store.publish(10, "drift", writer(1.0, size=2**16))
    with files_of_at_most(2**16), pytest.raises(OSError, match="File too large") as refused:
        wait_for_snapshot(store, tmp_path / "run", "me")
    assert str(tmp_path / "run") in refused.value.filename and store.users() == set()


def remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text((folder / "manifest.json").read_text()[:30])


def foreign_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"step": 10}')


@pytest.mark.parametrize("spoil", [remove_manifest, cut_manifest, foreign_manifest])
def test_half_written_snapshot_is_left_out_and_reported_once(store, tmp_path, spoil, caplog):
    store.publish(5, "drift", writer(1.0))
    spoil(store.publish(10, "drift", writer(2.0)).folder)
    for _ in range(3):
        assert [snapshot.step for snapshot in store.published()] == [5]
    assert [record.message for record in caplog.records if "000000010-drift" in record.message] == [caplog.messages[0]]
    with pytest.raises(SnapshotError, match=r"manifest\.json"):
        store.get("000000010-drift")


def test_publishing_repairs_what_its_killed_writer_left(store):
    folder = store.publish(10, "drift", writer(1.0)).folder
    remove_manifest(folder)
    (store.folder / ".writing-abc").mkdir()
    store.publish(10, "drift", writer(2.0))
    store.published()[0].verify()
    assert value_of(store.published()[0]) == 2.0
    assert sorted(path.name for path in store.folder.iterdir()) == ["000000010-drift"]


def test_damaged_copy_in_the_run_is_copied_anew(store, tmp_path):
    store.publish(10, "drift", writer(1.0))
    damage_byte(adopt(store, tmp_path).folder)
    adopt(store, tmp_path).verify()


def publish_for_ever(folder: Path, first_ones: int, done) -> None:
    """Publish on and on; tell when the first ones are there."""
    # A fork has none of its parent's worker threads, and would wait for them for ever.
    torch.set_num_threads(1)
    store = EncoderSnapshots(folder)
    for step in range(10**6):
        store.publish(step, "drift", writer(float(step), size=200_000))
        if step + 1 == first_ones:
            done.set()


def test_publisher_killed_at_any_moment_leaves_whole_snapshots_only(store, tmp_path):
    """SIGKILL while it writes, again and again: what has a manifest is whole, and a publisher can go on."""
    context = multiprocessing.get_context("fork")
    for round_number in range(8):
        # Not by the clock alone: a busy machine takes long to start a process.
        done = context.Event()
        process = context.Process(target=publish_for_ever, args=(store.folder, round_number + 1, done))
        process.start()
        assert done.wait(timeout=120)
        time.sleep(0.0013 * round_number)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for snapshot in store.published():
            snapshot.verify()
            assert value_of(snapshot) == snapshot.step
    assert len(store.published()) > 3


# Garbage collection


def test_newest_final_protected_and_used_snapshots_stay(store):
    for step in range(6):
        store.publish(step, "drift", writer(float(step)))
    store.publish(1, "final", writer(1.0))
    used = store.get("000000002-drift")
    with store.in_use(used, "reader"):
        deleted = store.collect_garbage(keep=2, protected={"000000000-drift"})
    assert deleted == ["000000001-drift", "000000003-drift"]
    assert store.collect_garbage(keep=1) == ["000000000-drift", "000000002-drift", "000000004-drift"]
    assert [snapshot.name for snapshot in store.complete()] == ["000000001-final", "000000005-drift"]
    with pytest.raises(ValueError, match="keep"):
        store.collect_garbage(keep=0)


def test_snapshot_taken_into_use_while_it_is_being_deleted_is_either_kept_or_refused(store, monkeypatch):
    """The reader comes between the collector's two looks at the leases."""
    for step in range(2):
        store.publish(step, "drift", writer(float(step)))
    old, looks = store.get("000000000-drift"), []
    users = EncoderSnapshots.users

    def users_with_reader(self):
        looks.append(1)
        if len(looks) == 2:
            (self.folder / "users").mkdir(exist_ok=True)
            (self.folder / "users" / "reader.json").write_text('{"snapshot": "000000000-drift"}')
        return users(self)

    monkeypatch.setattr(EncoderSnapshots, "users", users_with_reader)
    assert store.collect_garbage(keep=1) == []
    old.verify()
    assert [snapshot.step for snapshot in store.published()] == [0, 1]


def test_collector_killed_before_deleting_is_finished_by_the_next(store):
    for step in range(3):
        store.publish(step, "drift", writer(float(step)))
    for name in ("000000000-drift", "000000001-drift"):
        folder = store.folder / name
        (folder / "manifest.json").rename(folder / "manifest.json.deleting")
    (store.folder / "users").mkdir(exist_ok=True)
    (store.folder / "users" / "reader.json").write_text('{"snapshot": "000000001-drift"}')
    assert store.collect_garbage(keep=1) == ["000000000-drift"]
    assert [snapshot.step for snapshot in store.published()] == [1, 2]


def test_deleted_snapshot_is_refused_not_half_copied(store, tmp_path):
    for step in range(2):
        store.publish(step, "drift", writer(float(step)))
    old = store.get("000000000-drift")
    store.collect_garbage(keep=1)
    with pytest.raises(SnapshotError, match="no manifest"):
        adopt(store, tmp_path, old)
    assert store.users() == set()


def test_readers_and_collector_at_once(store, tmp_path):
    """Readers copy while old snapshots are deleted: a copy is whole, or refused."""
    problems, stop = [], threading.Event()

    def read(name: str) -> None:
        reader = EncoderSnapshots(store.folder)
        while not stop.is_set():
            for snapshot in reader.published():
                try:
                    copy = reader.adopt(snapshot, tmp_path / name, name)
                except SnapshotError:
                    continue
                if value_of(copy) != copy.step:
                    problems.append(copy.name)

    threads = [threading.Thread(target=read, args=(f"reader{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for step in range(25):
        store.publish(step, "drift", writer(float(step), size=100_000))
        store.collect_garbage(keep=1)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert sum(1 for _ in (tmp_path / "reader0").glob("0*")) > 1


# Waiting


def test_waiting_takes_the_first_good_snapshot_and_the_same_one_again(store, tmp_path, caplog):
    tear(store.publish(5, "drift", writer(1.0)).folder)
    timer = threading.Timer(0.3, lambda: store.publish(10, "drift", writer(2.0)))
    timer.start()
    adopted = wait_for_snapshot(store, tmp_path / "run", "me", poll_seconds=0.02)
    timer.join()
    assert adopted.step == 10
    assert "Waiting for the first encoder snapshot" in caplog.text
    assert "000000005-drift: model.safetensors is damaged" in caplog.text
    store.publish(7, "drift", writer(3.0))
    assert wait_for_snapshot(store, tmp_path / "run", "me").step == 10


def test_references_are_not_waited_for(store, tmp_path, monkeypatch):
    store.publish(5, "reference", writer(1.0))

    def publish_instead_of_sleeping(seconds):
        store.publish(6, "final", writer(2.0))

    monkeypatch.setattr(snapshots.time, "sleep", publish_instead_of_sleeping)
    assert wait_for_snapshot(store, tmp_path / "run", "me").kind == "final"
