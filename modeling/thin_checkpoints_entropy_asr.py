# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thin checkpoints: what was trained, and which public models the rest is.

A thin folder has the configuration, with where encoder and language model come from (`public_parts`: id or folder,
revision, SHA-256 of the weights); adapters that were merged into them, in PEFT's own format and in their order; and
`model.thin.safetensors`, all weights that differ from that to the bit. Of tables of embeddings only the rows that
differ are kept. Loaded it is one model; everything else about it is as in a whole folder.
"""

import copy
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from transformers import AutoModelForCausalLM
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import CONFIG_NAME
from transformers.utils.hub import cached_file

from .adapters_entropy_asr import HUB_ARGUMENTS, AdapterFiles
from .components_entropy_asr import SPEECH_MODELS, THIN_WEIGHTS, VARIANT, Weights
from .joining_entropy_asr import take_language_model, with_prefix
from .merged_adapters_entropy_asr import ADAPTER_CONFIG, ADAPTER_WEIGHTS, merge_adapters, read_adapters, write_adapters
from .speech_models_entropy_asr import assemble, encoder_half, load_speech_model, published_layout, take_encoder


# Of a table: rows that differ from the public part's, and their numbers.
ROWS, ROW_NUMBERS = ".rows", ".row_numbers"
# Of a folder: one for each time that adapters were trained and merged.
MAX_ADAPTERS = 100


@dataclass
class PublicPart:
    """What a public model gives: weights by their names in the full model, and the SHA-256 of what it holds."""

    weights: Weights
    sha256: str


def check_public_parts(config: PreTrainedConfig) -> None:
    """Refuse to save a model thin of which it is not known what it was joined from, or that has lost it.

    Raises:
        ValueError: no public part is known.
        OSError: one is not there.
    """
    if not config.public_parts:
        raise ValueError(
            "it is not known which public models this one was joined from, so nothing can be left out: join encoder "
            "and language model by their ids or folders (from folders, save every stage thin), or save it whole."
        )
    for kind, entry in config.public_parts.items():
        try:
            if published_layout(entry["path"], revision=entry.get("revision")) is None:
                PreTrainedConfig.get_config_dict(entry["path"], revision=entry.get("revision"))
        except OSError as error:
            raise OSError(_absent(config, kind, error)) from error


def _absent(config: PreTrainedConfig, kind: str, error: Exception) -> str:
    entry, name = config.public_parts[kind], kind.replace("_", " ")
    revision = f" (revision {entry['revision']})" if entry.get("revision") else ""
    return (
        f"{config.name_or_path or 'this model'} needs its {name} {entry['path']}{revision}, which is not there: bring "
        f"it back, or write where it is now into config.json as `path` of `public_parts.{kind}` ({error})"
    )


def read_parts(config: PreTrainedConfig, **hub_kwargs) -> dict[str, PublicPart]:
    """The public parts of a model, each in the dtype it is saved with.

    Args:
        config: of the full model.
        **hub_kwargs: of [`HUB_ARGUMENTS`].

    Raises:
        OSError: one is not there.
        ValueError: one is another than that which the configuration knows.
    """
    parts = {}
    for kind, entry in config.public_parts.items():
        read = {"encoder": _read_encoder, "language_model": _read_language_model}[kind]
        try:
            part = read(entry, config, revision=entry.get("revision"), **hub_kwargs)
        except OSError as error:
            raise OSError(_absent(config, kind, error)) from error
        expected = entry.get("sha256")
        if expected not in (None, part.sha256):
            raise ValueError(
                f"{config.name_or_path or 'this model'} holds only what was trained, and its {kind.replace('_', ' ')} "
                f"{entry['path']} is not the one that it was trained with: the SHA-256 of the weights begins with "
                f"{part.sha256[:12]} instead of {expected[:12]}."
            )
        parts[kind] = part
    return parts


def _read_encoder(entry: dict[str, Any], config: PreTrainedConfig, **hub_kwargs) -> PublicPart:
    model = load_speech_model(entry["path"], "auto", **hub_kwargs)
    # Before it is converted: what is computed then may differ in the last bit elsewhere.
    sha256 = weights_sha256(encoder_half(model).state_dict())
    return PublicPart(with_prefix(take_encoder(model, entry.get("num_layers")).weights, "model.audio_tower"), sha256)


def _read_language_model(entry: dict[str, Any], config: PreTrainedConfig, **hub_kwargs) -> PublicPart:
    model = AutoModelForCausalLM.from_pretrained(entry["path"], dtype="auto", **hub_kwargs)
    weights = _without_tied(config, take_language_model(model).weights)
    return PublicPart(weights, weights_sha256(weights))


def weights_sha256(weights: Weights) -> str:
    """SHA-256 of weights: of their names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def tuned_alone(adapters: AdapterFiles) -> AdapterFiles:
    """Adapters without the modules that were trained whole beside them: a thin folder has these already."""
    settings = json.loads(adapters[ADAPTER_CONFIG])
    modules = settings.get("modules_to_save") or []
    if not modules:
        return adapters
    tensors = {
        name: tensor
        for name, tensor in safetensors.torch.load(adapters[ADAPTER_WEIGHTS]).items()
        if not any(f".{module}." in f".{name}" for module in modules)
    }
    settings = json.dumps({**settings, "modules_to_save": None}, indent=1).encode()
    return {ADAPTER_CONFIG: settings, ADAPTER_WEIGHTS: safetensors.torch.save(tensors, {"format": "pt"})}


