# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Full models saved as what was trained: the rest is in the public models that they were joined from.

See [`~thin_checkpoints_entropy_asr`]. Checkpoints of a run are thin too, and it is resumed from them as from whole
ones; those of adapters hold the adapters alone, as without this.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel

from entropy_asr.modeling import EntropyASRForConditionalGeneration
from entropy_asr.modeling.components_entropy_asr import THIN_WEIGHTS
from entropy_asr.modeling.merged_adapters_entropy_asr import read_adapters
from entropy_asr.modeling.thin_checkpoints_entropy_asr import check_public_parts

from ..runs.settings import SettingsError
from .sharding import shares_weights


# What PEFT puts into the names of the weights that it wraps.
WRAPPED = (".original_module.", ".base_layer.")


@dataclass
class ThinArguments:
    """Goes before the arguments of stages that train a full model.

    Args:
        save_thin: Save, in place of a whole model, what was trained and the ids of the public models that encoder and
            language model were joined from; loaded it is one model all the same, as long as these are there.
    """

    save_thin: bool = field(default=False, metadata={"help": "Save what was trained, and name the public models."})


@dataclass
class AdapterArguments(ThinArguments):
    """Goes before the arguments of stages that train a full model, maybe by adapters.

    Args:
        save_adapters: Save the adapters of `lora` alone, which stay adapters: a request chooses them or not (the
            pipeline's `adapters`). Stages else merge them into the model that they save.
    """

    save_adapters: bool = field(default=False, metadata={"help": "Save the adapters alone, not merged."})


class ThinSavingMixin:
    """Goes before a trainer of the full model whose arguments are [`AdapterArguments`]."""

    def __init__(self, model, args, *positional, **kwargs):
        if args.save_thin:
            check_savable(model)
        if args.save_adapters:
            check_adapters(kwargs.get("peft_config") or getattr(model, "active_peft_config", None), args.save_thin)
        super().__init__(model, args, *positional, **kwargs)
        self._saves_checkpoint = False
        trained = self.accelerator.unwrap_model(self.model)
        if args.save_thin and isinstance(trained, PeftModel) and shares_weights(self):
            raise ValueError(
                "save_thin: adapters of a model whose weights are spread over processes (FSDP, ZeRO-3) cannot be told "
                "apart from it: train with DDP, or save it whole."
            )
        below_adapters(trained).saves_thin = args.save_thin

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in `Trainer`; with `save_thin` also adapters become part of one model."""
        self._saves_checkpoint = _internal_call
        super().save_model(output_dir, _internal_call)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        trained = self.accelerator.unwrap_model(self.model)
        if not self.args.save_thin or self._saves_checkpoint or not isinstance(trained, PeftModel):
            super()._save(output_dir, state_dict)
        elif self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            save_with_adapters(trained, folder)
            self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        if not self._load_thin(resume_from_checkpoint, model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if not self._load_thin(self.state.best_model_checkpoint):
            super()._load_best_model()

    def _load_thin(self, folder: str, model=None) -> bool:
        """Load the weights of a thin checkpoint; False where it is none, or others load it."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or not Path(folder, THIN_WEIGHTS).is_file():
            return False
        saved = EntropyASRForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        # An encoder that is set aside has its weights still.
        (model or self.model).load_state_dict(saved.state_dict(), strict=False)
        return True


def check_savable(model: EntropyASRForConditionalGeneration) -> None:
    """Refuse to train a model that could not be saved thin in the end.

    Raises:
        SettingsError: it is not known what it was joined from, or that is not there.
    """
    try:
        check_public_parts(below_adapters(model).config)
    except (OSError, ValueError) as error:
        raise SettingsError(f"save_thin: {error}", ("training", "save_thin")) from error


def check_adapters(lora: LoraConfig | None, save_thin: bool) -> None:
    """Refuse to train what cannot be saved as adapters alone.

    Args:
        lora: How adapters are made; None: there are none.
        save_thin: Whether they are to become part of one model.

    Raises:
        SettingsError: there are none, or they are to be saved in two ways.
    """
    reason = None
    if lora is None:
        reason = "there are no adapters: give `lora`"
    elif save_thin:
        reason = "`save_thin` puts adapters into one model; choose one of the two"
    if reason:
        raise SettingsError(f"save_adapters: {reason}.", ("training", "save_adapters"))


def below_adapters(model: torch.nn.Module) -> EntropyASRForConditionalGeneration:
    """The full model inside adapters, or the model."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def save_with_adapters(adapted: PeftModel, folder: Path) -> None:
    """Save a model and the adapters that are trained in it as one thin model; training can go on.

    Args:
        adapted: The model with its adapters.
        folder: Where to.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # Rows that embeddings have got are stored with the model.
        adapted.save_pretrained(scratch, save_embedding_layers=False)
        adapters = read_adapters(scratch)
    model = below_adapters(adapted)
    model.save_pretrained(folder, thin=True, state_dict=state_below_adapters(model), adapters=adapters)


def state_below_adapters(model: EntropyASRForConditionalGeneration) -> dict[str, torch.Tensor]:
    """Weights of a model that adapters were put into, as they were before, by the names they had.

    PEFT wraps the layers that it adapts around their own (`base_layer`), and modules that are trained whole around a
    copy (`original_module`).
    """
    state = model.state_dict()
    inside = {name.partition(part)[0] for part in WRAPPED for name in state if part in name}
    below = {}
    for name, tensor in state.items():
        part = next((part for part in WRAPPED if part in name), None)
        if part is not None:
            below[name.replace(part, ".", 1)] = tensor
        elif not any(name.startswith(f"{wrapper}.") for wrapper in inside):
            below[name] = tensor
    return below
