# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Entropy metrics while a stage trains: NSE and CKA at little cost, PAI at evaluation when asked for."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Trainer, TrainerCallback

from entropy_asr.modeling.components_entropy_asr import encode_audio
from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_length_stages
from entropy_asr.spaces.entropy_allocation.moments import FrameMoments
from entropy_asr.spaces.entropy_allocation.spectrum import utterance_nse

from ..data.collation import FeatureCollator
from ..data.speech_dataset import SpeechDataset
from ..data.streamed_rows import first_rows, is_stream
from ..evaluation.allocation import measure_allocation, read_utterances
from ..evaluation.frames import SpeechEncoder
from ..evaluation.report_options import ReportOptions
from .drift import standalone_encoder
from .modules import find_module
from .sharding import whole_state


REFERENCE = "entropy_reference.safetensors"


@dataclass
class EntropyMonitorConfig:
    """What [`EntropyMonitor`] measures.

    Args:
        every_steps: Steps between two measurements of NSE and CKA; 0 for none.
        max_rows: Evaluation rows (evenly spaced; training rows where there are none, the
            first ones of a stream) that are encoded each time.
        max_seconds: Longest total duration of these rows.
        pai: At each evaluation also PAI (bits) of the evaluation rows, and its chance level; needs the extra `g2p`.
        pai_rows: Evaluation rows for it, evenly spaced.
    """

    every_steps: int = 500
    max_rows: int = 32
    max_seconds: float = 60.0
    pai: bool = False
    pai_rows: int = 300

    def __post_init__(self):
        if self.every_steps < 0:
            raise ValueError(f"every_steps must not be negative, got {self.every_steps}.")
        for name in ("max_rows", "max_seconds", "pai_rows"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")


class EntropyMonitor(TrainerCallback):
    """Logs `nse` of the encoder in training, and `cka` with the encoder that the stage began with.

    `nse` is the paper's: the mean over utterances of the normalized spectral entropy of each one's frames.

    The same few rows are encoded without augmentation each time; what the first encoder made of them stays in the
    trainer's `output_dir`, so that a resumed run compares with the same encoder. Random states and modes of modules
    are left as they were. `seconds` says what it has cost: a forward pass over a minute of audio in 500 steps.

    Args:
        trainer: The trainer that this callback is then added to; a [`~base.SpeechTrainerMixin`].
        config: What is measured.

    Raises:
        ValueError: the model has no speech encoder.

    Example:
        >>> trainer.add_callback(EntropyMonitor(trainer, EntropyMonitorConfig(every_steps=200, pai=True)))
    """

    def __init__(self, trainer: Trainer, config: EntropyMonitorConfig | None = None):
        self.trainer = trainer
        self.config = config or EntropyMonitorConfig()
        self.seconds = 0.0
        self._reference: torch.Tensor | None = None
        self._model = trainer.accelerator.unwrap_model(trainer.model)
        self._audio_tower = find_module(self._model, trainer._encoder_name)
        if self._audio_tower is None:
            raise ValueError(
                f"{type(self._model).__name__} has no speech encoder (`{trainer._encoder_name}`) to monitor."
            )
        # Of a model around an encoder of transformers the encoder's configuration says them.
        stated = getattr(self._model.config, "audio_length_stages", None)
        self._length_stages = stated or encoder_length_stages(self._audio_tower.config)
        rows = trainer.eval_dataset if trainer.eval_dataset is not None else trainer.train_dataset
        # Of several evaluation sets the first: the others may be the same audio with other prompts.
        rows = next(iter(rows.values())) if isinstance(rows, dict) else rows
        self._rows = first_rows(rows, self.config.max_rows) if is_stream(rows) else rows
        self._batches: list[dict[str, torch.Tensor]] | None = None

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        """Remember the first encoder's frames, or read them where the run goes on."""
        if not self.config.every_steps:
            return
        path = Path(args.output_dir) / REFERENCE
        # The main process says, since encoding takes all processes, and not each of them may see its folder.
        kept = None
        if state.is_world_process_zero and state.global_step and path.exists():
            kept = load_file(path)["frames"]
        [self._reference] = broadcast_object_list([kept])
        if self._reference is not None:
            return
        self._reference = torch.cat(self._frames())
        if state.is_world_process_zero:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"frames": self._reference}, path)

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if not self.config.every_steps or state.global_step % self.config.every_steps:
            return
        start = time.perf_counter()
        frames = self._frames()
        moments = FrameMoments()
        moments.update(torch.cat(frames), self._reference)
        logs = {"nse": float(np.mean([utterance_nse(utterance) for utterance in frames])), "cka": moments.cka()}
        self.seconds += time.perf_counter() - start
        self.trainer.log_aside(logs)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs) -> None:
        """PAI of the evaluation rows and its chance level, when asked for."""
        if self.config.pai:
            self.trainer.log_aside({f"eval_{name}": value for name, value in self._pai().items()})

    def _chosen(self, max_rows: int, max_seconds: float) -> np.ndarray:
        """Evenly spaced rows, as many as fit into the seconds; the shortest one at least."""
        numbers = np.unique(np.linspace(0, len(self._rows) - 1, min(max_rows, len(self._rows))).astype(int))
        durations = np.asarray(self._rows["duration"][:])[numbers]
        kept = numbers[np.cumsum(durations) <= max_seconds]
        return kept if len(kept) else numbers[[int(np.argmin(durations))]]

    def _frames(self) -> list[torch.Tensor]:
        """Encoder frames of each of the fixed rows, `(T, D)` float32 on the CPU."""
        if self._batches is None:
            dataset = SpeechDataset(self._rows, replace_unreadable=True)
            collator = self.trainer.data_collator.evaluation()
            chosen = self._chosen(self.config.max_rows, self.config.max_seconds)
            rows = sorted((dataset[int(number)] for number in chosen), key=lambda row: len(row["samples"]))
            batches = [collator.features(rows[start : start + 8]) for start in range(0, len(rows), 8)]
            self._batches = [{name: b[name] for name in ("input_features", "attention_mask")} for b in batches]
        device, stages = self.trainer.args.device, self._length_stages
        encoder, frames = self._whole_encoder(), []
        with _EvaluationMode(encoder), torch.no_grad():
            for batch in self._batches:
                features, mask = (tensor.to(device) for tensor in batch.values())
                encoded = encode_audio(encoder, stages, features, mask)
                pairs = zip(encoded.last_hidden_state, encoded.attention_mask.bool(), strict=True)
                frames += [states[valid].float().cpu() for states, valid in pairs]
        return frames

    def _whole_encoder(self) -> nn.Module:
        """The encoder; under FSDP2, where it cannot be run apart from the whole model, a copy of it."""
        if not self.trainer.is_fsdp_enabled:
            return self._audio_tower
        state = whole_state(self._model, self._audio_tower)
        return standalone_encoder(self._audio_tower.config, state, self.trainer.args.device)

    def _pai(self) -> dict[str, float]:
        utterances, _ = read_utterances(self._rows, self.config.pai_rows)
        tower, extractor = self._whole_encoder(), self.trainer.data_collator.feature_extractor
        encoder = SpeechEncoder("training", tower, extractor, self._length_stages)
        options = ReportOptions(device=str(self.trainer.args.device))
        with _EvaluationMode(tower):
            figures = measure_allocation(encoder, utterances, None, options).figures
        return {"pai": figures["pai"], "pai_chance": figures["details"]["pai"]["chance"]["mean"]}


def watches(trainer: Trainer) -> bool:
    """Whether a stage has an encoder that moves, and a collator that can extract features without augmentation."""
    audio_tower = find_module(trainer.model, trainer._encoder_name)
    moves = audio_tower is not None and any(parameter.requires_grad for parameter in audio_tower.parameters())
    return moves and isinstance(trainer.data_collator, FeatureCollator)


class _EvaluationMode:
    """Puts a module and its children into evaluation mode, each back into its own afterwards."""

    def __init__(self, module: nn.Module):
        self.modules = list(module.modules())

    def __enter__(self) -> None:
        self.modes = [module.training for module in self.modules]
        for module in self.modules:
            module.training = False

    def __exit__(self, *error) -> None:
        for module, mode in zip(self.modules, self.modes, strict=True):
            module.training = mode
