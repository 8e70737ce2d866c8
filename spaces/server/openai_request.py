# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A request of OpenAI's `audio/transcriptions`: each of its fields is honoured, or refused with the reason."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, language_code

from .openai_errors import OpenAIError
from .settings import check_hotwords


RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("word", "segment")
LISTS = ("languages", "keywords", "timestamp_granularities")
SINGLE = ("file", "model", "language", "prompt", "response_format", "temperature", "stream", "chunking_strategy")
# Fields of OpenAI's that ask for what there is none of here.
REFUSED = {
    "include": "there are no log-probabilities of tokens to include",
    "known_speaker_names": "speakers are not told apart",
    "known_speaker_references": "speakers are not told apart",
}
# What stands between two hints of a prompt, in either script; a full stop or colon before a blank only ("U.S. 3:4").
_BETWEEN_HINTS = re.compile(r"[,;，、；。！？!?\r\n]+|[.:：](?=\s|$)")
_TRUE, _FALSE = ("true", "1"), ("false", "0")
MIN_TEMPERATURE = 1e-3


@dataclass(frozen=True)
class TranscriptionRequest:
    """What is asked for.

    Args:
        name: Of the file, for messages.
        language: Code; None: the model decides.
        hints: Words and phrases to listen for.
        response_format: One of `RESPONSE_FORMATS`.
        granularities: Whose times a verbose answer has, of `GRANULARITIES`.
        temperature: 0 for the most likely text, up to 1 for sampling.
        stream: Whether the text is sent while it is written.
        adapter: Name of the adapter that the model has for it.
    """

    name: str = "audio"
    language: str | None = None
    hints: tuple[str, ...] = ()
    response_format: str = "json"
    granularities: tuple[str, ...] = ("segment",)
    temperature: float = 0.0
    stream: bool = False
    adapter: str | None = None


def parse_form(
    form: FormData, models: Collection[str], adapters: Collection[str] = ()
) -> tuple[TranscriptionRequest, UploadFile]:
    """Check a form.

    Args:
        form: As it was sent; `name[]` is `name`, and a field without a value is one that was not sent.
        models: Names of the model that is served.
        adapters: Names of its adapters, which requests also give as `model`.

    Returns:
        What is asked for, and of which file.

    Raises:
        OpenAIError: a field that cannot be honoured.
    """
    values = _collect(form)
    for name, reason in REFUSED.items():
        if name in values:
            raise OpenAIError(f"`{name}` is not supported: {reason}", name, "unsupported_parameter")
    file = _read_file(values)
    model = _single(values, "model")
    check_model_name(model, [*models, *adapters])
    response_format = _choice(values, "response_format", RESPONSE_FORMATS) or "json"
    stream = _read_flag(values, "stream")
    if stream and response_format not in ("json", "text"):
        raise OpenAIError(
            f"`stream` gives text alone: `response_format` must be json or text with it, not {response_format}",
            "response_format",
            "unsupported_value",
        )
    _check_chunking(values)
    request = TranscriptionRequest(
        _plain_name(file.filename),
        _read_language(values),
        _read_hints(values),
        response_format,
        _read_granularities(values, response_format),
        _read_temperature(values),
        stream,
        model if model in adapters else None,
    )
    return request, file


def check_model_name(name: str | None, models: Collection[str]) -> None:
    """Refuse a model that is not served.

    Raises:
        OpenAIError: it names those that are.
    """
    if name is None:
        raise OpenAIError(f"`model` is missing; here it is {' or '.join(models)}", "model", "missing_parameter")
    if name not in models:
        raise OpenAIError(
            f"the model {name!r} does not exist here; there is {', '.join(models)}", "model", "model_not_found", 404
        )


def split_hints(text: str) -> tuple[str, ...]:
    """Words and phrases of a prompt: what stands between commas, other punctuation and line breaks."""
    pieces = (" ".join(piece.split()) for piece in _BETWEEN_HINTS.split(text))
    return tuple(dict.fromkeys(piece for piece in pieces if any(map(str.isalnum, piece))))


def _collect(form: FormData) -> dict[str, list[str | UploadFile]]:
    """The values of each field that was sent, by its name without brackets."""
    values: dict[str, list[str | UploadFile]] = {}
    for key, value in form.multi_items():
        name = key.partition("[")[0]
        if name not in (*LISTS, *SINGLE, *REFUSED):
            raise OpenAIError(f"unknown field `{key}`", key, "unknown_parameter")
        if isinstance(value, UploadFile) and name != "file":
            raise OpenAIError(f"`{name}` must be text, not a file", name, "invalid_type")
        if value != "":
            values.setdefault(name, []).append(value)
    return values


