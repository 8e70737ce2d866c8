# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `storage_faults.py` runs, and the faults that it makes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import yaml
from corpora import write_corpus
from fake_pipeline import FakePipeline
from kill_areas import (
    Run,
    contents,
    hashes,
    last_lines,
    log_of,
    quietly,
    stage_weights,
    use_store,
    verified_hashes,
)
from killed_runs import count_changes, end_group, on_changes, run_and_kill_at_change, run_forked, start_forked
from safetensors.torch import load_file, save_file
from training_helpers import resumable_section, same_tensors, save_components

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.runs.console import run_command
from entropy_asr.trainers.runs.locks import HOLDER, LOCK
from entropy_asr.trainers.training import encoder_swaps
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


ROOM = "256m"
DAY = 86400
# Seconds from a file that is seen to the next, at most; a snapshot has some eighty.
LATE = 0.05


@dataclass
class Tally:
    """What became of the runs of an area under a fault; of those that were stopped by it, `refused` says how many."""

    runs: int = 0
    refused: int = 0
    unclear: int = 0
    lost: int = 0
    unequal: int = 0

    def add(self, was_refused: bool, problem: str | None, name: str) -> None:
        """Count a run; its problem begins with the kind that it is."""
        self.runs, self.refused = self.runs + 1, self.refused + was_refused
        if problem is not None:
            kind = problem.partition(":")[0]
            setattr(self, kind, getattr(self, kind) + 1)
            print(f"{name}: {problem}", flush=True)


class Area(ABC):
    """Runs that write into a folder.

    Args:
        scratch: An empty folder.
    """

    names: tuple[str, ...] = ()
    # Exit status of a run that ended well.
    good = 0

    def __init__(self, scratch: Path):
        self.scratch = scratch

    @abstractmethod
    def run_in(self, name: str, folder: Path) -> Run:
        """The run of that name; its folder is there."""

    @abstractmethod
    def result(self, name: str, folder: Path) -> Any:
        """What the run has left there, to be compared."""

    def is_equal(self, first: Any, second: Any) -> bool:
        """Whether two results are the same."""
        return first == second


class Stages(Area):
    """Stages of models of a few thousand parameters, by `entropy-asr train`: six steps, two checkpoints."""

    names = ("encoder", "language_model", "alignment", "joint_sft", "lora", "grpo")
    # Where a run is not called as its stage is.
    stages: dict[str, str] = {"lora": "joint_sft"}

    def __init__(self, scratch: Path):
        super().__init__(scratch)
        self.components = scratch / "components"
        save_components(self.components)

    def section(self, name: str, folder: Path) -> dict[str, Any]:
        """What the stage's file says."""
        section = resumable_section(name, self.components) | {"output_dir": str(folder / "stage"), "seed": 7}
        if "cache_dir" in section["data"]:
            section["data"]["cache_dir"] = str(folder / "cache")
        return section

    def run_in(self, name: str, folder: Path) -> Run:
        path = self.scratch / f"{name}.yaml"
        path.write_text(yaml.safe_dump(self.section(name, folder)), encoding="utf-8")
        return lambda: cli.main(["train", self.stages.get(name, name), "--config", str(path)])

    def result(self, name: str, folder: Path) -> Any:
        return stage_weights(folder / "stage")

    def is_equal(self, first: Any, second: Any) -> bool:
        return same_tensors(first, second)


class Store(Area):
    """Snapshots published, adopted by a run, and collected as garbage."""

    names = ("store",)

    def run_in(self, name: str, folder: Path) -> Run:
        return lambda: run_command(lambda: use_store(folder), str)  # as stages are run

    def result(self, name: str, folder: Path) -> Any:
        return {path: value for path, value in verified_hashes(folder).items() if not path.startswith("store/users/")}


