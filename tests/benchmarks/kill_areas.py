# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `kill_points.py` kills: training stages, two of them at once, the snapshot store, publishing, corpora."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import async_pair
import numpy as np
import pytest
import torch
from code_copies import code_is_copied_once
from corpora import KILLED_IN, write_corpus
from fake_pipeline import FakePipeline
from killed_runs import count_changes, kill_at_line, run_and_kill_at_change, run_forked, was_killed
from safetensors.torch import load_file, save_file
from training_helpers import (
    resumable_section,
    same_tensors,
    save_components,
    section_stage,
    shrink_tiny,
    stage_section,
)

from entropy_asr.hub_cards.publish import publish_model
from entropy_asr.modeling.pipeline_entropy_asr import load_pipeline  # noqa: F401 (before a stand-in takes its place)
from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT
from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


# Of a run, before it is left in peace.
MOST_KILLS = 6
LONGEST_DELAY = 0.05
# What is run in a folder of its own, again after it was killed.
Run = Callable[[], object]


@dataclass
class Tally:
    """What became of an area's runs."""

    runs: int = 0
    kills: int = 0
    lost: int = 0
    unequal: int = 0

    def add(self, kills: int, problem: str | None, name: str) -> None:
        """Count a run; its problem begins with "lost" where it did not end as it should."""
        self.runs, self.kills = self.runs + 1, self.kills + kills
        if problem is not None:
            is_lost = problem.startswith("lost")
            self.lost, self.unequal = self.lost + is_lost, self.unequal + (not is_lost)
            print(f"{name}: {problem}", flush=True)


class KillArea(ABC):
    """Runs that are killed.

    Args:
        scratch: An empty folder.
        rng: Draws the points.
    """

    def __init__(self, scratch: Path, rng: np.random.Generator):
        self.scratch, self.rng = scratch, rng

    @abstractmethod
    def kill(self, kills: int) -> Tally:
        """Runs until there were so many kills in all."""


class KilledAtChanges(KillArea):
    """Runs that are killed at changes of their files."""

    # Runs that differ, each of which is killed equally often.
    names: tuple[str, ...] = ()

    @abstractmethod
    def run_in(self, name: str, folder: Path) -> Run:
        """The run of that name in a folder."""

    @abstractmethod
    def result(self, name: str, folder: Path) -> Any:
        """What the run has left there, to be compared."""

    def is_equal(self, first: Any, second: Any) -> bool:
        """Whether two results are the same."""
        return first == second

    def kill(self, kills: int) -> Tally:
        tally = Tally()
        for index, name in enumerate(self.names):
            wanted = kills // len(self.names) + (index < kills % len(self.names))
            if wanted:
                self._kill_one(name, wanted, tally)
        return tally

    def _kill_one(self, name: str, kills: int, tally: Tally) -> None:
        peaceful = self.scratch / f"{name}-peaceful"
        changes = count_changes(quietly(self.run_in(name, peaceful), peaceful), str(peaceful))
        expected, done, attempt = self.result(name, peaceful), 0, 0
        while done < kills and attempt < 3 * kills:
            folder, attempt = self.scratch / f"{name}-{attempt}", attempt + 1
            run, killed, problem = quietly(self.run_in(name, folder), folder), 0, None
            try:
                killed = self._killed_run(run, folder, changes, min(MOST_KILLS, kills - done))
                if not self.is_equal(self.result(name, folder), expected):
                    problem = "unequal: what it left differs"
            except (AssertionError, OSError, ValueError) as error:
                problem = f"lost: {error or 'ended with an error'}: {last_lines(folder)}"
            tally.add(killed, problem, name)
            done += killed
            shutil.rmtree(folder, ignore_errors=True)

    def _killed_run(self, run: Run, folder: Path, changes: int, most: int) -> int:
        """Run until it ends, killed at most so often on its way; how often it was."""
        for kills in range(most):
            number = int(self.rng.integers(1, changes + 1))
            delay = float(self.rng.uniform(0, LONGEST_DELAY)) if self.rng.random() < 0.5 else 0.0
            if not run_and_kill_at_change(run, str(folder), number, delay):
                return kills
        status = run_forked(run)
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) < 2, f"status {status}"
        return most


def quietly(run: Run, folder: Path) -> Run:
    """The same, with what it says in a file beside its folder."""

    def quiet() -> object:
        log = log_of(folder).open("a")
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
        return run()

    return quiet


def log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.log")


