# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How the full model is saved and loaded: whole, as adapters for another, or thin."""

import copy
import os
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.processing_utils import ProcessorMixin

from .adapters_entropy_asr import find_adapters, merge_adapters
from .components_entropy_asr import Weights, as_dtype
from .thin_checkpoints_entropy_asr import (
    HUB_ARGUMENTS,
    THIN_WEIGHTS,
    VARIANT,
    WHOLE_WEIGHTS,
    AdapterFiles,
    adapter_folder,
    changed_weights,
    check_public_parts,
    put_back,
    read_adapters,
    read_parts,
    read_stored,
    restored_weights,
    tuned_alone,
    with_adapters,
    without_folders,
    write_adapters,
)


class CheckpointMixin:
    """Goes before the classes of a full model."""

    # Processor that is saved beside the model. Trainers set it to theirs: adapters merged after training
    # (`trainer.model.merge_and_unload().save_pretrained(folder)`) leave no other place for it.
    processor: ProcessorMixin | None = None
    # Whether `save_pretrained` leaves out what the public parts give, where it is not told.
    saves_thin: bool = False
    # Adapters that were merged when the model was loaded, in their order: a thin folder keeps them.
    merged_adapters: tuple[AdapterFiles, ...] = ()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, output_loading_info: bool = False, **kwargs):
        """As in transformers; a phoneme head whose weights the checkpoint lacks is known to be untrained.

        A folder of adapters (PEFT) gives the model that they were trained on with the adapters merged into it. To go
        on training them: `PeftModel.from_pretrained(model, folder, is_trainable=True)` with that model. A thin folder
        (see [`~thin_checkpoints_entropy_asr`]) gives the whole model.

        Raises:
            OSError: no such model, or not the one that adapters were trained on, or not a public part of it.
            ValueError: a public part is another than that which the model was trained with.
            ImportError: adapters without peft.
        """
        base, adapters, kwargs = find_adapters(pretrained_model_name_or_path, kwargs)
        try:
            load = cls._from_folder if adapters is None or base == adapters else cls.from_pretrained
            model, info = load(base, *model_args, output_loading_info=True, **kwargs)
        except OSError as error:
            if adapters is None or os.path.isdir(base):
                raise
            raise OSError(
                f"{adapters} holds adapters for the model {base}, which is not there: bring it back, or write where "
                f"it is now into adapter_config.json as `base_model_name_or_path` ({error})"
            ) from error
        if any(name.startswith("phoneme_head.") for name in info["missing_keys"]):
            model.config.phoneme_head_trained = False
        if adapters is not None:
            before = model.merged_adapters
            model = merge_adapters(model, adapters)
            model.merged_adapters = (*before, read_adapters(adapters, **_given(kwargs, HUB_ARGUMENTS)))
        return (model, info) if output_loading_info else model

    @classmethod
    def _from_folder(cls, path, *model_args, **kwargs):
        """A model from a whole folder or a thin one, and what is known of its loading."""
        config, hub_kwargs = kwargs.get("config"), _given(kwargs, HUB_ARGUMENTS)
        place = {**hub_kwargs, **_given(kwargs, ("revision", "subfolder"))}
        if path is None or kwargs.get("state_dict") is not None:
            num_adapters = None
        elif hasattr(config, "thin_adapters"):
            num_adapters = config.thin_adapters
        else:
            num_adapters = cls.config_class.get_config_dict(path, **place)[0].get("thin_adapters")
        if num_adapters is None:
            return super().from_pretrained(path, *model_args, **kwargs)
        kwargs = {name: value for name, value in kwargs.items() if name not in (*place, "config")}
        dtype = kwargs.pop("torch_dtype", kwargs.pop("dtype", None))
        if not hasattr(config, "thin_adapters"):
            config, kwargs = cls.config_class.from_pretrained(path, return_unused_kwargs=True, **place, **kwargs)
        config = copy.deepcopy(config)
        config.thin_adapters, config.dtype = None, as_dtype(dtype, as_dtype(config.dtype, torch.float32))
        stored, adapters = read_stored(path, num_adapters, **place)
        weights = restored_weights(read_parts(config, **hub_kwargs), stored, config.dtype)
        if adapters:
            merged = with_adapters(config, weights, adapters)
            put_back(merged, stored)
            weights = merged.state_dict()
        model, info = super().from_pretrained(None, config=config, state_dict=weights, dtype=config.dtype, **kwargs)
        model.generation_config = GenerationConfig.from_pretrained(path, **place)
        model.config._name_or_path = model.name_or_path = os.fspath(path)
        model.merged_adapters = tuple(adapters)
        return model, info

    def save_pretrained(
        self,
        save_directory,
        is_main_process: bool = True,
        state_dict: Weights | None = None,
        *,
        thin: bool | None = None,
        adapters: AdapterFiles | None = None,
        **kwargs,
    ):
        """As in transformers, with the processor where the model knows one: what is saved can be loaded and used.

        Args:
            save_directory: the folder.
            is_main_process: whether this process writes.
            state_dict: weights to save in place of the model's.
            thin: leave out what the public parts give (see [`~thin_checkpoints_entropy_asr`]): the folder then needs
                them to be loaded. `saves_thin` by default.
            adapters: in a thin folder, adapters to be merged into the weights last, as [`read_adapters`] gives them.
            **kwargs: as in transformers.

        Raises:
            ValueError: a thin folder of a model whose public parts are not known, or to be pushed at once.
            OSError: a public part is not there any more.
        """
        thin, saved = self.saves_thin if thin is None else thin, self.config
        kwargs |= {"is_main_process": is_main_process, "state_dict": state_dict}
        if adapters is not None and not thin:
            raise ValueError("`adapters` are for thin folders; merge them to save a whole model.")
        # The configuration of the model goes on as it is.
        self.config = copy.deepcopy(saved)
        try:
            if thin and is_main_process:
                kwargs |= self._prepare_thin(save_directory, adapters, state_dict, kwargs)
            elif not thin:
                self.config.public_parts = without_folders(saved.public_parts)
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.config = saved
        if is_main_process:
            # What lies there of a model that was saved the other way belongs to no model now.
            Path(save_directory, WHOLE_WEIGHTS if thin else THIN_WEIGHTS).unlink(missing_ok=True)
        if self.processor is not None and is_main_process:
            names = ("push_to_hub", "repo_id", "token", "revision", "private", "commit_message")
            self.processor.save_pretrained(save_directory, **{n: kwargs[n] for n in names if n in kwargs})

    def _prepare_thin(
        self, folder, adapters: AdapterFiles | None, weights: Weights | None, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Arguments of transformers that make a folder thin; its adapters are written, its configuration is set."""
        refused = _given(kwargs, ("push_to_hub", "variant", "max_shard_size", "distributed_checkpoint"))
        if any(refused.values()):
            raise ValueError(
                f"A thin folder is saved without `{next(iter(refused))}`; `entropy-asr publish` uploads it."
            )
        check_public_parts(self.config)
        weights = self.state_dict() if weights is None else weights
        self.config.dtype = self.dtype
        parts, all_adapters = read_parts(self.config), list(self.merged_adapters)
        if adapters is not None:
            weights = with_adapters(self.config, weights, [adapters]).state_dict()
            all_adapters.append(adapters)
        all_adapters = [tuned_alone(files) for files in all_adapters]
        changed = changed_weights(self.config, weights, parts, all_adapters)
        for number, files in enumerate(all_adapters):
            write_adapters(Path(folder, adapter_folder(number)), files)
        self.config.thin_adapters = len(all_adapters)
        self.config.public_parts = {
            kind: {**entry, "sha256": parts[kind].sha256} for kind, entry in self.config.public_parts.items()
        }
        return {"state_dict": changed, "variant": VARIANT, "max_shard_size": "1TB", "save_original_format": False}


def _given(kwargs: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Those of some arguments that say something."""
    return {name: kwargs[name] for name in names if kwargs.get(name) is not None}


__all__ = ["CheckpointMixin"]
