# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How far pretraining has moved the encoder since it was last published, and publishing it when that is far (paper).

Every so many steps the encoder is compared with a reference, an earlier one, by linear CKA of their frames on fixed
evaluation rows. Below a threshold it is published for the stages that train on it, and becomes the reference.
"""

import json
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel, Trainer, TrainerCallback

from entropy_asr.modeling.components_entropy_asr import build_audio_tower, encode_audio
from entropy_asr.spaces.entropy_allocation.moments import FrameMoments

from ..data.batching import DurationBatchSampler
from ..data.collation import CTCCollator
from ..data.speech_dataset import SpeechDataset
from ..runs.records import write_text
from .sharding import whole_state
from .snapshots import WEIGHTS, EncoderSnapshots, Snapshot, run_id


logger = logging.getLogger(__name__)

STATE = "drift_monitor.json"
ENCODER = "audio_tower."
# Below this many frames a dimension, independent encodings look alike.
MIN_FRAMES_PER_DIMENSION = 10


@dataclass
class DriftProbe:
    """Fixed batches on which encoders are compared.

    Args:
        batches: Features and their masks.
        accelerator: Spreads the batches over the processes.
    """

    batches: list[dict[str, torch.Tensor]]
    accelerator: Accelerator

    @classmethod
    def from_rows(
        cls,
        rows: datasets.Dataset,
        collator: CTCCollator,
        max_rows: int,
        max_duration: float,
        accelerator: Accelerator,
    ) -> "DriftProbe":
        """Probe of evenly spaced rows, in batches of at most `max_duration` seconds."""
        rows = rows.select(np.unique(np.linspace(0, len(rows) - 1, min(max_rows, len(rows))).astype(int)))
        sampler = DurationBatchSampler(rows["duration"][:], max_batch_duration=max_duration, shuffle=False)
        rank, world_size = accelerator.process_index, accelerator.num_processes
        dataset, collate = SpeechDataset(rows, replace_unreadable=True), collator.evaluation()
        batches = [collate([dataset[index] for index, _ in batch]) for batch in list(sampler)[rank::world_size]]
        names = ("input_features", "attention_mask")
        return cls([{name: batch[name] for name in names} for batch in batches], accelerator)

    @torch.no_grad()
    def compare(self, first: PreTrainedModel, second: PreTrainedModel, length_stages: list) -> tuple[float, int]:
        """CKA of two encoders' valid frames, and the number of these. All processes must call it."""
        moments = FrameMoments()
        for batch in self.batches:
            batch = {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}
            frames = []
            for encoder in (first, second):
                encoded = encode_audio(encoder, length_stages, batch["input_features"], batch["attention_mask"])
                frames.append(encoded.last_hidden_state[encoded.attention_mask])
            moments.update(*frames)
        if self.accelerator.num_processes > 1:
            moments = moments.all_reduce()
        return moments.cka(), moments.count


def standalone_encoder(audio_config, state: dict[str, torch.Tensor], device: torch.device) -> PreTrainedModel:
    """Encoder in evaluation mode with these weights, outside of whatever wraps the trained one.

    Building it must not move the random state that training goes on from.
    """
    with torch.random.fork_rng(devices=[]):
        encoder = build_audio_tower(audio_config)
    encoder.load_state_dict(state)
    return encoder.to(device).eval()