def last_lines(folder: Path) -> str:
    lines = log_of(folder).read_text(errors="replace").splitlines() if log_of(folder).is_file() else []
    return " | ".join(lines[-4:])


class Stages(KilledAtChanges):
    """Every training stage, six steps of models of a few thousand parameters, checkpoints after two and four."""

    names = (
        *("encoder", "character_encoder", "language_model", "attention_pretraining", "alignment", "encoded_sft"),
        *("iterative_async_sft", "joint_sft", "context_sft", "grpo", "phoneme_head", "lora"),
    )

    def __init__(self, scratch: Path, rng: np.random.Generator):
        super().__init__(scratch, rng)
        self.components = scratch / "components"
        save_components(self.components)

    def run_in(self, name: str, folder: Path) -> Run:
        folder.mkdir()
        section = self._section(name)
        if "cache_dir" in section["data"]:
            section["data"]["cache_dir"] = str(folder / "cache")
        if name == "iterative_async_sft":
            store = EncoderSnapshots(folder / "store")
            store.publish(
                1, "final", lambda writing: shutil.copytree(self.components / "encoder", writing, dirs_exist_ok=True)
            )
            section["training"]["snapshot_dir"] = str(store.folder)
        return lambda: run_section(section_stage(name), section, folder / "stage", 7)

    def _section(self, name: str) -> dict[str, Any]:
        if name != "encoded_sft":
            return resumable_section(name, self.components)
        section = stage_section("joint_sft", self.components, muon=True)
        text = self.components / "text.txt"
        text.write_text("we open the red door\nthe dog\n" * 3, encoding="utf-8")
        section["data"]["text"] = [{"path": str(text), "language": "en", "max_units": 3}]
        del section["data"]["noise"], section["augmentation"]
        return section

    def result(self, name: str, folder: Path) -> Any:
        return stage_weights(folder / "stage")

    def is_equal(self, first: Any, second: Any) -> bool:
        return same_tensors(first, second)


