# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What every stage does around its trainer: starts, resumes, trains to the end, saves, writes its record."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from accelerate.utils import broadcast_object_list, gather_object
from transformers import Trainer, TrainerState, set_seed
from transformers.trainer import TRAINER_STATE_NAME

from ..data.section import check_noise
from ..runs.clock import CLOCK, WallClock
from ..runs.records import write_record
from ..runs.settings import SettingsError, dotted, read_sections


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageRun:
    """One run of a stage: what its trainer is built from.

    Args:
        stage: The stage's name.
        section: Its settings as they were written.
        settings: The same as dataclasses, one attribute a section; sections that were left out have their defaults.
        output_dir: Its folder.
        seed: Its seed.
    """

    stage: str
    section: dict[str, Any]
    settings: SimpleNamespace
    output_dir: Path
    seed: int

    def given(self, name: str) -> Any:
        """A section of the settings; None where it was left out."""
        return getattr(self.settings, name) if name in self.section else None

    def record(self, **results: Any) -> None:
        """Write the file that says the stage is finished, last of all."""
        write_record(self.output_dir, self.stage, self.section, {"seed": self.seed, **results})


@dataclass(frozen=True)
class TrainingStage:
    """A stage that trains: its file gives one as `STAGE`, which `stages.STAGES` names.

    Args:
        sections: Dataclass of each section of its settings; `training` is that of its trainer's arguments.
        build: Makes the trainer, with its model and its rows. All processes call it.
        save: Saves in the stage's folder what was trained. All processes call it.
        check: Refuses sections that do not go together, by a `SettingsError` whose key begins with a section's name.
    """

    sections: dict[str, type]
    build: Callable[[StageRun], Trainer]
    save: Callable[[Trainer, StageRun], None]
    check: Callable[[SimpleNamespace], None] | None = None

    def read(self, section: dict[str, Any], output_dir: Path, seed: int, *key: str) -> SimpleNamespace:
        """All settings of the stage as dataclasses; nothing is made or loaded.

        Args:
            section: Its settings as they were written.
            output_dir: Its folder.
            seed: Its seed.
            key: Leads to them, for error messages.

        Raises:
            SettingsError: for anything unknown, missing or of another type, and for what does not go together.
        """
        settings = read_sections(section, self.sections, output_dir, seed, *key)
        try:
            if "augmentation" in self.sections:
                check_noise(settings.data, settings.augmentation)
            if self.check is not None:
                self.check(settings)
        except SettingsError as error:
            raise SettingsError(f"{dotted((*key, *error.key[:1]))}: {error}", (*key, *error.key)) from error
        return settings

    def run(self, stage: str, section: dict[str, Any], output_dir: Path, seed: int) -> None:
        """Run the stage, from its last checkpoint where there is one.

        Args:
            stage: The name that it goes by.
            section: Its settings.
            output_dir: Its folder.
            seed: Its seed.

        Raises:
            SettingsError: for anything unknown, missing or of another type.
        """
        settings = self.read(section, output_dir, seed, stage)
        run = StageRun(stage, section, settings, output_dir, seed)
        start_stage(output_dir, seed)
        trainer = self.build(run)
        warn_of_unmeasured_rows(trainer)
        results = run_trainer(trainer, output_dir)
        self.save(trainer, run)
        if trainer.is_world_process_zero():
            run.record(**results)
        trainer.accelerator.wait_for_everyone()


def start_stage(output_dir: Path, seed: int) -> None:
    """Make the stage's folder and seed what builds its model."""
    output_dir.mkdir(parents=True, exist_ok=True)
    set_seed(seed)


def warn_of_unmeasured_rows(trainer: Trainer) -> None:
    """Say where evaluation rows were given and no error rates will be measured on them, transformers' default."""
    if trainer.eval_dataset is not None and trainer.args.eval_strategy == "no" and trainer.is_world_process_zero():
        logger.warning(
            "data.eval: no error rates are measured on these rows, since training.eval_strategy is 'no'; 'steps' "
            "measures them every training.eval_steps."
        )


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; a run can be killed while it writes one."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in checkpoints:
        try:
            # The last of a checkpoint's files.
            json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            logger.warning(f"{checkpoint} is incomplete and left out.")
        else:
            return checkpoint
    return None


def run_trainer(trainer: Trainer, output_dir: Path) -> dict[str, Any]:
    """Train to the end, from the last checkpoint where there is one; returns what the stage's record says of it."""
    clock = WallClock(output_dir / CLOCK)
    trainer.add_callback(clock)
    checkpoint = _checkpoint_of_all(trainer)
    if checkpoint is not None and (state := _final_state(trainer, checkpoint)):
        # `Trainer` would take one step more before it sees that there is none left.
        _restore(trainer, checkpoint, state)
    else:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    return {
        "seconds": round(clock.seconds, 1),
        "processor_seconds": round(clock.processor_seconds, 1),
        "steps": trainer.state.global_step,
        "history": trainer.state.log_history,
    }


def _checkpoint_of_all(trainer: Trainer) -> Path | None:
    """The checkpoint to go on from: the main process says, and processes that cannot see it do not begin anew alone.

    Raises:
        SettingsError: in all processes, where some do not see the main process's checkpoint.
    """
    [checkpoint] = broadcast_object_list([last_complete_checkpoint(Path(trainer.args.output_dir))])
    is_there = checkpoint is None or checkpoint.is_dir()
    blind = [process for process, sees in enumerate(gather_object([is_there])) if not sees]
    if blind:
        raise SettingsError(
            f"{checkpoint}: processes {', '.join(map(str, blind))} do not see this checkpoint, which the run goes on "
            "from: output_dir must be on a file system that all machines share."
        )
    return checkpoint


def _restore(trainer: Trainer, checkpoint: Path, state: TrainerState) -> None:
    """Make the trainer what it was after its last step: its weights, the best ones where they are asked for."""
    trainer.state = state
    best = state.best_model_checkpoint
    if trainer.args.load_best_model_at_end and best is not None and Path(best).is_dir():
        trainer._load_best_model()
    else:
        trainer._load_from_checkpoint(str(checkpoint))
    if (sampler := getattr(trainer, "_stream_sampler", None)) is not None:
        # It knows which data were read, which the record names.
        sampler.resume(checkpoint)


def _final_state(trainer: Trainer, checkpoint: Path) -> TrainerState | None:
    """State of a checkpoint that was written after the last step, None for an earlier one."""
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    *_, max_steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    return state if state.global_step >= max_steps else None