class DriftMonitor(TrainerCallback):
    """Compares, publishes, and remembers the reference; see the module's docstring.

    Args:
        trainer: Trainer of the CTC model; its arguments have `snapshot_dir` and the fields `drift_*`.
        rows: Rows to compare on.
    """

    def __init__(self, trainer: Trainer, rows: datasets.Dataset):
        args = trainer.args
        self.trainer = trainer
        self.store = EncoderSnapshots(args.snapshot_dir)
        self.reference: str | None = None
        self._rows = rows
        self._probe: DriftProbe | None = None
        self._run = run_id(Path(args.output_dir)) if trainer.is_world_process_zero() else None
        others = {snapshot.details.get("run") for snapshot in self.store.complete()} - {self._run}
        if trainer.is_world_process_zero() and others:
            raise ValueError(f"snapshot_dir {args.snapshot_dir} holds encoders of another run: give each run its own.")

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Publish the first reference, or compare with it. After the optimizer's step, before the checkpoint."""
        step, start = state.global_step, time.perf_counter()
        if step < args.drift_reference_step:
            return
        if self.reference is None:
            self.publish("reference")
        elif step % args.drift_interval == 0:
            self._compare()
        # Throughput is that of training.
        self.trainer.shift_clock(time.perf_counter() - start)

    def _compare(self) -> None:
        args, model = self.trainer.args, self._model()
        encoder_state = whole_state(model, model.audio_tower)
        if not all(tensor.isfinite().all() for tensor in encoder_state.values()):
            logger.warning(f"Step {self.trainer.state.global_step}: the encoder has nan or infinite weights.")
            return
        cka, num_frames = self.compare_with_reference(encoder_state)
        self.trainer.log_aside({"drift_cka": round(cka, 6), "drift_frames": num_frames})
        if cka < args.drift_threshold:
            self.publish("drift", cka=cka, reference=self.reference)

    def compare_with_reference(self, encoder_state: dict[str, torch.Tensor]) -> tuple[float, int]:
        """CKA of an encoder's state and the reference, and the number of frames."""
        config, device = self._model().config, self.trainer.accelerator.device
        reference = encoder_weights(load_file(self.store.get(self.reference).folder / WEIGHTS))
        encoders = [standalone_encoder(config.audio_config, s, device) for s in (reference, encoder_state)]
        cka, num_frames = self._get_probe().compare(*encoders, config.audio_length_stages)
        if num_frames < MIN_FRAMES_PER_DIMENSION * config.audio_config.hidden_size:
            logger.warning(
                f"CKA of {num_frames} frames of {config.audio_config.hidden_size} dimensions is biased upwards: it "
                "wants more evaluation rows or a higher drift_rows."
            )
        return cka, num_frames

    def _get_probe(self) -> DriftProbe:
        if self._probe is None:
            args, trainer = self.trainer.args, self.trainer
            self._probe = DriftProbe.from_rows(
                self._rows, trainer.data_collator, args.drift_rows, args.max_batch_duration, trainer.accelerator
            )
        return self._probe

    def _model(self) -> nn.Module:
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    def publish(self, kind: str, **details) -> None:
        """Publish encoder and phoneme head as they are; they become the reference. All processes must call it."""
        step, model = self.trainer.state.global_step, self._model()
        state = whole_state(model)
        if self.trainer.is_world_process_zero():
            save = partial(self.trainer.save_encoder, weights=state)
            snapshot = self.store.publish(step, kind, save, run=self._run, **details)
            logger.warning(_describe(snapshot))
        self.reference = self.store.snapshot_name(step, kind)
        self.trainer.accelerator.wait_for_everyone()

    def save_state(self, checkpoint: Path) -> None:
        """Write the reference's name into a checkpoint."""
        write_text(checkpoint / STATE, json.dumps({"reference": self.reference}))

    def load_state(self, checkpoint: Path) -> None:
        """Take the reference of a checkpoint; None for one that was written without a monitor."""
        path = checkpoint / STATE
        self.reference = json.loads(path.read_text(encoding="utf-8"))["reference"] if path.exists() else None

    def collect_garbage(self, checkpoints: Path) -> None:
        """Delete old snapshots that neither this run nor its checkpoints compare with."""
        if self.trainer.args.keep_snapshots is not None and self.trainer.is_world_process_zero():
            states = [
                json.loads(path.read_text(encoding="utf-8")) for path in checkpoints.glob(f"checkpoint-*/{STATE}")
            ]
            protected = {self.reference, *(state["reference"] for state in states)} - {None}
            self.store.collect_garbage(self.trainer.args.keep_snapshots, protected)


def encoder_weights(snapshot: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of a snapshot's encoder, by their names in it: of a CTC model, or of an encoder without a head."""
    inside = {name.removeprefix(ENCODER): tensor for name, tensor in snapshot.items() if name.startswith(ENCODER)}
    return inside or snapshot


def _describe(snapshot: Snapshot) -> str:
    cka = snapshot.details.get("cka")
    reason = "" if cka is None else f", CKA {cka:.4f} to {snapshot.details['reference']}"
    return f"Step {snapshot.step}: encoder published as {snapshot.folder}{reason}."