def stage_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of a stage that has all of its six steps on record."""
    record = json.loads((folder / "stage.json").read_text())
    steps = [entry["step"] for entry in record["history"] if "loss" in entry]
    assert steps == [1, 2, 3, 4, 5, 6], f"steps {steps} on record"
    return load_file(folder / "model.safetensors")


class Pair(KillArea):
    """Encoder pretraining and IA-SFT, which meet in a store, either of which is killed at any moment."""

    kills_of_a_run = 10

    def kill(self, kills: int) -> Tally:
        tally = Tally()
        components = self.scratch / "components"
        save_components(components)
        whole = self.scratch / "whole"
        async_pair.run_both(async_pair.sections(components, whole), whole)
        plan = str(whole / "iterative_async_sft" / "checkpoints" / "encoder_swaps.json")
        while tally.kills < kills:
            folder = self.scratch / f"killed-{tally.runs}"
            settings = async_pair.sections(components, folder, swap_policy="replay", swap_plan=plan)
            wanted, killed, problem = min(self.kills_of_a_run, kills - tally.kills), 0, None
            try:
                killed = async_pair.run_both(settings, folder, wanted, 3.0, _Draws(self.rng))
                for stage in async_pair.STAGES:
                    if not same_tensors(async_pair.weights(folder, stage), async_pair.weights(whole, stage)):
                        problem = f"unequal: weights of {stage}"
            except (AssertionError, OSError) as error:
                problem = f"lost: {error}"
            tally.add(max(1, killed), problem, "pretraining and IA-SFT")
        return tally


class _Draws:
    """A generator of NumPy's by the names of Python's own."""

    def __init__(self, rng: np.random.Generator):
        self.uniform, self._rng = rng.uniform, rng

    def choice(self, names: list[str]) -> str:
        return names[int(self._rng.integers(len(names)))]


class Store(KilledAtChanges):
    """Snapshots published, adopted by a run, and collected as garbage."""

    names = ("store",)

    def run_in(self, name: str, folder: Path) -> Run:
        return lambda: use_store(folder)

    def result(self, name: str, folder: Path) -> Any:
        return verified_hashes(folder)


def use_store(folder: Path) -> int:
    """Publish six snapshots, adopt each, and collect garbage."""
    torch.set_num_threads(1)
    store = EncoderSnapshots(folder / "store")

    def save(value: int, writing: Path) -> None:
        save_file({"weight": torch.full((50_000,), float(value))}, writing / "model.safetensors")
        (writing / "config.json").write_text("{}")

    for step in range(6):
        snapshot = store.publish(step, "drift", lambda writing, step=step: save(step, writing))
        store.adopt(snapshot, folder / "run", "me")
        store.collect_garbage(keep=2)
    return 0


def verified_hashes(folder: Path) -> dict[str, str]:
    """Hashes of what [`use_store`] has left; every snapshot is whole."""
    for snapshot in [*EncoderSnapshots(folder / "store").complete(), *EncoderSnapshots(folder / "run").complete()]:
        snapshot.verify()
    return hashes(folder)


class Publishing(KilledAtChanges):
    """`entropy-asr publish --dry_run` of a checkpoint: what it would upload, and the checkpoint afterwards."""

    names = ("publish",)

    def run_in(self, name: str, folder: Path) -> Run:
        source = self.scratch / "source"
        if not source.is_dir():
            ignore = shutil.ignore_patterns("report", "__pycache__", "*.py")
            shutil.copytree(BUNDLED_CHECKPOINT, source, ignore=ignore)
        (folder / "temporary").mkdir(parents=True)

        def run() -> None:
            tempfile.tempdir = str(folder / "temporary")
            with (folder / "printed.txt").open("w") as printed:
                os.dup2(printed.fileno(), sys.stdout.fileno())
                publish_model(source, None, is_dry_run=True)
                sys.stdout.flush()

        return run

    def result(self, name: str, folder: Path) -> Any:
        return hashes(self.scratch / "source"), (folder / "printed.txt").read_text()


class Corpus(KillArea):
    """`entropy-asr transcribe --dataset`, killed at any line of it; the model is a stand-in that tells lengths."""

    lines = 1500

    def kill(self, kills: int) -> Tally:
        tally, attempt = Tally(), 0
        stand_in = SimpleNamespace(load_pipeline=lambda *args, **kwargs: FakePipeline())
        data = write_corpus(self.scratch / "corpus", bad=(4, 13))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "entropy_asr.modeling.pipeline_entropy_asr", stand_in)
            expected = {}
            for name in ("out.parquet", "out"):
                run_forked(quietly(self._run(data, self.scratch / "peaceful" / name), self.scratch / "peaceful"))
                expected[name] = contents(self.scratch / "peaceful" / name)
            while tally.kills < kills:
                name = ("out.parquet", "out")[attempt % 2]
                folder, attempt = self.scratch / str(attempt), attempt + 1
                run, killed, problem = quietly(self._run(data, folder / name), folder), 0, None
                while was_killed(status := self._run_once(run, killed < kills - tally.kills)):
                    killed += 1
                if os.WEXITSTATUS(status) != 1:  # 1: two rows cannot be read
                    problem = f"lost: ended with status {status}: {last_lines(folder)}"
                elif contents(folder / name) != expected[name]:
                    problem = "unequal: rows or files differ"
                tally.add(killed, problem, name)
        return tally

    def _run_once(self, run: Run, is_killed: bool) -> int:
        """Status of a run, which is killed where it comes as far as the line that is drawn."""
        line = int(self.rng.integers(1, self.lines)) if is_killed else 0
        return run_forked(run, lambda: kill_at_line(line, KILLED_IN))

    @staticmethod
    def _run(data: Path, output: Path) -> Run:
        words = ["transcribe", "--dataset", str(data), "--output", str(output), "--keep_columns", "id"]
        return lambda: cli.main([*words, "--rows_per_part", "3", "--device", "cpu"])


def contents(output: Path) -> Any:
    """A file's bytes, and that nothing lies beside it; the hashes of a folder's files."""
    if output.suffix:
        return [path.name for path in output.parent.iterdir() if path.suffix != ".log"], output.read_bytes()
    files = hashes(output)
    return {name: value for name, value in files.items() if not name.startswith(".lock")}


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all files below a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# With the share of the kills that each has.
AREAS: dict[str, tuple[type[KillArea], float]] = {
    "training stages": (Stages, 0.48),
    "pretraining and IA-SFT at once": (Pair, 0.10),
    "snapshot store": (Store, 0.20),
    "publishing (dry run)": (Publishing, 0.02),
    "corpus transcription": (Corpus, 0.20),
}


@contextmanager
def prepared() -> Iterator[None]:
    """While it lasts, models are small and their code is copied once."""
    with code_is_copied_once(), pytest.MonkeyPatch.context() as patch:
        shrink_tiny(patch)
        yield