def _single(values: dict[str, list[str]], name: str) -> str | None:
    given = values.get(name, [])
    if len(given) > 1:
        raise OpenAIError(f"`{name}` is given {len(given)} times", name, "invalid_value")
    return given[0] if given else None


def _read_file(values: dict[str, list[str | UploadFile]]) -> UploadFile:
    file = _single(values, "file")
    if file is None:
        raise OpenAIError("`file` is missing: the audio to transcribe", "file", "missing_parameter")
    if not isinstance(file, UploadFile):
        raise OpenAIError("`file` must be an uploaded file (with curl: -F file=@talk.wav)", "file", "invalid_type")
    if not file.size:
        raise OpenAIError(f"{_plain_name(file.filename)}: the file is empty", "file", "empty_file")
    return file


def _plain_name(name: str | None) -> str:
    """A file's name without folders, in characters that cannot be taken for an address."""
    return re.sub(r"[^\w .()+-]", "_", re.split(r"[\\/]", name or "")[-1])[:100].strip() or "audio"


def _choice(values: dict[str, list[str]], name: str, choices: Collection[str]) -> str | None:
    value = _single(values, name)
    if value is not None and value not in choices:
        speakers = ": speakers are not told apart" if value == "diarized_json" else ""
        raise OpenAIError(
            f"`{name}` must be one of {', '.join(choices)}, not {value!r}{speakers}", name, "invalid_value"
        )
    return value


def _read_flag(values: dict[str, list[str]], name: str) -> bool:
    value = (_single(values, name) or "false").lower()
    if value not in (*_TRUE, *_FALSE):
        raise OpenAIError(f"`{name}` must be true or false, not {value!r}", name, "invalid_value")
    return value in _TRUE


def _read_temperature(values: dict[str, list[str]]) -> float:
    value = _single(values, "temperature")
    try:
        temperature = float(value or 0)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= 1:
        raise OpenAIError(f"`temperature` must be a number from 0 to 1, not {value!r}", "temperature", "invalid_value")
    # Below, logits that are divided by it are no numbers any more.
    return temperature if temperature >= MIN_TEMPERATURE else 0.0


def _read_language(values: dict[str, list[str]]) -> str | None:
    """The language that is asked for: by `language`, or as the only one of `languages`."""
    name = "language" if "language" in values or "languages" not in values else "languages"
    try:
        language = language_code(_single(values, "language"), optional=True)
        candidates = {language_code(value) for value in values.get("languages", [])}
    except ValueError as error:
        raise OpenAIError(str(error), name, "invalid_value") from error
    if not candidates or language is not None:
        if candidates and language not in candidates:
            raise OpenAIError(f"`language` {language} is none of `languages`", "language", "invalid_value")
        return language
    if len(candidates) > 1 and candidates != set(LANGUAGES):
        raise OpenAIError(
            f"`languages` must be one language, or all that there are ({', '.join(LANGUAGES)}): the model cannot be "
            "told to choose among some",
            "languages",
            "unsupported_value",
        )
    return candidates.pop() if len(candidates) == 1 else None


def _read_hints(values: dict[str, list[str]]) -> tuple[str, ...]:
    """Hints of `prompt` and `keywords`."""
    prompt, keywords = split_hints(_single(values, "prompt") or ""), values.get("keywords", [])
    hints = tuple(dict.fromkeys((*prompt, *keywords)))
    try:
        check_hotwords(hints)
    except ValueError as error:
        names = [name for name, given in (("prompt", prompt), ("keywords", keywords)) if given]
        raise OpenAIError(f"`{'` and `'.join(names)}`: {error}", names[-1], "too_many_hints") from error
    return hints


def _read_granularities(values: dict[str, list[str]], response_format: str) -> tuple[str, ...]:
    name = "timestamp_granularities"
    given = values.get(name)
    if given is None:
        return ("segment",)
    for value in given:
        if value not in GRANULARITIES:
            raise OpenAIError(f"`{name}` must be word or segment, not {value!r}", name, "invalid_value")
    if response_format != "verbose_json":
        raise OpenAIError(
            f"`{name}` needs `response_format` verbose_json, not {response_format}", name, "unsupported_value"
        )
    return tuple(given)


def _check_chunking(values: dict[str, list[str]]) -> None:
    name = "chunking_strategy"
    if any(value != "auto" for value in values.get(name, [])):
        raise OpenAIError(
            f"`{name}` must be auto: recordings of more than 30 s are cut at pauses, by one set of settings",
            name,
            "unsupported_value",
        )