class Corpus(Area):
    """`entropy-asr transcribe --dataset`; the model is a stand-in that tells lengths."""

    names = ("out.parquet", "out")
    good = 1  # two rows cannot be read

    def __init__(self, scratch: Path):
        super().__init__(scratch)
        self.data = write_corpus(scratch / "corpus", bad=(4, 13))

    def run_in(self, name: str, folder: Path) -> Run:
        words = ["transcribe", "--dataset", str(self.data), "--output", str(folder / name), "--keep_columns", "id"]

        def run() -> int:
            stand_in = SimpleNamespace(load_pipeline=lambda *args, **kwargs: FakePipeline())
            sys.modules["entropy_asr.modeling.pipeline_entropy_asr"] = stand_in
            return cli.main([*words, "--rows_per_part", "3", "--device", "cpu"])

        return run

    def result(self, name: str, folder: Path) -> Any:
        return contents(folder / name)


class SharedStore(Stages):
    """IA-SFT from a store that another machine has filled: as a plan says, or on the finished encoder alone."""

    names = ("replay", "live")
    stages = dict.fromkeys(names, "iterative_async_sft")

    def __init__(self, scratch: Path):
        super().__init__(scratch)
        self.shared, self.plan = scratch / "shared", scratch / "plan.json"
        encoder_swaps.REJECTED_SECONDS = LATE
        store = EncoderSnapshots(self.shared)
        published = [
            store.publish(
                step, kind, lambda folder, step=step: save_encoder(self.components / "encoder", step, folder)
            )
            for step, kind in ((2, "drift"), (5, "drift"), (9, "final"))
        ]
        swaps = [
            {"step": step, "snapshot": snapshot.name, "sha256": snapshot.sha256}
            for step, snapshot in zip((0, 2, 4), published, strict=True)
        ]
        self.plan.write_text(json.dumps(swaps))

    def section(self, name: str, folder: Path) -> dict[str, Any]:
        section = super().section("iterative_async_sft", folder)
        section["training"] |= {"snapshot_dir": str(folder / "store"), "swap_policy": name, "swap_poll_seconds": 0.05}
        section["training"] |= {"swap_plan": str(self.plan)} if name == "replay" else {"final_steps": 6}
        return section

    def run_in(self, name: str, folder: Path) -> Run:
        if folder.name.endswith("undisturbed"):
            shutil.copytree(self.shared, folder / "store", dirs_exist_ok=True)
        return super().run_in(name, folder)


def save_encoder(encoder: Path, step: int, folder: Path) -> None:
    """An encoder whose weights are others at each step."""
    shutil.copytree(encoder, folder, dirs_exist_ok=True)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor * (1 + step / 100) for name, tensor in weights.items()}, folder / "model.safetensors")


AREAS = {
    "training stages": Stages,
    "snapshot store": Store,
    "corpus transcription": Corpus,
    "IA-SFT from a shared store": SharedStore,
}


@contextmanager
def mounted(folder: Path, size: str = ROOM) -> Iterator[None]:
    """A file system of its own for a folder, in memory."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this process may mount file systems."""
    if not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "tmpfs", folder]
        if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


class Undisturbed:
    """What each run of an area leaves when nothing happens, how large it is, and how often it changes a file."""

    def __init__(self, area: Area):
        self.results, self.changes, self.kilobytes = {}, {}, {}
        for name in area.names:
            folder = area.scratch / f"{name}-undisturbed"
            with mounted(folder):
                run = quietly(area.run_in(name, folder), folder)
                self.changes[name] = count_changes(run, str(folder))
                self.results[name] = area.result(name, folder)
                state = os.statvfs(folder)
                self.kilobytes[name] = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024


def each(area: Area, draws: int) -> Iterator[tuple[str, Path]]:
    """Names of runs, and folders that are not there yet."""
    for name in area.names:
        for draw in range(draws):
            yield name, area.scratch / f"{name}-{draw}"


def said(folder: Path, reason: str) -> str | None:
    """What is wrong with the last line that a run has shown, None if nothing."""
    lines = log_of(folder).read_text(errors="replace").splitlines()
    line = lines[-1] if lines else ""
    if any(text.startswith("Traceback") for text in lines):
        return f"unclear: a traceback, and then {line!r}"
    if reason not in line or str(folder) not in line:
        return f"unclear: neither {reason!r} nor its folder: {line!r}"
    return None


