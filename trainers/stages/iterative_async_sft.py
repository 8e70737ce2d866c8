# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 3, IA-SFT: adaptor and language model train on a frozen encoder that is swapped meanwhile (paper, "Stages").

Pretraining is another process, on this machine or elsewhere; the two meet in an [`~snapshots.EncoderSnapshots`] store.
"""

from dataclasses import dataclass, field
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..training.encoder_swaps import (
    PARTS,
    EncoderSwapper,
    SwapPlanner,
    first_step_after_final_swap,
    paced_swaps,
    read_swaps,
)
from ..training.snapshots import EncoderSnapshots
from .sft import ASRSFTConfig, ASRSFTTrainer, sft_stage


POLICIES = ("live", "replay", "paced")


@dataclass
class IterativeAsyncSFTConfig(ASRSFTConfig):
    """Arguments of [`IterativeAsyncSFTTrainer`]; encoder and phoneme head are frozen.

    Args:
        snapshot_dir: Store that encoder pretraining publishes in; may still be empty.
        swap_policy: "live": newer encoders come in as they appear. "replay": those of `swap_plan`, at its steps.
            "paced": those of a pretraining that has ended, as if it went on beside this run at a pace that ends when
            the finished encoder is due; unlike "live" that depends on no clock.
        swap_plan: Record of an earlier run (`encoder_swaps.json` among its checkpoints) to replay.
        swap_interval: Optimizer steps between two looks at the store.
        final_steps: Steps (a share of all if below 1) to train on the finished encoder. Before the first of them the
            run waits for pretraining to end; where that ends earlier, the finished encoder comes in at once. 0: the
            run waits for nothing and ends on the newest encoder there is.
        swap_poll_seconds: Seconds between two looks while the run waits.
    """

    freeze: list[str] = field(
        default_factory=lambda: list(PARTS.values()), metadata={"help": "Modules that are not trained."}
    )
    learning_rate: float = field(default=1e-5, metadata={"help": "Peak learning rate."})
    snapshot_dir: str | None = field(default=None, metadata={"help": "Store that pretraining publishes in."})
    swap_policy: str = field(default="live", metadata={"help": "When encoders come in.", "choices": list(POLICIES)})
    swap_plan: str | None = field(default=None, metadata={"help": "Record of the run to replay."})
    swap_interval: int = field(default=10, metadata={"help": "Steps between two looks at the store."})
    final_steps: float = field(default=0.5, metadata={"help": "Steps (share below 1) on the finished encoder."})
    swap_poll_seconds: float = field(default=10.0, metadata={"help": "Seconds between two looks while waiting."})

    def __post_init__(self):
        super().__post_init__()
        if self.snapshot_dir is None:
            raise ValueError("snapshot_dir, the store that encoder pretraining publishes in, is missing.")
        if self.swap_policy not in POLICIES:
            raise ValueError(f"swap_policy is {' or '.join(map(repr, POLICIES))}, not {self.swap_policy!r}.")
        if self.swap_policy == "paced" and not (self.final_steps and self.max_steps > 0):
            raise ValueError(
                "swap_policy='paced' needs max_steps, and final_steps above 0: steps on the last encoder."
            )
        if (self.swap_policy == "replay") != (self.swap_plan is not None):
            raise ValueError(
                f"swap_policy={self.swap_policy!r} with swap_plan={self.swap_plan!r}: replay needs a plan."
            )
        if self.swap_interval < 1 or self.final_steps < 0 or self.swap_poll_seconds <= 0:
            raise ValueError("swap_interval and swap_poll_seconds must be positive, final_steps must not be negative.")
        if missing := sorted(set(PARTS.values()) - set(self.freeze)):
            raise ValueError(f"freeze: {', '.join(missing)} must be frozen, swaps would undo its training.")
        if self.save_adapters:
            raise ValueError("save_adapters: the encoder that swaps bring in would not be saved with them.")
        if self.load_best_model_at_end:
            raise ValueError("load_best_model_at_end could bring an encoder back that was swapped out.")


class IterativeAsyncSFTTrainer(ASRSFTTrainer):
    """Trains adaptor and language model while the frozen encoder is swapped for newer ones.

    See [`IterativeAsyncSFTConfig`] and [`~encoder_swaps.EncoderSwapper`]. Checkpoints hold the record of swaps; a
    resumed run trains on the encoder of its checkpoint and repeats the swaps it did after that.
    """

    _tag_names = ["entropy-asr", "ia-sft"]

    def __init__(self, model, args: IterativeAsyncSFTConfig, **kwargs):
        super().__init__(model, args, **kwargs)
        plugin = self.accelerator.state.deepspeed_plugin
        if plugin is not None and plugin.zero_stage == 3:
            raise ValueError("Encoders cannot be swapped under DeepSpeed ZeRO-3: use ZeRO-2 or FSDP2.")
        planner = None
        if self.is_world_process_zero():
            store = EncoderSnapshots(args.snapshot_dir)
            plan = None if args.swap_plan is None else read_swaps(Path(args.swap_plan))
            if args.swap_policy == "paced":
                plan = paced_swaps(store, first_step_after_final_swap(args.final_steps, args.max_steps))
            planner = SwapPlanner(store, Path(args.output_dir), plan)
        self.swapper = EncoderSwapper(self, planner)
        self.add_callback(self.swapper)

    def _save_checkpoint(self, model, trial) -> None:
        """As in `Trainer`, with the swaps so far; that first: the trainer's state says the checkpoint is whole."""
        if self.is_world_process_zero():
            step = self.state.global_step
            checkpoint = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{step}"
            checkpoint.mkdir(parents=True, exist_ok=True)
            self.swapper.save_record(checkpoint, step)
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.swapper.resume(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.is_deepspeed_enabled:
            # DeepSpeed loads weights by itself, not through _load_from_checkpoint.
            self.swapper.resume(Path(checkpoint))


STAGE = sft_stage(IterativeAsyncSFTTrainer, IterativeAsyncSFTConfig)
