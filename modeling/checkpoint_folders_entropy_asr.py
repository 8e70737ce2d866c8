# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of checkpoints that may come from anybody: what they may not ask for, and how it is said what is wrong.

No code of theirs is run and no object of a pickle is made (transformers and PyTorch see to that); no file outside of
them is read, and no configuration makes a model so large that nothing is left of the machine.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME

from .messages_entropy_asr import shortened
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer, read_json_object


# Which file of weights has which tensor, for one or several of them.
_INDEX = "*.index.json"
# Counts of a configuration, by their names, and the largest that any model could have.
_COUNTS = re.compile(r"size|dim|layers|heads|channels|num_|bins|embeddings|width|stacking|kernel|blocks")
_MOST, _MOST_LAYERS = 2**24, 2000
# Inside of a checkpoint's folder.
_PHONEMES = "phoneme_tokenizer"
# What says enough by itself: a package or memory is missing, or somebody has interrupted.
_LEFT_ALONE = (ImportError, MemoryError)


@contextmanager
def readable_folder(path: Any) -> Iterator[None]:
    """While a checkpoint is read: a damaged folder is one error, in one line, that names the folder and the reason.

    Libraries raise errors of any class at what is in such files. Errors of models that are no folder pass.

    Args:
        path: folder or Hub id, or None.

    Raises:
        OSError: a file is missing or cannot be opened.
        ValueError: anything else that is wrong with it, or it asks for what no checkpoint may.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.path.isdir(path):
        yield
        return
    name = os.fspath(path)
    try:
        check_folder(Path(name))
        yield
    except _LEFT_ALONE:
        raise
    except Exception as error:
        is_clear = isinstance(error, (OSError, ValueError)) and not isinstance(error, UnicodeError)
        text = shortened(str(error))
        # On the meta device weights can be read from no folder, as transformers says.
        is_callers = isinstance(error, RuntimeError) and torch.empty(0).is_meta
        if is_callers or (is_clear and name in text and text == str(error)):
            raise
        if not is_clear:
            text = f"cannot be read as a checkpoint: {type(error).__name__}: {text}"
        raise (OSError if isinstance(error, OSError) else ValueError)(f"{name}: {text}") from error


def check_folder(folder: Path) -> None:
    """Refuse a folder whose files name others outside of it, or a configuration of impossible sizes.

    Raises:
        ValueError: naming the file and what is in it.
    """
    for path in sorted(folder.glob(_INDEX)):
        files = read_json_object(path).get("weight_map")
        for file in sorted(set(map(str, files.values()))) if isinstance(files, dict) else ():
            if os.path.isabs(file) or ".." in Path(file).parts:
                raise ValueError(f"{path}: the file of weights {file!r} is outside of the folder")
    num_tokens = _MOST
    if (path := folder / CONFIG_NAME).is_file():
        config = read_json_object(path)
        _check_counts(path, config, ())
        text_config = config.get("text_config")
        num_tokens = text_config.get("vocab_size", _MOST) if isinstance(text_config, dict) else _MOST
    if (path := folder / GENERATION_CONFIG_NAME).is_file():
        _check_generation(path, read_json_object(path), num_tokens)
    if (folder / _PHONEMES).is_dir():
        # transformers would warn of a damaged one, and take the built-in phonemes in its place.
        EntropyASRPhonemeTokenizer.from_pretrained(folder / _PHONEMES)


def _check_counts(path: Path, value: Any, key: tuple[str, ...]) -> None:
    for name, item in value.items() if isinstance(value, dict) else ():
        place = (*key, str(name))
        if isinstance(item, dict):
            _check_counts(path, item, place)
        most = _MOST_LAYERS if "layers" in str(name) else _MOST
        if isinstance(item, (int, float)) and _COUNTS.search(str(name)) and item > most:
            raise ValueError(f"{path}: `{'.'.join(place)}` is {str(item)[:20]}, and no model has more than {most}")


def _check_generation(path: Path, settings: dict[str, Any], num_tokens: Any) -> None:
    """Refuse settings of generation that would fail at the first recording only."""
    for name, value in settings.items():
        kind, fits = next(((kind, fits) for names, kind, fits in _SETTINGS if names.search(name)), (None, None))
        if kind is not None and value is not None and not fits(value, num_tokens):
            raise ValueError(f"{path}: `{name}` must be {kind}, not {str(value)[:100]!r}")


def _are_tokens(value: Any, num_tokens: Any) -> bool:
    ids = value if isinstance(value, list) else [value]
    most = num_tokens if isinstance(num_tokens, int) else _MOST
    return all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < most for one in ids)


def _is_number(value: Any, num_tokens: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MOST


def _is_flag(value: Any, num_tokens: Any) -> bool:
    return isinstance(value, bool)


# Settings of generation by their names, what they must be, and whether a value is that.
_SETTINGS = (
    (re.compile(r"_token_id$|suppress_tokens$"), "ids of tokens", _are_tokens),
    (re.compile(r"^(do|use|output|return|renormalize|remove)_"), "true or false", _is_flag),
    (
        re.compile(r"^(num|max|min|top)_(?!assistant)|penalty$|_cutoff$|^(temperature|typical_p)$"),
        "a number",
        _is_number,
    ),
)


__all__ = ["check_folder", "readable_folder"]
