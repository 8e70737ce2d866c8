# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a caller gives for each utterance, checked before anything is added."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .moments import LARGEST
from .phoneme_bags import count_phonemes, phonemes_of_texts


# Arguments beside `predictions`, one entry an utterance each.
PER_UTTERANCE = (
    "references",
    "words",
    "other_predictions",
    "speakers",
    "recognized_phonemes",
    "phonemes",
    "texts",
    "languages",
    "semantics",
    "layers",
    "text_embeddings",
)


@dataclass
class UtteranceInput:
    """One utterance as it was given; what was not given is None."""

    number: int
    frames: torch.Tensor  # (T, D)
    other: torch.Tensor | None = None  # (T, D2)
    labels: np.ndarray | None = None  # (T,)
    words: np.ndarray | None = None  # (M, 3)
    speaker: str | None = None
    recognized: np.ndarray | None = None  # (T,)
    phonemes: Counter | None = None
    text: str | None = None
    semantics: np.ndarray | None = None  # (D_c,)
    layers: dict[str, np.ndarray] = field(default_factory=dict)  # mean-pooled, (D_l,) each
    text_embedding: np.ndarray | None = None  # (D_t,)


def read_inputs(predictions, given: dict[str, Any], first: int, phonemes_wanted: bool = True) -> list[UtteranceInput]:
    """The utterances of one call.

    Args:
        predictions: Frames, one `(T, D)` array an utterance.
        given: Arguments of the names in `PER_UTTERANCE`; None is as if not given.
        first: Number of the first utterance.
        phonemes_wanted: Whether texts are to become phonemes where there are no phonemes.

    Raises:
        ValueError: what cannot be used, in words.
    """
    if predictions is None:
        raise ValueError("`predictions` missing: one (T, D) array of encoder frames for each utterance.")
    given = {name: value for name, value in given.items() if value is not None}
    if unknown := sorted(set(given) - set(PER_UTTERANCE)):
        raise ValueError(f"Unknown arguments {', '.join(unknown)}: there are predictions, {', '.join(PER_UTTERANCE)}.")
    _check_company(given)
    frames = _tensors(predictions, "predictions", 2, first)
    count = len(frames)
    utterances = [UtteranceInput(first + index, frames[index]) for index in range(count)]
    for utterance in utterances:
        if not utterance.frames.shape[0]:
            raise ValueError(f"Utterance {utterance.number} has no frames.")
    for name, attribute, ndim in (
        ("other_predictions", "other", 2),
        ("references", "labels", 1),
        ("words", "words", 2),
    ):
        if name in given:
            _set(utterances, attribute, _tensors(given[name], name, ndim, first, count))
    if "recognized_phonemes" in given:
        _set(utterances, "recognized", _tensors(given["recognized_phonemes"], "recognized_phonemes", 1, first, count))
    for utterance in utterances:
        _check_labels(utterance)
    if "speakers" in given:
        _set(utterances, "speaker", _speakers(given["speakers"], count))
    _read_transcripts(utterances, given, first, phonemes_wanted)
    for name, attribute in (("semantics", "semantics"), ("text_embeddings", "text_embedding")):
        if name in given:
            _set(utterances, attribute, vectors(given[name], name, count, first))
    if "layers" in given:
        for utterance, layers in zip(utterances, _listed(given["layers"], "layers", count), strict=True):
            utterance.layers = _pooled_layers(layers, utterance.number)
    return utterances


def _check_company(given: dict[str, Any]) -> None:
    for name in ("words", "speakers", "recognized_phonemes"):
        if name in given and "references" not in given:
            raise ValueError(f"`{name}` are for probes of phonemes: give `references`.")
    if "recognized_phonemes" in given and "words" not in given:
        raise ValueError("`recognized_phonemes` are for frame_csai: give `words`.")
    if "languages" in given and "texts" not in given:
        raise ValueError("`languages` say how `texts` are read: give `texts`.")
    if "languages" in given and "phonemes" in given:
        raise ValueError(
            "`languages` say how `texts` become phonemes, and `phonemes` are given: leave one of them out."
        )
    if "semantics" in given and not {"phonemes", "texts"} & set(given):
        raise ValueError("`semantics` are for csai, which is given phonemes: give `phonemes` or `texts`.")
    for name, other in (("layers", "text_embeddings"), ("text_embeddings", "layers")):
        if name in given and other not in given:
            raise ValueError(f"`{name}` are for text_cka: give `{other}`, too.")


def _set(utterances: list[UtteranceInput], attribute: str, values: list) -> None:
    for utterance, value in zip(utterances, values, strict=True):
        setattr(utterance, attribute, value)


def _listed(value, name: str, count: int) -> list:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ValueError(f"`{name}` must be a list with one entry an utterance, got {value!r}.")
    listed = list(value)
    if len(listed) != count:
        raise ValueError(f"`{name}` has {len(listed)} entries for {count} utterances.")
    return listed


