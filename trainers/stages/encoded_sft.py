# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Supervised fine-tuning under a frozen encoder on its saved output: no encoder runs, and text becomes frames too.

In the place of alignment and the first supervised stage where an encoder stays as it is and computing is dear; see
[`~encoded_speech`]. With a section `context` prompts have hints, as in [`~context_sft`]. Not in the paper.
"""

import hashlib
import math
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from torch import nn

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_rules, output_length
from entropy_asr.modeling.modeling_entropy_asr_base import EntropyASREncoderOutput

from ..data.augmentation import AugmentationConfig
from ..data.collation import FeatureCollator, TranscriptionCollator
from ..data.encoded_speech import EncodedSpeech, UnitInventory, encode_speech, encoded_or_loaded
from ..data.keywords import ContextConfig, KeywordChooser, add_keywords
from ..data.phoneme_labels import add_phoneme_ids
from ..data.section import DataSection
from ..runs.records import json_sha256
from ..runs.settings import SettingsError, checked
from ..training.stage_run import StageRun, TrainingStage
from ..training.thin_saving import below_adapters
from .context_sft import ContextCollator
from .lm_pretraining import TextSource
from .sft import ASRSFTConfig, ASRSFTTrainer, SFTModelSection, save_sft, stage_model


# Of joined frames, in seconds: the longest silence at either end, and the longest phoneme that is cut out.
MAX_SILENCE, MAX_UNIT = 0.48, 0.4


@dataclass
class EncodedDataSection(DataSection):
    """Section `data` of this stage: as in the other stages, evaluation rows excepted, and text.

    Args:
        text: Fields of [`~lm_pretraining.TextSource`]: pieces of text, for which frames are joined.
        passes: How often each recording is encoded, augmented anew each time.
        encoding_batch_duration: Seconds of padded audio in a batch that is encoded.
        phoneme_errors: Phoneme error rate of frames of text, on average: errors that the encoder makes in
            recordings, drawn as often as it makes them where it was not trained. 0: none.
        recordings_repeat: How often each encoded recording occurs in an epoch. 0: recordings give frames to text and
            are not learnt themselves, so that a style of writing is learnt from text that has it.
        seed: Seed of the encoding's augmentation and of how text is cut.
    """

    text: list[dict] = field(default_factory=list)
    phoneme_errors: float = 0.0
    passes: int = 2
    encoding_batch_duration: float = 60.0
    recordings_repeat: int = 1
    seed: int = 0

    no_streams: ClassVar[dict[str, str]] = {**DataSection.no_streams, "train": "all rows are encoded ahead"}

    def __post_init__(self):
        super().__post_init__()
        self.text = [checked(TextSource, source, "data", "text", index) for index, source in enumerate(self.text)]
        if self.eval or self.synthetic_eval:
            raise ValueError("no encoder runs in this stage, so it cannot be evaluated on audio: leave eval out.")
        if self.passes < 1:
            raise ValueError(f"passes must be at least 1, got {self.passes}.")
        if self.recordings_repeat < (0 if self.text else 1):
            bound = "0" if self.text else "1 without text"
            raise ValueError(f"recordings_repeat must be at least {bound}, got {self.recordings_repeat}.")
        if not 0 <= self.phoneme_errors <= 0.5:
            raise ValueError(f"phoneme_errors must be a share from 0 to 0.5, got {self.phoneme_errors}.")
        if self.phoneme_errors and not self.text:
            raise ValueError(
                f"phoneme_errors={self.phoneme_errors} are drawn into text: give text too, or leave it 0."
            )

    def pieces(self) -> list[tuple[str, str]]:
        """Pieces of text with their languages."""
        pieces = []
        for fields in self.text:
            source = TextSource(**fields)
            for line in source.lines() * source.repeat:
                pieces += [(piece, source.language) for piece in source.pieces(line, self.seed)]
        return pieces


@dataclass
class EncodedSFTConfig(ASRSFTConfig):
    """Arguments of [`EncodedSFTTrainer`]: those of [`~sft.ASRSFTConfig`]. The encoder is frozen.

    `chunk_sizes` and `left_chunks` are those that recordings are encoded with, before training.
    """

    freeze: list[str] = field(
        default_factory=lambda: ["model.audio_tower", "phoneme_head"],
        metadata={"help": "Modules that are not trained."},
    )

    def __post_init__(self):
        super().__post_init__()
        if "model.audio_tower" not in self.freeze:
            raise ValueError("freeze: model.audio_tower does not run in this stage and must be frozen.")
        if self.eval_strategy != "no":
            raise ValueError(f"eval_strategy={self.eval_strategy}: no encoder runs in this stage, so it must be 'no'.")


class EncodedRows(torch.utils.data.Dataset):
    """Recordings (columns `recording`) and texts (column `phoneme_ids`) as rows with `frames`.

    Indexed by `(index, draw)`; a row has `frames`, float32 `(T, hidden_size)`, `text`, `language`, `index`, `draw`.
    """

    def __init__(self, rows: Dataset, speech: EncodedSpeech, inventory: UnitInventory, phoneme_errors: float = 0.0):
        self.rows = rows.with_format("arrow")
        self.speech = speech
        self.inventory = inventory
        self.phoneme_errors = phoneme_errors

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        index, draw = key
        row = self.rows[index].to_pylist()[0]
        recording, phoneme_ids = row.pop("recording"), row.pop("phoneme_ids")
        if recording is None:
            rng = np.random.default_rng([draw, 3])
            if self.phoneme_errors:
                phoneme_ids = self.inventory.misheard(phoneme_ids, self.phoneme_errors, rng)
            frames = self.inventory.frames(phoneme_ids, rng)
        else:
            frames = self.speech.recording(recording)
        return {**row, "frames": frames.astype(np.float32), "index": index, "draw": draw}


@dataclass
class EncodedCollator(TranscriptionCollator):
    """Prompts and transcriptions of encoded rows; their frames take the place of features.

    Args:
        features_per_frame: Feature frames (of 10 ms) that an encoder frame stands for.
    """

    features_per_frame: int = 4

    def features(self, rows: list[dict[str, Any]], views: int = 1) -> dict[str, torch.Tensor]:
        """Frames `(B, T, hidden_size)`, and the mask `(B, T * features_per_frame)` of the features they stand for."""
        frames = [torch.from_numpy(row["frames"]) for row in rows]
        lengths = torch.tensor([len(item) for item in frames])
        covered = lengths * self.features_per_frame
        return {
            "input_features": nn.utils.rnn.pad_sequence(frames, batch_first=True),
            "attention_mask": (torch.arange(int(covered.max()))[None, :] < covered[:, None]).long(),
            "durations": covered / 100,
        }


@dataclass
class EncodedContextCollator(EncodedCollator, ContextCollator):
    """The same with hints in the prompts, drawn for each row and epoch; rows of [`with_keywords`]."""


class FrameInput(nn.Module):
    """Takes the encoder's place: gives back the frames it is given as features."""

    def __init__(self, audio_tower: nn.Module, length_stages: list):
        super().__init__()
        self.config = audio_tower.config
        self.length_stages = length_stages

    def forward(self, input_features: torch.Tensor, attention_mask: torch.Tensor, **kwargs) -> EntropyASREncoderOutput:
        """Frames `(B, T, hidden_size)` and their mask `(B, T)`, from the mask of features."""
        lengths = output_length(attention_mask.sum(-1), self.length_stages)
        positions = torch.arange(input_features.shape[1], device=input_features.device)
        mask = positions[None, :] < lengths[:, None]
        return EntropyASREncoderOutput(last_hidden_state=input_features, attention_mask=mask)


