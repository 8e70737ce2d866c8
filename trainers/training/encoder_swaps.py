# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hot swaps: newer encoders take the place of a frozen one while the rest of the model trains.

Between two optimizer steps the main process decides, copies the snapshot into the run, writes the swap down and tells
the other processes, which all load and check the copy. What is written down is done again when the run is resumed, and
can be done again by another run (`swap_policy: replay`): a live run depends on the clock, its replay does not.
"""

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from ..runs.records import write_text
from .sharding import write_state
from .snapshots import (
    ADOPTED,
    MANIFEST,
    WEIGHTS,
    EncoderSnapshots,
    Patience,
    Snapshot,
    SnapshotError,
    read_snapshot,
    run_id,
)


logger = logging.getLogger(__name__)

RECORD = "encoder_swaps.json"
# Where the parts of a snapshot, which is a CTC model, belong in the full model.
PARTS = {"audio_tower": "model.audio_tower", "phoneme_head": "phoneme_head"}
WAIT = "wait"
# For so long a damaged snapshot is not read again; twice as long after each time.
REJECTED_SECONDS = 60.0


@dataclass(frozen=True)
class Swap:
    """After `step` optimizer steps the snapshot of this name, whose weights have this SHA-256, came in."""

    step: int
    snapshot: str
    sha256: str

    @property
    def is_final(self) -> bool:
        """Whether it brought the finished encoder, which nothing replaces."""
        return self.snapshot.endswith("-final")


def read_swaps(path: Path) -> list[Swap]:
    """Swaps of a run, by step.

    Raises:
        ValueError: the file is no record of swaps.
    """
    try:
        swaps = [Swap(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is no record of encoder swaps: {error}") from error
    return sorted(swaps, key=lambda swap: swap.step)


def write_swaps(path: Path, swaps: list[Swap]) -> None:
    """Write a record of swaps."""
    write_text(path, json.dumps([asdict(swap) for swap in swaps], indent=1) + "\n")


def paced_swaps(store: EncoderSnapshots, max_steps: int) -> list[Swap]:
    """Swaps of a run that goes on beside a pretraining as long as itself, from that pretraining when it has ended.

    An encoder published after a share of pretraining's steps comes in after the same share of this run's, the first
    one at once, the finished one after the last step of those that are not trained on it.

    Args:
        store: Of a finished pretraining.
        max_steps: Steps of the run before the finished encoder comes in.

    Raises:
        ValueError: the finished encoder is not there.
    """
    snapshots = store.published()
    if not snapshots or snapshots[-1].kind != "final":
        raise ValueError(f"swap_policy='paced': {store.folder} has no finished encoder; pretraining must have ended.")
    first, last = snapshots[0].step, snapshots[-1].step
    # Of several at one step the newest counts.
    paced = {
        round((snapshot.step - first) / max(1, last - first) * max_steps): snapshot
        for snapshot in (snapshots if last > first else snapshots[-1:])
    }
    return [Swap(step, snapshot.name, snapshot.sha256) for step, snapshot in sorted(paced.items())]


class SwapPlanner:
    """Decides, in the main process, which encoder comes in when.

    Args:
        store: Where pretraining publishes.
        output_dir: Folder of the run's record and copies.
        plan: Swaps of an earlier run to do again at the same steps. None: newer encoders come in as they appear.

    Raises:
        ValueError: this run has done swaps that the plan lacks.
    """

    def __init__(self, store: EncoderSnapshots, output_dir: Path, plan: list[Swap] | None):
        self.store = store
        self.output_dir = output_dir
        self.plan = plan
        self.user = run_id(output_dir)
        self._rejected: dict[tuple[str, int], tuple[float, float]] = {}
        record = output_dir / RECORD
        # Swaps of this run before it was killed, also those behind its last checkpoint: it does them again.
        self.done = read_swaps(record) if record.exists() else []
        if plan is not None and (foreign := [swap for swap in self.done if swap not in plan]):
            raise ValueError(f"{record} has a swap at step {foreign[0].step} that is not in the plan to be replayed.")

    def known_steps(self) -> list[int]:
        """Steps at which a swap is certain."""
        return sorted({swap.step for swap in [*(self.plan or []), *self.done]})

    def decide(self, step: int, final_step: int) -> Swap | str | None:
        """What to do after a step: a swap (copied and written down), "wait" and ask again, or nothing.

        Args:
            step: Optimizer steps taken.
            final_step: Step after which only the finished encoder is trained on.
        """
        for swap in [*(self.plan or []), *self.done]:
            if swap.step == step:
                return self.repeat(swap)
        if self.plan is not None or any(swap.step > step for swap in self.done):
            return None
        newest = self._adopt_newest(step, ("final",) if step >= final_step else ("drift", "final"))
        if newest is not None:
            return self._write_down(Swap(step, newest.name, newest.sha256))
        return WAIT if step >= final_step else None

    def current(self, step: int) -> Swap | None:
        """The swap that brought the encoder trained on after a step."""
        return max((swap for swap in self.done if swap.step <= step), key=lambda swap: swap.step, default=None)

    def copy_folder(self, swap: Swap) -> Path:
        """The run's copy of a swap's snapshot."""
        return self.output_dir / ADOPTED / swap.snapshot

    def repeat(self, swap: Swap) -> Swap | str:
        """A swap that was done before: from the run's own copy, or from the store; "wait" where it is in neither.

        Raises:
            SnapshotError: the store has another encoder by that name.
        """
        for folder in (self.copy_folder(swap), self.store.folder / swap.snapshot):
            try:
                snapshot = read_snapshot(folder)
                if snapshot.sha256 == swap.sha256:
                    self.store.adopt(snapshot, self.output_dir / ADOPTED, self.user)
                    return self._write_down(swap)
            except SnapshotError as error:
                if folder.exists():
                    self.store.report(error)
                continue
            raise SnapshotError(
                f"{folder}: not the encoder that came in at step {swap.step}; its SHA-256 begins with "
                f"{snapshot.sha256[:12]} instead of {swap.sha256[:12]}. Pretraining went another way."
            )
        return WAIT

    def _adopt_newest(self, step: int, kinds: tuple[str, ...]) -> Snapshot | None:
        """Copy of the newest good snapshot that is newer than the encoder trained on."""
        current = self.current(step)
        newer = self.store.complete(kinds)
        if current is not None:
            order = read_snapshot(self.copy_folder(current)).order
            newer = [snapshot for snapshot in newer if snapshot.order > order]
        for snapshot in reversed(newer):
            written = self._written(snapshot)
            again, pause = self._rejected.get(written, (0.0, REJECTED_SECONDS))
            if time.monotonic() < again:
                continue
            try:
                return self.store.adopt(snapshot, self.output_dir / ADOPTED, self.user)
            except SnapshotError as error:
                # Not read again at every look, but when its publisher has written it anew, and ever more rarely: on a
                # share of another machine its manifest may be seen before its weights are.
                self._rejected[written] = time.monotonic() + pause, 2 * pause
                self.store.report(error)
        return None

    @staticmethod
    def _written(snapshot: Snapshot) -> tuple[str, int]:
        """Which writing of a snapshot this is; 0 for one that has just been deleted."""
        try:
            return snapshot.name, (snapshot.folder / MANIFEST).stat().st_mtime_ns
        except FileNotFoundError:
            return snapshot.name, 0

    def _write_down(self, swap: Swap) -> Swap:
        if swap not in self.done:
            self.done = sorted([*self.done, swap], key=lambda done: done.step)
            write_swaps(self.output_dir / RECORD, self.done)
        return swap

    def resume(self, checkpoint: Path) -> Swap | None:
        """Take over the swaps of a checkpoint, and later ones of this run's record; returns the checkpoint's last."""
        step = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME)).global_step
        self.done = [*read_swaps(checkpoint / RECORD), *(swap for swap in self.done if swap.step > step)]
        return self.current(step)


class EncoderSwapper(TrainerCallback):
    """Carries swaps out in all processes.

    Args:
        trainer: Trainer of the full model, whose encoder is frozen; its arguments have the fields `swap_*`.
        planner: Planner in the main process, None in the others.
    """

    def __init__(self, trainer: Trainer, planner: SwapPlanner | None):
        self.trainer = trainer
        self.planner = planner
        self._known_steps: list[int] = []
        self._finished = False

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        """Look at the store before the first step. A resumed run has done so, in the step before its checkpoint."""
        self._known_steps = self._from_main(lambda planner: planner.known_steps())
        if state.global_step == 0:
            self._swap_if_due(state)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """After the optimizer's step, and before a checkpoint of this step."""
        self._swap_if_due(state)

    def _swap_if_due(self, state: TrainerState) -> None:
        args, step = self.trainer.args, state.global_step
        final_step = first_step_after_final_swap(args.final_steps, state.max_steps)
        due = step in self._known_steps or step % args.swap_interval == 0 or step >= final_step
        if not due or self._finished:
            return
        swap = self._wait_for(lambda planner: planner.decide(step, final_step), f"the encoder of step {step}")
        if swap is not None:
            snapshot = self._bring_in(swap)
            details = {"encoder_cka": snapshot.details["cka"]} if "cka" in snapshot.details else {}
            self.trainer.log_aside({"encoder_step": snapshot.step, **details})

    def resume(self, checkpoint: Path) -> None:
        """Bring in the encoder that a checkpoint was trained on: checkpoints of adapters do not contain it."""
        swap = self._from_main(lambda planner: planner.resume(checkpoint))
        if swap is not None:
            self._wait_for(lambda planner: planner.repeat(swap), f"encoder {swap.snapshot} of {checkpoint}")
            self._bring_in(swap)

    def save_record(self, checkpoint: Path, step: int) -> None:
        """Write the swaps so far into a checkpoint. Main process only."""
        write_swaps(checkpoint / RECORD, [swap for swap in self.planner.done if swap.step <= step])

    def _wait_for(self, decide, what: str) -> Swap | None:
        """Ask the main process until it knows. No process waits longer in a collective call than one sleep."""
        patience = Patience(what, self.trainer.args.swap_poll_seconds)
        while (answer := self._from_main(decide)) == WAIT:
            patience.sleep()
        return answer

    def _from_main(self, ask):
        """Answer of the main process's planner, in all processes; its errors too."""
        answer = [None]
        if self.planner is not None:
            try:
                answer = [ask(self.planner)]
            except (SnapshotError, OSError, ValueError) as error:
                answer = [error]
        [answer] = broadcast_object_list(answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _bring_in(self, swap: Swap) -> Snapshot:
        """Load the run's copy and write it over the encoder, in place."""
        folder = Path(self.trainer.args.output_dir) / ADOPTED / swap.snapshot
        snapshot = read_snapshot(folder)
        snapshot.verify()
        state = load_file(folder / WEIGHTS)
        model = plain_model(self.trainer)
        for place, tensors in parts_of(state).items():
            try:
                write_state(model, model.get_submodule(place), tensors)
            except ValueError as error:
                raise ValueError(f"{folder} does not fit into the model's {place}: {error}") from error
        # A CTC model brings its own; an encoder without a head leaves the one there is behind.
        model.config.phoneme_head_trained = PARTS["phoneme_head"] in parts_of(state)
        self._finished = swap.is_final
        logger.warning(f"Step {swap.step}: encoder {swap.snapshot} came in.")
        return snapshot


def parts_of(snapshot: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Weights of a snapshot, by where in the full model they belong and then by their names there.

    Args:
        snapshot: Of a CTC model, or of an encoder without a head.
    """
    parts = {
        place: {name.removeprefix(f"{part}."): t for name, t in snapshot.items() if name.startswith(f"{part}.")}
        for part, place in PARTS.items()
    }
    return {place: part for place, part in parts.items() if part} or {PARTS["audio_tower"]: snapshot}


def first_step_after_final_swap(final_steps: float, max_steps: int) -> int:
    """Number of steps after which only the finished encoder is trained on; beyond the last if it is not waited for.

    Args:
        final_steps: Steps to train on it, or their share if below 1. 0: it is not waited for.
        max_steps: All steps.

    Raises:
        ValueError: there are not so many steps.
    """
    steps = math.ceil(final_steps * max_steps) if final_steps < 1 else int(final_steps)
    if steps > max_steps:
        raise ValueError(f"final_steps={final_steps} are more than all {max_steps} steps.")
    return max_steps - steps if steps else max_steps + 1


def plain_model(trainer: Trainer) -> nn.Module:
    """The full model inside a trainer's wrappers and adapters."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return model.get_base_model() if isinstance(model, PeftModel) else model
