# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is kept of each utterance for the paper's figures: 2 D numbers, its NSE, and its transcript; no frames."""

from collections import Counter
from dataclasses import dataclass, field, fields

import numpy as np

from .inputs import UtteranceInput
from .pooling import pooled
from .spectrum import utterance_nse


@dataclass
class Summary:
    """One utterance.

    Attributes:
        nse: Its NSE; None where it was not wanted.
        pooled: Mean and standard deviation of its frames, `(2 D,)`.
        phonemes: Counts of its phonemes.
        text: Its transcript, for an embedder.
        semantics: Its transcript's embedding.
        layers: Mean output of each layer by name, for text_cka.
        text_embedding: The language model's own mean text embedding, for text_cka.
    """

    nse: float | None
    pooled: np.ndarray
    phonemes: Counter | None = None
    text: str | None = None
    semantics: np.ndarray | None = None
    layers: dict[str, np.ndarray] = field(default_factory=dict)
    text_embedding: np.ndarray | None = None


def summarize(utterance: UtteranceInput, with_nse: bool = True) -> Summary:
    """Everything of an utterance but its frames."""
    return Summary(
        utterance_nse(utterance.frames) if with_nse else None,
        pooled(utterance.frames),
        utterance.phonemes,
        utterance.text,
        utterance.semantics,
        utterance.layers,
        utterance.text_embedding,
    )


# Parts of a summary that all utterances have or none, by what callers call them.
NAMES = {
    "phonemes": "phonemes",
    "text": "texts",
    "semantics": "semantics",
    "layers": "layers",
    "text_embedding": "text_embeddings",
}


def shape_of(item: Summary | UtteranceInput) -> dict[str, object]:
    """What other utterances must have in common with this one: which parts there are, and of what widths."""
    width = len(item.pooled) // 2 if isinstance(item, Summary) else item.frames.shape[1]
    return {
        "frames": width,
        "phonemes": item.phonemes is not None,
        "text": item.text is not None,
        "semantics": None if item.semantics is None else len(item.semantics),
        "layers": tuple((name, len(layer)) for name, layer in item.layers.items()),
        "text_embedding": None if item.text_embedding is None else len(item.text_embedding),
    }


def check_alike(shape: dict[str, object], earlier: dict[str, object], number: int) -> None:
    """Refuse an utterance that lacks what others have, or has it in another width.

    Raises:
        ValueError: names the utterance and the part.
    """
    if shape["frames"] != earlier["frames"]:
        raise ValueError(
            f"Utterance {number}: frames of width {shape['frames']} were added to frames of width {earlier['frames']}."
        )
    for part, name in NAMES.items():
        if bool(shape[part]) != bool(earlier[part]):
            raise ValueError(f"Utterance {number}: `{name}` must be given for all utterances or for none.")
        if shape[part] != earlier[part]:
            raise ValueError(
                f"Utterance {number}: `{name}` differ from those of earlier utterances: {shape[part]} and "
                f"{earlier[part]}."
            )


def total(own: int) -> int:
    """Sum of the numbers of all processes of `torch.distributed`; each of them must call it."""
    import torch.distributed as dist

    gathered: list = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, own)
    return sum(gathered)


def joined(own: list[Summary]) -> list[Summary]:
    """Those of all processes of `torch.distributed`, in the order of their ranks; each of them must call it."""
    import torch.distributed as dist

    gathered: list = [None] * dist.get_world_size()
    plain = [{part.name: getattr(item, part.name) for part in fields(Summary)} for item in own]
    dist.all_gather_object(gathered, plain)
    found = [Summary(**item) for rank in gathered for item in rank]
    for number, item in enumerate(found):
        check_alike(shape_of(item), shape_of(found[0]), number)
    return found