class EncodedSFTTrainer(ASRSFTTrainer):
    """Trains adaptor and language model on [`EncodedRows`].

    Args:
        model: As for [`~sft.ASRSFTTrainer`]; its encoder is set aside until [`restore_encoder`] is called.
        encoded: Makes rows of the training set's indices.
        **kwargs: As for [`~sft.ASRSFTTrainer`].
    """

    _tag_names = ["entropy-asr", "encoded-sft"]

    def __init__(
        self, model: EntropyASRForConditionalGeneration, args: EncodedSFTConfig, encoded: EncodedRows, **kwargs
    ):
        self._encoded = encoded
        self._encoder = model.model.audio_tower
        model.model.audio_tower = FrameInput(self._encoder, model.config.audio_length_stages)
        super().__init__(model, args, **kwargs)

    _rows_have_audio = False

    def _row_dataset(self, rows: Dataset) -> EncodedRows:
        return self._encoded

    def get_eval_dataloader(self, eval_dataset=None):
        """None: this trainer takes no audio.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "No encoder runs in this trainer, so it can neither evaluate nor predict: call `restore_encoder()` and "
            "evaluate the model with JointSFTTrainer or `entropy-asr evaluate`."
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """As in `Trainer`, with the encoder: a checkpoint is a whole model."""
        model = self.accelerator.unwrap_model(self.model)
        plain = below_adapters(model)
        set_aside, plain.model.audio_tower = plain.model.audio_tower, self._encoder
        if state_dict is not None:
            place = next(name for name, module in model.named_modules() if module is self._encoder)
            encoder = {f"{place}.{name}": tensor for name, tensor in self._encoder.state_dict().items()}
            state_dict = {**state_dict, **encoder}
        try:
            super()._save(output_dir, state_dict)
        finally:
            plain.model.audio_tower = set_aside

    def restore_encoder(self) -> None:
        """Put the encoder back into the model."""
        below_adapters(self.accelerator.unwrap_model(self.model)).model.audio_tower = self._encoder


def encoded_rows(
    data: EncodedDataSection, rows: Dataset, speech: EncodedSpeech, processor: EntropyASRProcessor
) -> EncodedRows:
    """What is trained on: each recording `recordings_repeat` times, and each piece of text once.

    Raises:
        SettingsError: recordings are not learnt, and no piece of text can be heard through them.
    """
    indices = np.tile(np.arange(len(speech)), data.recordings_repeat)
    recordings = rows.select_columns(["text", "language", "source"]).select(speech.rows[indices])
    columns = {name: recordings[name][:] for name in ("text", "language", "source")}
    columns["duration"] = (speech.lengths[indices] * processor.seconds_per_frame).tolist()
    columns["recording"], columns["phoneme_ids"] = indices.tolist(), [None] * len(indices)
    frames_per_second = 1 / processor.seconds_per_frame
    inventory = UnitInventory(speech, round(MAX_SILENCE * frames_per_second), round(MAX_UNIT * frames_per_second))
    for text, language, phoneme_ids in _with_recorded_phonemes(data.pieces(), inventory, processor):
        # Texts are batched by length before they are joined.
        duration = inventory.expected_length(phoneme_ids) * processor.seconds_per_frame
        values = (text, language, "text", duration, None, phoneme_ids)
        for name, value in zip(columns, values, strict=True):
            columns[name].append(value)
    if not columns["text"]:
        raise SettingsError("data.text: no recording has the phonemes of any piece of it, and nothing else is learnt.")
    return EncodedRows(Dataset.from_dict(columns), speech, inventory, data.phoneme_errors)


def with_keywords(
    encoded: EncodedRows,
    context: ContextConfig,
    processor: EntropyASRProcessor,
    num_proc: int = 1,
    cache_dir: str | os.PathLike | None = None,
) -> EncodedRows:
    """The same rows with the columns that hints are drawn from: [`~keywords.add_keywords`] chooses and keeps them."""
    rows = encoded.rows.with_format(None)
    chooser = KeywordChooser(rows, context, processor.phoneme_tokenizer)
    return EncodedRows(
        add_keywords(rows, chooser, num_proc, cache_dir), encoded.speech, encoded.inventory, encoded.phoneme_errors
    )


def _with_recorded_phonemes(pieces: list[tuple[str, str]], inventory: UnitInventory, processor: EntropyASRProcessor):
    """Pieces with their phonemes, without those that no recording has all phonemes of."""
    tokenizer = processor.phoneme_tokenizer
    phonemes = tokenizer.phonemize_batch(*zip(*pieces, strict=True)) if pieces else []
    for (text, language), row in zip(pieces, phonemes, strict=True):
        phoneme_ids = tokenizer.convert_tokens_to_ids(row)
        if phoneme_ids and inventory.has(phoneme_ids):
            yield text, language, phoneme_ids


def build(run: StageRun) -> EncodedSFTTrainer:
    """The trainer of this stage; its recordings are encoded on the way, unless they were before.

    Raises:
        SettingsError: frames of this model cannot be cut by phonemes.
    """
    settings = run.settings
    model, processor = stage_model(run)
    if not encoder_rules(model.config.audio_config).streams:
        raise SettingsError("encoded_sft: only the encoder of this project has phonemes to cut frames by.")
    if settings.data.text and not model.config.phoneme_head_trained:
        raise SettingsError(
            "encoded_sft: data.text becomes frames that a phoneme head finds, and this model's was never "
            "trained (`phoneme_head_trained`): leave data.text out, or train it with `entropy-asr train phoneme_head`."
        )
    context = run.given("context")
    common = {"features_per_frame": math.prod(stride for _, stride, _ in model.config.audio_length_stages)}
    collator = EncodedCollator(processor.feature_extractor, **common)
    recordings, speech = _encoded_recordings(settings, model, processor)
    with settings.training.main_process_first(desc="data"):
        encoded = encoded_rows(settings.data, recordings, speech, processor)
        if context is not None:
            encoded = with_keywords(encoded, context, processor, settings.data.num_proc, settings.data.cache_dir)
            collator = EncodedContextCollator(processor.feature_extractor, context=context, **common)
    return EncodedSFTTrainer(
        model,
        settings.training,
        encoded,
        processing_class=processor,
        data_collator=collator,
        train_dataset=encoded.rows.with_format(None),
        peft_config=run.given("lora"),
    )


def save(trainer: EncodedSFTTrainer, run: StageRun) -> None:
    """Save the full model, its encoder among it."""
    trainer.restore_encoder()
    save_sft(trainer, run)


def _encoded_recordings(
    settings: SimpleNamespace, model: EntropyASRForConditionalGeneration, processor: EntropyASRProcessor
) -> tuple[Dataset, EncodedSpeech]:
    """Rows of the recordings and what the encoder makes of them; the processes of a machine share the work."""
    data, args = settings.data, settings.training
    with args.main_process_first(desc="data"):
        rows = add_phoneme_ids(data.train_rows(), processor.phoneme_tokenizer, data.num_proc, data.bad_rows)
    collator = FeatureCollator(
        processor.feature_extractor,
        data.augmenter(settings.augmentation),
        chunk_sizes=args.chunk_sizes,
        left_chunks=args.left_chunks,
    )
    chunks = [args.chunk_sizes, args.left_chunks] if args.chunk_sizes else []
    depends_on = [_without_text(data), asdict(settings.augmentation), encoder_sha256(model), rows_sha256(rows)]
    name = json_sha256([*depends_on, *chunks])[:16]
    several = args.world_size > 1
    speech = encoded_or_loaded(
        Path(data.cache_dir) / f"encoded-{name}",
        lambda share: encode_speech(
            model.to(args.device), rows, collator, data.passes, data.seed, data.encoding_batch_duration, share
        ),
        share_of_machine(args.process_index, args.world_size) if several else (0, 1),
        torch.distributed.barrier if several else lambda: None,
    )
    return rows, speech


def share_of_machine(process_index: int, world_size: int) -> tuple[int, int]:
    """Which of its machine's processes this is, and of how many; where the launcher does not say, by host names."""
    if {"LOCAL_RANK", "LOCAL_WORLD_SIZE"} <= os.environ.keys():
        return int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    hosts: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(hosts, socket.gethostname())
    here = [index for index, host in enumerate(hosts) if host == hosts[process_index]]
    return here.index(process_index), len(here)