def _tensors(value, name: str, ndim: int, first: int, expected: int | None = None) -> list[torch.Tensor]:
    """Tensors of `ndim` dimensions, one an utterance, counted from `first` on."""
    if isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == ndim:
        value = [value]
    try:
        tensors = [item if isinstance(item, torch.Tensor) else torch.as_tensor(np.asarray(item)) for item in value]
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be arrays of {ndim} dimensions, one an utterance: {error}") from error
    for index, tensor in enumerate(tensors):
        if tensor.ndim != ndim:
            # No words are an empty list, whose second dimension nobody wrote.
            if name == "words" and not tensor.numel():
                tensors[index] = torch.zeros(0, 3, dtype=torch.long)
                continue
            raise ValueError(f"`{name}` of utterance {first + index} must have {ndim} dimensions, not {tensor.ndim}.")
    if expected is not None and len(tensors) != expected:
        raise ValueError(f"`{name}` has {len(tensors)} entries for {expected} utterances.")
    return tensors


def _check_labels(utterance: UtteranceInput) -> None:
    """Labels and words become NumPy arrays here."""
    number, count = utterance.number, len(utterance.frames)
    for attribute, what in (("labels", "labels"), ("recognized", "recognized phonemes")):
        labels = getattr(utterance, attribute)
        if labels is None:
            continue
        if len(labels) != count or not _integers(labels):
            raise ValueError(
                f"Utterance {number}: {count} frames need as many integer {what}, got {len(labels)} {labels.dtype}."
            )
        setattr(utterance, attribute, labels.cpu().numpy())
    words = utterance.words
    if words is None:
        return
    if not len(words):
        utterance.words = np.zeros((0, 3), int)
        return
    if not _integers(words) or words.shape[1] != 3:
        raise ValueError(
            f"Utterance {number}: words must be integers (start, end, id), got {words.dtype} {tuple(words.shape)}."
        )
    words = words.cpu().numpy()
    starts, ends = words[:, 0], words[:, 1]
    if (starts < 0).any() or (ends < starts).any() or (ends > count).any():
        raise ValueError(f"Utterance {number}: words must be (start, end, id) inside its {count} frames.")
    utterance.words = words[ends > starts]


def _integers(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _speakers(speakers, count: int) -> list[str | None]:
    if isinstance(speakers, str) or not isinstance(speakers, Iterable):
        raise ValueError(f"`speakers` must be a list of names, one an utterance, got {speakers!r}.")
    names = _listed(speakers, "speakers", count)
    if 0 < sum(name is None for name in names) < count:
        raise ValueError("`speakers` must be given for all utterances or for none.")
    return [None if name is None else str(name) for name in names]


def _read_transcripts(utterances: list[UtteranceInput], given: dict, first: int, phonemes_wanted: bool) -> None:
    count, phonemes = len(utterances), given.get("phonemes")
    if "texts" in given:
        texts = _listed(given["texts"], "texts", count)
        for number, text in enumerate(texts, first):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"`texts` of utterance {number} must be a text that is not empty, got {text!r}.")
        _set(utterances, "text", texts)
        languages = given.get("languages")
        if languages is None or isinstance(languages, str):
            languages = [languages] * count
        languages = _listed(languages, "languages", count)
        if phonemes is None and phonemes_wanted:
            phonemes = phonemes_of_texts(texts, languages, first)
    if phonemes is not None:
        listed = _listed(phonemes, "phonemes", count)
        _set(utterances, "phonemes", [count_phonemes(one, number) for number, one in enumerate(listed, first)])


def vectors(value, name: str, count: int, first: int) -> list[np.ndarray]:
    """One vector of finite numbers an utterance, float64 `(dimension,)`.

    Raises:
        ValueError: another number of them, or no such vectors.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    found = []
    for number, item in enumerate(_listed(value, name, count), first):
        try:
            vector = _numbers(item)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`{name}` of utterance {number} must be a vector of numbers: {error}") from error
        if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
            raise ValueError(
                f"`{name}` of utterance {number} must be a vector of finite numbers, got shape {vector.shape}."
            )
        if np.abs(vector).max() > LARGEST:
            raise ValueError(
                f"`{name}` of utterance {number} has numbers beyond {LARGEST:.0e}: scale all of them down."
            )
        if found and len(vector) != len(found[0]):
            raise ValueError(f"`{name}` of utterance {number} has {len(vector)} numbers, others {len(found[0])}.")
        found.append(vector)
    return found


def _numbers(value) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value if value.is_complex() else value.double()
    array = np.asarray(value)
    if np.iscomplexobj(array):
        raise ValueError("they are complex")
    return array.astype(np.float64)


def _pooled_layers(layers, number: int) -> dict[str, np.ndarray]:
    """Mean over frames of each layer's output; what has one dimension is a mean already."""
    if not isinstance(layers, (Mapping, list, tuple)) or not layers:
        raise ValueError(f"`layers` of utterance {number} must be a list of (T, D) arrays, or names and arrays.")
    named = layers if isinstance(layers, Mapping) else {str(index): layer for index, layer in enumerate(layers)}
    found = {}
    for name, layer in named.items():
        try:
            layer = _numbers(layer)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Layer {name} of utterance {number} must be numbers: {error}") from error
        if layer.ndim not in (1, 2) or not layer.size or not np.isfinite(layer).all():
            raise ValueError(
                f"Layer {name} of utterance {number} must be (T, D) finite numbers, got shape {layer.shape}."
            )
        if np.abs(layer).max() > LARGEST:
            raise ValueError(f"Layer {name} of utterance {number} has numbers beyond {LARGEST:.0e}: scale it down.")
        found[str(name)] = layer.mean(0) if layer.ndim == 2 else layer
    return found