def ended(area: Area, name: str, folder: Path, expected: Any) -> str | None:
    """Run to the end, and compare; what is wrong, None if nothing."""
    try:
        status = run_forked(quietly(area.run_in(name, folder), folder))
        if not (os.WIFEXITED(status) and os.WEXITSTATUS(status) == area.good):
            return f"lost: status {status}: {last_lines(folder)}"
        return None if area.is_equal(area.result(name, folder), expected) else "unequal: what it left differs"
    except (AssertionError, OSError, ValueError, RuntimeError) as error:
        return f"lost: {error}: {last_lines(folder)}"


def refused(area: Area, name: str, folder: Path, reason: str) -> tuple[bool, str | None]:
    """Run with a fault: whether that stopped it, and what is wrong with how it said so, None if nothing."""
    status = run_forked(quietly(area.run_in(name, folder), folder))
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == area.good:
        return False, None
    problem = said(folder, reason)
    log_of(folder).unlink()
    return True, problem


def until_mended(
    area: Area, name: str, folder: Path, fault: tuple[str, str], undisturbed: Undisturbed
) -> tuple[bool, str | None]:
    """Run with a fault, and again when it is mended: whether it stopped the run, and what is wrong, None if nothing.

    Args:
        area, name, folder: What is run, and where.
        fault: What the system says of it, and options of a mount without it.
        undisturbed: What there should be in the end.
    """
    reason, options = fault
    stopped, problem = refused(area, name, folder, reason)
    remount(folder, options)
    later = ended(area, name, folder, undisturbed.results[name])
    return stopped, problem or later


def full_disk(area: Area, draws: int, rng: np.random.Generator) -> Tally:
    """A file system with room for a part of what the run writes; then there is more."""
    tally, undisturbed = Tally(), Undisturbed(area)
    for name, folder in each(area, draws):
        size = f"{max(8, int(undisturbed.kilobytes[name] * rng.uniform(0.02, 0.98)))}k"
        with mounted(folder, size):
            found = until_mended(area, name, folder, ("No space left on device", f"size={ROOM}"), undisturbed)
        tally.add(*found, f"{name} with {size}")
    return tally


def read_only(area: Area, draws: int, rng: np.random.Generator) -> Tally:
    """A run that was killed goes on in a folder that is read-only; then it may be written again."""
    tally, undisturbed = Tally(), Undisturbed(area)
    for name, folder in each(area, draws):
        with mounted(folder):
            number = int(rng.integers(0, undisturbed.changes[name])) + 1
            run_and_kill_at_change(quietly(area.run_in(name, folder), folder), str(folder), number)
            log_of(folder).unlink(missing_ok=True)
            remount(folder, "ro")
            found = until_mended(area, name, folder, ("Read-only file system", "rw"), undisturbed)
        tally.add(*found, f"{name} after change {number}")
    return tally


def clock_jumps(area: Area, draws: int, rng: np.random.Generator) -> Tally:
    """The time of day jumps by days at changes, a killed run's files have any dates when it goes on."""
    tally, undisturbed = Tally(), Undisturbed(area)
    for name, folder in each(area, draws):
        with mounted(folder):
            number, seed = int(rng.integers(0, undisturbed.changes[name])) + 1, int(rng.integers(2**32))
            run = jumping(area.run_in(name, folder), folder, seed)
            run_and_kill_at_change(quietly(run, folder), str(folder), number)
            for path in [*folder.rglob("*"), folder]:
                os.utime(path, (time.time() + DAY * float(rng.uniform(-999, 999)),) * 2)
            problem = ended(_Jumping(area, seed + 1), name, folder, undisturbed.results[name])
        tally.add(False, problem, f"{name} after change {number}")
    return tally


def jumping(run: Run, folder: Path, seed: int) -> Run:
    """The same, with a clock that jumps at each change of a file."""
    rng, real, ahead = np.random.default_rng(seed), time.time, [0.0]

    def jump(number: int) -> None:
        ahead[0] = DAY * float(rng.uniform(-999, 999))

    def started() -> object:
        time.time = lambda: real() + ahead[0]
        on_changes(str(folder), jump)
        return run()

    return started


