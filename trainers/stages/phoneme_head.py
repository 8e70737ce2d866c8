# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""After reinforcement: the phoneme head learns to read the encoder as it has become (paper, "Stages").

Joint training has moved the encoder away from where stage 1 left it, and hotword retrieval and time stamps read its
frames through the head. The head goes on from the pretrained one, by the objective of stage 1, under a frozen encoder.
"""

from dataclasses import dataclass, field

import torch

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRForCTC, EntropyASRProcessor
from entropy_asr.modeling.configuration_entropy_asr import EntropyASRCTCConfig

from ..data.augmentation import AugmentationConfig
from ..data.collation import CTCCollator
from ..data.section import DataSection
from ..runs.settings import typed
from ..training.stage_run import StageRun, TrainingStage
from ..training.thin_saving import ThinArguments, check_savable
from ..training.training_record import write_training_record
from .encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer, check_settings, phoneme_rows


HEAD = "phoneme_head."


@dataclass
class PhonemeHeadConfig(ThinArguments, EncoderPretrainingConfig):
    """Arguments of [`PhonemeHeadTrainer`]; the encoder is frozen, so there is none to publish.

    `save_thin` is for what the stage saves, the full model: the trainer itself saves the CTC model that it trains.
    """

    freeze: list[str] = field(
        default_factory=lambda: ["audio_tower"], metadata={"help": "Modules that are not trained."}
    )
    learning_rate: float = field(default=5e-4, metadata={"help": "Peak learning rate."})

    def __post_init__(self):
        super().__post_init__()
        if "audio_tower" not in self.freeze:
            raise ValueError(f"freeze={self.freeze}: the encoder, `audio_tower`, is what the whole model relies on.")
        if self.snapshot_dir is not None:
            raise ValueError(f"snapshot_dir={self.snapshot_dir}: a frozen encoder is not worth publishing.")


class PhonemeHeadTrainer(EncoderPretrainingTrainer):
    """Trains the phoneme head of a full model: pass [`phoneme_model`] of it. Evaluation reports `per`."""

    _tag_names = ["entropy-asr", "phoneme-head"]


def phoneme_model(model: EntropyASRForConditionalGeneration) -> EntropyASRForCTC:
    """Encoder and phoneme head of a full model, as a CTC model of the very same modules.

    Who has trained it says so in the full model: `model.config.phoneme_head_trained = True`.
    """
    config = EntropyASRCTCConfig(
        audio_config=model.config.audio_config.to_dict(),
        audio_length_stages=model.config.audio_length_stages,
        vocab_size=model.config.phoneme_vocab_size,
        pad_token_id=model.config.phoneme_blank_token_id,
    )
    with torch.device("meta"):
        ctc = EntropyASRForCTC(config)
    ctc.audio_tower, ctc.phoneme_head = model.model.audio_tower, model.phoneme_head
    return ctc


@dataclass
@typed
class PhonemeHeadModelSection:
    """Section `model` of this stage.

    Args:
        path: Full model (folder or Hub id) whose head is trained.
        head: CTC model of stage 1 whose head to start from. None: the full model's own, which is that of its stage 1.
    """

    path: str
    head: str | None = None

    def build(self) -> EntropyASRForConditionalGeneration:
        """The full model, in float32, with the head to start from.

        Raises:
            ValueError: the two heads differ in shape.
        """
        model = EntropyASRForConditionalGeneration.from_pretrained(self.path, dtype=torch.float32)
        if self.head is not None:
            pretrained = EntropyASRForCTC.from_pretrained(self.head, dtype=torch.float32)
            try:
                model.phoneme_head.load_state_dict(pretrained.phoneme_head.state_dict())
            except RuntimeError as error:
                raise ValueError(f"model: the head of {self.head} does not fit {self.path}: {error}") from error
        return model


def build(run: StageRun) -> PhonemeHeadTrainer:
    """The trainer of this stage."""
    settings = run.settings
    model = settings.model.build()
    if settings.training.save_thin:
        check_savable(model)
    processor = EntropyASRProcessor.from_pretrained(settings.model.path)
    with settings.training.main_process_first(desc="data"):
        rows, eval_rows, augmenter = phoneme_rows(settings, processor.phoneme_tokenizer)
    return PhonemeHeadTrainer(
        phoneme_model(model),
        settings.training,
        CTCCollator(processor.feature_extractor, augmenter),
        train_dataset=rows,
        eval_dataset=eval_rows,
        processing_class=processor.phoneme_tokenizer,
    )


def save(trainer: PhonemeHeadTrainer, run: StageRun) -> None:
    """Save the full model with the trained head; all else is as it was, whatever a trainer has made of the modules."""
    trained, path = trainer.accelerator.get_state_dict(trainer.model), run.settings.model.path
    if trainer.is_world_process_zero():
        model = EntropyASRForConditionalGeneration.from_pretrained(path)
        head = {name.removeprefix(HEAD): tensor for name, tensor in trained.items() if name.startswith(HEAD)}
        model.phoneme_head.load_state_dict(head)
        model.config.phoneme_head_trained = True
        model.save_pretrained(run.output_dir, thin=trainer.args.save_thin)
        EntropyASRProcessor.from_pretrained(path).save_pretrained(run.output_dir)
        write_training_record(trainer, run.output_dir, base=path)


STAGE = TrainingStage(
    {
        "data": DataSection,
        "augmentation": AugmentationConfig,
        "model": PhonemeHeadModelSection,
        "training": PhonemeHeadConfig,
    },
    build,
    save,
    check_settings,
)