def adapter_folder(number: int) -> str:
    """Folder, inside a thin one, of the adapters that were merged at that place in the order, from 0 on."""
    return f"adapters-{number + 1}"


def with_adapters(config: PreTrainedConfig, weights: Weights, adapters: list[AdapterFiles]) -> PreTrainedModel:
    """A full model with these weights, all of them, and adapters merged into it one after another.

    It is done on the processor, also where the model is on a GPU, whose last bits would be others.

    Args:
        config: of the model; `dtype` there is the model's.
        weights: by their names in the model; copied.
        adapters: in their order.
    """
    weights = {name: weight.detach().cpu() for name, weight in _without_tied(config, weights).items()}
    model = assemble(SPEECH_MODELS[config.model_type], copy.deepcopy(config), weights, config.dtype)
    for files in adapters:
        with tempfile.TemporaryDirectory() as folder:
            write_adapters(folder, files)
            model = merge_adapters(model, folder)
    return model


def changed_weights(
    config: PreTrainedConfig, weights: Weights, parts: dict[str, PublicPart], adapters: list[AdapterFiles]
) -> Weights:
    """What of a model's weights its public parts and adapters do not give, as it is saved.

    Args:
        config: of the model; `dtype` there is the weights'.
        weights: all of them, by their names.
        parts: its public parts.
        adapters: that were merged into it, in their order.

    Raises:
        ValueError: weights that the public parts have are missing.
    """
    weights = _without_tied(config, weights)
    public = {name: weight for part in parts.values() for name, weight in part.weights.items()}
    if missing := sorted(public.keys() - weights.keys()):
        raise ValueError(f"weights of the model are missing, such as {missing[0]}: it cannot be saved thin like this.")
    merged = None
    if adapters:
        # Each is converted once, into the model.
        known = {name: _filled_up(weight, weights[name].shape) for name, weight in public.items()}
        merged = with_adapters(config, {**weights, **known}, adapters).state_dict()
    changed = {}
    for name, weight in weights.items():
        weight = weight.detach().cpu()
        if name not in public:
            changed[name] = weight
            continue
        known = _filled_up(public[name].to(config.dtype), weight.shape) if merged is None else merged[name]
        if not torch.equal(weight, known):
            changed |= _changed_rows(name, weight, known, len(public[name]))
    return changed


def _without_tied(config: PreTrainedConfig, weights: Weights) -> Weights:
    """Weights without those of the head, where it has the embeddings'."""
    tied = config.tie_word_embeddings
    return {name: weight for name, weight in weights.items() if not (tied and name.startswith("lm_head."))}