def _without_text(data: EncodedDataSection) -> dict[str, Any]:
    """Settings that decide what is encoded."""
    apart = ("text", "phoneme_errors", "recordings_repeat", "cache_dir", "num_proc", "encoding_batch_duration")
    return {name: value for name, value in asdict(data).items() if name not in apart}


def rows_sha256(rows: Dataset) -> str:
    """SHA-256 of what rows say, in their order: a path in the settings may hold others than when they were encoded."""
    digest = hashlib.sha256()
    columns = ["text", "language", "duration", "phoneme_ids"]
    for batch in rows.select_columns(columns).with_format("arrow").iter(10_000):
        digest.update(json_sha256(batch.to_pydict()).encode())
    return digest.hexdigest()


def encoder_sha256(model: EntropyASRForConditionalGeneration) -> str:
    """SHA-256 of the weights that encoded frames and their phonemes depend on."""
    digest = hashlib.sha256()
    for module in (model.model.audio_tower, model.phoneme_head):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(name.encode() + tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


STAGE = TrainingStage(
    {
        "data": EncodedDataSection,
        "augmentation": AugmentationConfig,
        "model": SFTModelSection,
        "lora": LoraConfig,
        "context": ContextConfig,
        "training": EncodedSFTConfig,
    },
    build,
    save,
)
