# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the servers run, and their limits."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..environment import BUNDLED_CHECKPOINT, PREFIX


# A request with more or longer hotwords would keep the model from all others while their phonemes are looked up.
MAX_HOTWORDS, MAX_HOTWORD_CHARACTERS = 1000, 50_000
# Of the checkpoint that is bundled, by its card.
BUNDLED_NAME = "entropy-asr-tiny"


def check_hotwords(hotwords: Collection[Any]) -> None:
    """Refuse more hotwords than a request may have.

    Raises:
        ValueError: too many, or together too long.
    """
    if len(hotwords) > MAX_HOTWORDS:
        raise ValueError(f"more than {MAX_HOTWORDS} hotwords")
    if sum(len(word) for word in hotwords if isinstance(word, str)) > MAX_HOTWORD_CHARACTERS:
        raise ValueError(f"hotwords of more than {MAX_HOTWORD_CHARACTERS} characters together")


def check_api_key(key: str | None) -> None:
    """Refuse a token that no client could send, or that every client would."""
    if key is not None and not key.strip():
        raise ValueError(f"{PREFIX}API_KEY is empty.")
    if key is not None and not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ValueError(
            f"{PREFIX}API_KEY must be printable ASCII without blanks at its ends: no header can hold another."
        )


def parse_adapters(text: str) -> dict[str, str]:
    """Folder or Hub id of each adapter by its name, of `NAME=FOLDER_OR_ID` with commas between them.

    Raises:
        ValueError: a piece that is not of that form, or a name that is given twice.
    """
    adapters: dict[str, str] = {}
    for piece in filter(None, map(str.strip, text.split(","))):
        name, _, path = (part.strip() for part in piece.partition("="))
        if not name or not path:
            raise ValueError(f"Adapters are given as NAME=FOLDER_OR_ID, not {piece!r}.")
        if name in adapters:
            raise ValueError(f"The adapter {name!r} is given twice.")
        adapters[name] = path
    return adapters


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server. Each can be set by an environment variable: `model` by `ENTROPY_ASR_MODEL`, and so on.

    Args:
        model: Folder or Hub id; by default the small checkpoint that is bundled.
        device: "cpu", "cuda", ...; by default a GPU if there is one.
        dtype: Of the weights; by default as [`load_pipeline`] chooses.
        host: Address to listen on; by default all of this machine.
        port: Port to listen on.
        api_key: What clients must show, as their bearer token or in `start`; by default they need none.
        max_streams: Streams at a time.
        max_connections: Connections at a time, those that have not begun included.
        max_seconds: Longest stream, in seconds of audio.
        chunk_ms: Audio that the encoder reads at a time, in milliseconds.
        left_chunks: Chunks that it sees before them; -1 for all.
        min_silence: Silence that ends a segment, in seconds.
        preview_chunks: After how many chunks each partial text is decoded; 0 for none.
        confidence: Whether final texts have a confidence.
        return_language: Whether final texts have the language that was spoken, with its probability.
        openai: Whether OpenAI's requests are answered, by [`OpenAISettings`], in place of streams.
        adapters: LoRA adapters that requests choose among, `NAME=FOLDER_OR_ID` with commas between them.
    """

    model: str = str(BUNDLED_CHECKPOINT)
    device: str | None = None
    dtype: str | None = None
    host: str = "0.0.0.0"
    port: int = 7860
    api_key: str | None = None
    max_streams: int = 64
    max_connections: int = 256
    max_seconds: float = 14400.0
    chunk_ms: int = 640
    left_chunks: int = 4
    min_silence: float = 0.5
    preview_chunks: int = 0
    confidence: bool = False
    return_language: bool = False
    openai: bool = False
    adapters: str = ""

    def __post_init__(self):
        parse_adapters(self.adapters)
        for name in ("max_streams", "max_connections", "chunk_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{PREFIX}{name.upper()} must be at least 1, not {getattr(self, name)}.")
        if not self.max_seconds > 0:
            raise ValueError(f"{PREFIX}MAX_SECONDS must be positive, not {self.max_seconds}.")
        check_api_key(self.api_key)
        if not 0 <= self.port <= 65535:
            raise ValueError(f"{PREFIX}PORT must be from 0 to 65535, not {self.port}.")


@dataclass(frozen=True)
class OpenAISettings:
    """Settings of the server that answers OpenAI's requests; also as environment variables, as in [`ServerSettings`].

    Args:
        model: Folder or Hub id.
        model_name: What requests call it; by default its Hub id, or the name of its folder.
        api_key: What requests must show as their bearer token; by default they need none.
        max_requests: Requests at a time, those that wait for the model included; further ones are told to come back.
        max_megabytes: Largest file, in units of 2**20 bytes.
        max_seconds: Longest recording, in seconds.
    """

    model: str = str(BUNDLED_CHECKPOINT)
    model_name: str | None = None
    api_key: str | None = None
    max_requests: int = 16
    max_megabytes: int = 100
    max_seconds: float = 7200.0

    def __post_init__(self):
        for name in (field.name for field in fields(self) if field.name.startswith("max_")):
            if not getattr(self, name) > 0:
                raise ValueError(f"{PREFIX}{name.upper()} must be positive, not {getattr(self, name)}.")
        if self.model_name is not None and not self.model_name.strip():
            raise ValueError(f"{PREFIX}MODEL_NAME is empty.")
        check_api_key(self.api_key)

    @property
    def served_name(self) -> str:
        """What requests call the model."""
        if self.model_name is not None:
            return self.model_name
        path = Path(self.model)
        if path.resolve() == BUNDLED_CHECKPOINT:
            return BUNDLED_NAME
        return path.resolve().name if path.is_dir() else self.model