def _filled_up(table: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A table with rows of zeros behind its own, where the shape has more; other tensors as they are."""
    missing = shape[0] - len(table) if table.ndim == 2 else 0
    return table if missing <= 0 else torch.cat([table, table.new_zeros(missing, table.shape[1])])


def _changed_rows(name: str, weight: torch.Tensor, known: torch.Tensor, num_public: int) -> Weights:
    """A changed tensor whole, or, of a table that differs in less than half of its rows, these."""
    if weight.ndim != 2:
        return {name: weight}
    differs = (weight != known).any(1)
    differs[num_public:] = True
    numbers = differs.nonzero()[:, 0]
    if 2 * len(numbers) >= len(weight):
        return {name: weight}
    return {f"{name}{ROWS}": weight[numbers], f"{name}{ROW_NUMBERS}": numbers}


def restored_weights(parts: dict[str, PublicPart], stored: Weights, dtype: torch.dtype) -> Weights:
    """All weights of a model without its adapters, from its public parts and what a thin folder holds."""
    weights = {name: weight for part in parts.values() for name, weight in part.weights.items()}
    whole = {name: weight for name, weight in stored.items() if not name.endswith((ROWS, ROW_NUMBERS))}
    weights = {**weights, **whole}
    for name, rows, numbers in changed_tables(stored):
        table = weights[name].to(dtype)
        table = _filled_up(table, (int(numbers.max()) + 1,))
        weights[name] = table.index_copy(0, numbers, rows.to(dtype))
    return weights


def changed_tables(stored: Weights) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Names of tables `(num_tokens, D)` that a thin folder has rows of, the rows `(n, D)` and their numbers `(n,)`."""
    names = [name.removesuffix(ROWS) for name in stored if name.endswith(ROWS)]
    return [(name, stored[f"{name}{ROWS}"], stored[f"{name}{ROW_NUMBERS}"]) for name in names]


@torch.no_grad()
def put_back(model: PreTrainedModel, stored: Weights) -> None:
    """Write what a thin folder holds over a model that adapters were merged into."""
    tensors = model.state_dict()
    for name, weight in stored.items():
        if name in tensors:
            tensors[name].copy_(weight)
    for name, rows, numbers in changed_tables(stored):
        tensors[name][numbers.to(tensors[name].device)] = rows.to(tensors[name])


def read_stored(path: str | os.PathLike, num_adapters: int, **hub_kwargs) -> tuple[Weights, list[AdapterFiles]]:
    """Weights and adapters that a thin folder (or Hub id) holds.

    Raises:
        ValueError: its configuration states a number of adapters that is none.
    """
    if isinstance(num_adapters, bool) or not isinstance(num_adapters, int) or not 0 <= num_adapters <= MAX_ADAPTERS:
        raise ValueError(
            f"{path}: `thin_adapters` of {CONFIG_NAME} must be a number from 0 to {MAX_ADAPTERS}, not "
            f"{num_adapters!r}."
        )
    place = hub_kwargs.pop("subfolder", "")
    folders = [os.path.join(place, adapter_folder(number)) for number in range(num_adapters)]
    adapters = [read_adapters(path, subfolder=folder, **hub_kwargs) for folder in folders]
    return safetensors.torch.load_file(cached_file(path, THIN_WEIGHTS, subfolder=place, **hub_kwargs)), adapters


def read_thin(
    config: PreTrainedConfig, path: str | os.PathLike, num_adapters: int, **hub_kwargs
) -> tuple[Weights, list[AdapterFiles]]:
    """All weights of the model in a thin folder (or of a Hub id), and the adapters among them, in their order.

    Args:
        config: of the model; `dtype` there is what the weights are read as.
        path: folder or Hub id.
        num_adapters: how many adapters it holds.
        **hub_kwargs: of [`HUB_ARGUMENTS`], and `revision` and `subfolder`.

    Raises:
        OSError: a public part is not there.
        ValueError: a public part is another than that which the model was trained with.
    """
    stored, adapters = read_stored(path, num_adapters, **hub_kwargs)
    of_parts = {name: value for name, value in hub_kwargs.items() if name in HUB_ARGUMENTS}
    weights = restored_weights(read_parts(config, **of_parts), stored, config.dtype)
    if adapters:
        merged = with_adapters(config, weights, adapters)
        put_back(merged, stored)
        weights = merged.state_dict()
    return weights, adapters


def prepare_thin(
    model: PreTrainedModel,
    folder: str | os.PathLike,
    adapters: AdapterFiles | None,
    weights: Weights | None,
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    """Arguments of `save_pretrained` that make a folder thin; its adapters are written, its configuration is set.

    Args:
        model: whose configuration is that of the folder from here on.
        folder: where it is saved.
        adapters: to be merged into the weights last.
        weights: in place of the model's.
        kwargs: of `save_pretrained`.

    Raises:
        ValueError: arguments that a thin folder is not saved with, or public parts that are not known.
        OSError: a public part is not there.
    """
    names = ("push_to_hub", "variant", "max_shard_size", "distributed_checkpoint")
    if refused := [name for name in names if kwargs.get(name)]:
        raise ValueError(f"A thin folder is saved without `{refused[0]}`; `entropy-asr publish` uploads it.")
    config = model.config
    check_public_parts(config)
    weights = model.state_dict() if weights is None else weights
    config.dtype = model.dtype
    parts, all_adapters = read_parts(config), list(model.merged_adapters)
    if adapters is not None:
        weights = with_adapters(config, weights, [adapters]).state_dict()
        all_adapters.append(adapters)
    all_adapters = [tuned_alone(files) for files in all_adapters]
    changed = changed_weights(config, weights, parts, all_adapters)
    for number, files in enumerate(all_adapters):
        write_adapters(Path(folder, adapter_folder(number)), files)
    config.thin_adapters = len(all_adapters)
    config.public_parts = {
        kind: {**entry, "sha256": parts[kind].sha256} for kind, entry in config.public_parts.items()
    }
    return {"state_dict": changed, "variant": VARIANT, "max_shard_size": "1TB", "save_original_format": False}


__all__ = ["changed_weights", "check_public_parts", "prepare_thin", "read_parts", "read_thin"]
