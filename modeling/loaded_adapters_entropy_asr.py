# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several LoRA adapters in one model, of which each request chooses one, or none.

They lie beside the model's weights (PEFT), so that a choice loads nothing. Which one is active is a state of the whole
model: requests with the same choice run at the same time, others wait for them, in the order in which they came. At
rest none is active, and the model is what it was before.

PEFT's own way to mix adapters in a batch, a name for each row, goes through the forward of its wrapper alone, and ours
reads the model in parts (encoder, prompt, generation). So a batch here has one adapter.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_utils import PreTrainedModel

from .optional_parts_entropy_asr import needed_for


class SharedTurns:
    """Lets in at the same time those who make the same choice; others in the order in which they came.

    A turn cannot be taken within another.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._choice: Hashable = None
        self._num_inside = 0

    def __reduce__(self):
        return type(self), ()  # a copy, or another process, has turns of its own

    @contextmanager
    def turn(self, choice: Hashable, switch: Callable[[Any], None]) -> Iterator[None]:
        """Wait for a turn.

        Args:
            choice: what those inside have in common.
            switch: called with the choice before the first goes in, and with `None` behind the last.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._is_open_to(choice))
                if not self._num_inside:
                    switch(choice)
                self._choice, self._num_inside = choice, self._num_inside + 1
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._num_inside -= 1
                if not self._num_inside:
                    switch(None)
                    self._changed.notify_all()

    def _is_open_to(self, choice: Hashable) -> bool:
        return not self._num_inside or choice == self._choice


class LoadedAdapters:
    """The adapters of a model; [`adapters_of`] gives them.

    Args:
        model ([`EntropyASRForConditionalGeneration`]): the model.
    """

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self._keys: dict[str, str] = {}  # by name, what PEFT calls them, for it takes no dots
        self._peft: Any = None
        self._turns = SharedTurns()

    @property
    def names(self) -> tuple[str, ...]:
        """What requests call them, in the order in which they were loaded."""
        return tuple(self._keys)

    def check(self, name: str | None) -> None:
        """Refuse a name that is none of theirs; `None` is the model without adapters.

        Raises:
            ValueError: it names those that there are.
        """
        if name is not None and name not in self.names:
            known = ", ".join(self.names) or "none are loaded (`load_adapter`)"
            raise ValueError(f"There is no adapter {name!r}; there are: {known}.")

    @contextmanager
    def active(self, name: str | None) -> Iterator[None]:
        """While this lasts, the model is the one with that adapter, or with none.

        Raises:
            ValueError: no such adapter.
        """
        self.check(name)
        with self._turns.turn(name, self._switch):
            yield

    @torch.no_grad()
    def load(self, path: str | os.PathLike, name: str) -> None:
        """Load adapters, which no request uses before it names them; those at work are waited for.

        Args:
            path: folder or Hub id of LoRA adapters.
            name: what requests call them.

        Raises:
            ImportError: peft is not installed.
            OSError: the path cannot be read.
            ValueError: no adapters of this model, adapters that would change it for others, or a name that is taken.
        """
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"An adapter needs a name, not {name!r}.")
        with needed_for("`load_adapter`"):
            from .lora_configuration_entropy_asr import read_lora_configuration, warn_of_another_base
        path = os.fspath(path)
        config = read_lora_configuration(path)
        warn_of_another_base(path, config.base_model_name_or_path, self.model.name_or_path)
        with self._turns.turn(object(), self._switch):  # alone: nobody else makes this choice
            if name in self._keys:
                raise ValueError(f"There is an adapter {name!r} already.")
            key = f"request_{len(self._keys):04}"
            try:
                self._put_in(path, config, key)
            except BaseException:
                self._take_out(key)
                raise
            finally:
                self._set_base()
            self._keys[name] = key
            self.model.adapters_beside = self.names

    def _put_in(self, path: str, config: Any, key: str) -> None:
        from peft import PeftModel

        try:
            # In the type of the weights beside which they lie.
            if self._peft is None:
                self._peft = PeftModel(self.model, config, adapter_name=key, autocast_adapter_dtype=False)
            device = str(self.model.device)
            found = self._peft.load_adapter(path, key, torch_device=device, autocast_adapter_dtype=False)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(line.strip() for line in str(error).splitlines()[:2])  # and not of each layer
            raise ValueError(f"{path} holds adapters that do not fit this model: {reason}") from error
        odd = [*found.missing_keys, *found.unexpected_keys]
        if odd:
            raise ValueError(f"{path} holds adapters that do not fit this model: {odd[0]} and {len(odd) - 1} others")

    def _take_out(self, key: str) -> None:
        """Leave nothing of adapters that could not be loaded."""
        if self._keys:
            if key in self._peft.peft_config:
                self._peft.delete_adapter(key)
            return
        if self._peft is not None:
            self._peft.unload()
            self._peft = None
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config

    def _switch(self, choice: Any) -> None:
        """Make the adapter of that name the active one; any other choice is the model without."""
        key = self._keys.get(choice)
        if key is None:
            self._set_base()
            return
        self._peft.base_model.enable_adapter_layers()
        self._peft.set_adapter(key, inference_mode=True)

    def _set_base(self) -> None:
        if self._peft is not None:
            self._peft.base_model.disable_adapter_layers()


def adapters_of(model: PreTrainedModel) -> LoadedAdapters:
    """The adapters of a model, which are the same for all pipelines that run it."""
    if "loaded_adapters" not in vars(model):
        model.loaded_adapters = LoadedAdapters(model)
    return model.loaded_adapters


__all__ = ["LoadedAdapters", "SharedTurns", "adapters_of"]