class _Jumping:
    """An area whose runs have a clock that jumps."""

    def __init__(self, area: Area, seed: int):
        self.area, self.seed = area, seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.area, name)

    def run_in(self, name: str, folder: Path) -> Run:
        return jumping(self.area.run_in(name, folder), folder, self.seed)


def two_at_once(area: Area, draws: int, rng: np.random.Generator) -> Tally:
    """While a run stands still somewhere, another is started in its folder: it must be refused, and change nothing."""
    tally, undisturbed = Tally(), Undisturbed(area)
    for name, folder in each(area, draws):
        with mounted(folder):
            number = int(rng.integers(0, undisturbed.changes[name])) + 1
            first = stopped_at(quietly(area.run_in(name, folder), folder), folder, number)
            log_of(folder).unlink(missing_ok=True)
            has_lock, before = any(folder.rglob(HOLDER)), files_in(folder)
            stopped, problem = refused(area, name, folder, "is running already, in process")
            if not problem and has_lock and not stopped:
                problem = "lost: the second was not refused"
            if not problem and stopped and files_in(folder) != before:
                problem = "unequal: the second changed files of the first"
            os.kill(first, signal.SIGCONT)
            status = os.waitpid(first, 0)[1]
            end_group(first)
            if not problem and status != area.good << 8:
                problem = f"lost: the first ended with status {status}"
            if not problem and not area.is_equal(area.result(name, folder), undisturbed.results[name]):
                problem = "unequal: what the first left differs"
        tally.add(stopped, problem, f"{name} at change {number}")
    return tally


def files_in(folder: Path) -> dict[str, str]:
    """Hashes of a run's files; who wants its lock opens that."""
    return {path: value for path, value in hashes(folder).items() if Path(path).name not in (LOCK, HOLDER)}


def stopped_at(run: Run, folder: Path, number: int) -> int:
    """The number of a process that stands still at its so many-th change, or has ended before."""

    def stop(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGSTOP)

    process = start_forked(run, lambda: on_changes(str(folder), stop))
    os.waitid(os.P_PID, process, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return process


def seen_late(area: Area, draws: int, rng: np.random.Generator) -> Tally:
    """Files come into sight one by one, in any order, some torn at first, as on a share of another machine."""
    tally, undisturbed = Tally(), Undisturbed(area)
    for name, folder in each(area, draws):
        with mounted(folder), shared_late(area.shared, folder / "store", np.random.default_rng(rng.integers(2**32))):
            problem = ended(area, name, folder, undisturbed.results[name])
        tally.add(False, problem, f"{name}, {folder.name}")
    return tally


@contextmanager
def shared_late(source: Path, view: Path, rng: np.random.Generator) -> Iterator[None]:
    """While it lasts, files of one folder appear in another."""
    process = start_forked(lambda: show_one_by_one(source, view, rng))
    try:
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def show_one_by_one(source: Path, view: Path, rng: np.random.Generator) -> None:
    """Copy files in any order, half of them first without their ends."""
    files = [path for path in source.rglob("*") if path.is_file()]
    for index in rng.permutation(len(files)):
        target = view / files[index].relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = files[index].read_bytes()
        if rng.random() < 0.5:
            target.write_bytes(data[: int(rng.integers(len(data) + 1))])
            time.sleep(float(rng.uniform(0, LATE)))
        target.write_bytes(data)
        time.sleep(float(rng.uniform(0, LATE)))


FAULTS = {
    "full disk": full_disk,
    "read-only folder": read_only,
    "clock jumps": clock_jumps,
    "two runs in a folder": two_at_once,
    "files seen late": seen_late,
}
# Publishing is one process's, which its stage's lock sees to.
PAIRS = [(area, fault) for fault in list(FAULTS)[:3] for area in list(AREAS)[:3]]
PAIRS += [(area, "two runs in a folder") for area in ("training stages", "corpus transcription")]
PAIRS += [("IA-SFT from a shared store", "files seen late")]
