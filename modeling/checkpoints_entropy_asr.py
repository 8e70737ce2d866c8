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

from .adapters_entropy_asr import HUB_ARGUMENTS, AdapterFiles, find_adapters, readable_folder
from .components_entropy_asr import THIN_WEIGHTS, WHOLE_WEIGHTS, Weights, as_dtype
from .optional_parts_entropy_asr import needed_for


class CheckpointMixin:
    """Goes before the classes of a full model."""

    # Processor that is saved beside the model. Trainers set it to theirs: adapters merged after training
    # (`trainer.model.merge_and_unload().save_pretrained(folder)`) leave no other place for it.
    processor: ProcessorMixin | None = None
    # Whether `save_pretrained` leaves out what the public parts give, where it is not told.
    saves_thin: bool = False
    # Adapters that were merged when the model was loaded, in their order: a thin folder keeps them.
    merged_adapters: tuple[AdapterFiles, ...] = ()
    # Names of adapters that requests choose among: while they lie beside the weights, these have other names.
    adapters_beside: tuple[str, ...] = ()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, output_loading_info: bool = False, **kwargs):
        """As in transformers; a phoneme head whose weights the checkpoint lacks is known to be untrained.

        A folder of adapters (PEFT) gives the model that they were trained on with the adapters merged into it. To go
        on training them: `PeftModel.from_pretrained(model, folder, is_trainable=True)` with that model. A thin folder
        (see [`~thin_checkpoints_entropy_asr`]) gives the whole model.

        Raises:
            OSError: no such model, or not the one that adapters were trained on, or not a public part of it.
            ValueError: a public part is another than that which the model was trained with; or a folder that is
                damaged, see [`readable_folder`].
            ImportError: adapters without peft.
        """
        with readable_folder(pretrained_model_name_or_path):
            return cls._from_any(pretrained_model_name_or_path, model_args, output_loading_info, kwargs)

    @classmethod
    def _from_any(cls, pretrained_model_name_or_path, model_args, output_loading_info: bool, kwargs):
        """A whole folder, a thin one, or adapters."""
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
            with needed_for(f"a folder of adapters ({adapters})"):
                from .merged_adapters_entropy_asr import merge_adapters, read_adapters
            before = model.merged_adapters
            place = _given({**kwargs, **kwargs["adapter_kwargs"]}, (*HUB_ARGUMENTS, "revision"))
            model = merge_adapters(model, adapters, **place)
            model.merged_adapters = (*before, read_adapters(adapters, **place))
        return (model, info) if output_loading_info else model

    @classmethod
    def _from_folder(cls, path, *model_args, **kwargs):
        """A model from a whole folder or a thin one, and what is known of its loading."""
        config, place = kwargs.get("config"), _given(kwargs, (*HUB_ARGUMENTS, "revision", "subfolder"))
        if path is None or kwargs.get("state_dict") is not None:
            num_adapters = None
        elif hasattr(config, "thin_adapters"):
            num_adapters = config.thin_adapters
        else:
            num_adapters = cls.config_class.get_config_dict(path, **place)[0].get("thin_adapters")
        if num_adapters is None:
            return super().from_pretrained(path, *model_args, **kwargs)
        with needed_for(f"the thin checkpoint {path}"):
            from .thin_checkpoints_entropy_asr import read_thin
        kwargs = {name: value for name, value in kwargs.items() if name not in (*place, "config")}
        dtype = kwargs.pop("torch_dtype", kwargs.pop("dtype", None))
        if not hasattr(config, "thin_adapters"):
            config, kwargs = cls.config_class.from_pretrained(path, return_unused_kwargs=True, **place, **kwargs)
        config = copy.deepcopy(config)
        config.thin_adapters, config.dtype = None, as_dtype(dtype, as_dtype(config.dtype, torch.float32))
        weights, adapters = read_thin(config, path, num_adapters, **place)
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
            ValueError: a thin folder of a model whose public parts are not known, or to be pushed at once; or a model
                with adapters for requests to choose from.
            OSError: a public part is not there any more.
        """
        if self.adapters_beside:
            raise ValueError(
                f"The model holds adapters ({', '.join(self.adapters_beside)}) and cannot be saved with them: it is "
                "saved where it was loaded from, and so are they. To merge one, load its folder as a model."
            )
        thin, saved = self.saves_thin if thin is None else thin, self.config
        kwargs |= {"is_main_process": is_main_process, "state_dict": state_dict}
        if adapters is not None and not thin:
            raise ValueError("`adapters` are for thin folders; merge them to save a whole model.")
        # The configuration of the model goes on as it is.
        self.config = copy.deepcopy(saved)
        try:
            if thin and is_main_process:
                with needed_for("saving a thin checkpoint"):
                    from .thin_checkpoints_entropy_asr import prepare_thin
                kwargs |= prepare_thin(self, save_directory, adapters, state_dict, kwargs)
            elif not thin:
                self.config.public_parts = _without_folders(saved.public_parts)
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.config = saved
        if is_main_process:
            # What lies there of a model that was saved the other way belongs to no model now.
            Path(save_directory, WHOLE_WEIGHTS if thin else THIN_WEIGHTS).unlink(missing_ok=True)
        if self.processor is not None and is_main_process:
            names = ("push_to_hub", "repo_id", "token", "revision", "private", "commit_message")
            self.processor.save_pretrained(save_directory, **{n: kwargs[n] for n in names if n in kwargs})


def _given(kwargs: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Those of some arguments that say something."""
    return {name: kwargs[name] for name in names if kwargs.get(name) is not None}


def _without_folders(parts: dict[str, Any] | None) -> dict[str, Any] | None:
    """Those of `public_parts` that have a meaning on other machines."""
    return {kind: entry for kind, entry in (parts or {}).items() if not os.path.isabs(entry["path"])} or None


__all__ = ["CheckpointMixin"]
