# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Messages of the protocol that [`server`] describes: what a client may send, and what an update is sent as."""

import json
from typing import Any

import numpy as np

from entropy_asr.modeling.containers_entropy_asr import StreamBeginning
from entropy_asr.modeling.messages_entropy_asr import shortened
from entropy_asr.modeling.streaming_entropy_asr import StreamingUpdate


# Codes that a connection is closed with.
NOT_THE_PROTOCOL, REFUSED, FAILED, BUSY = 1003, 1008, 1011, 1013
START_FIELDS = {"type", "token", "sampling_rate", "language", "hotwords", "adapter"}


class ProtocolError(Exception):
    """What a client did wrong, and the code to close with."""

    def __init__(self, message: str, code: int = NOT_THE_PROTOCOL):
        super().__init__(shortened(message))
        self.code = code


def parse_request(text: str | None) -> dict[str, Any]:
    """Check a JSON message of a client.

    Raises:
        ProtocolError: it is not one of the protocol's.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict) or message.get("type") not in ("start", "finish"):
        raise ProtocolError('expected {"type": "start"} or {"type": "finish"}')
    unknown = set(message) - (START_FIELDS if message["type"] == "start" else {"type"})
    if unknown:
        raise ProtocolError(f"unknown fields: {', '.join(map(repr, sorted(unknown)))}")
    return message


def parse_audio(data: bytes, beginning: StreamBeginning) -> np.ndarray:
    """Samples of a binary message, float32 `(num_samples,)` in [-1, 1].

    Raises:
        ProtocolError: it is no raw PCM.
    """
    if (container := beginning.push(data)) is not None:
        raise ProtocolError(
            f"these are the bytes of a {container} file, not raw PCM: decode it first and send its samples (mono, 16 "
            "bit, little endian)"
        )
    if len(data) % 2:
        raise ProtocolError(f"{len(data)} bytes are no whole number of 16-bit samples")
    return np.frombuffer(data, dtype="<i2")


def update_message(update: StreamingUpdate) -> dict[str, Any]:
    """An update as it is sent."""
    verdicts = {} if update.confidence is None else {"confidence": round(update.confidence, 4)}
    if update.language is not None:
        verdicts |= {"language": update.language, "language_probability": round(update.language_probability, 4)}
    times = {name: round(getattr(update, name), 3) for name in ("start", "end")}
    told = {name: getattr(update, name) for name in ("segment", "phonemes", "text", "stable_text", "revised")}
    kind = "final" if update.is_final else "partial"
    return {"type": kind, **told, **times, "flags": list(update.flags), **verdicts}
