# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the pipeline is asked for a request, and its result in each of OpenAI's formats.

Of a segment in a verbose answer, `avg_logprob` is null, and `no_speech_prob` a verdict, 1 or 0.
"""

import math
import zlib
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from entropy_asr.modeling.guards_entropy_asr import NO_SPEECH
from entropy_asr.modeling.languages_entropy_asr import AUTOMATIC, LANGUAGES, NON_SPEECH
from entropy_asr.modeling.subtitles_entropy_asr import FORMATS as SUBTITLES
from entropy_asr.modeling.subtitles_entropy_asr import make_cues

from .openai_request import TranscriptionRequest


MEDIA_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}


def pipeline_options(request: TranscriptionRequest, times_words: bool) -> dict[str, Any]:
    """Arguments of the pipeline that honour a request, but for its hints.

    Args:
        request: The request.
        times_words: Whether words can be timed; if not, subtitles have the times of segments.
    """
    options: dict[str, Any] = {"language": request.language or AUTOMATIC}
    if request.temperature:
        # The whole distribution: a checkpoint's own bounds would make it another one.
        sampling = {"do_sample": True, "temperature": request.temperature, "top_k": 0, "top_p": 1.0}
        options["generate_kwargs"] = sampling
    if request.response_format in SUBTITLES:
        options["return_timestamps"] = "word" if times_words else True
    elif request.response_format == "verbose_json":
        options["return_timestamps"] = "word" if "word" in request.granularities else None
        if "segment" in request.granularities:
            options |= {"return_segments": True, "return_flags": True}
        options["return_language"] = request.language is None
    return options


def make_answer(request: TranscriptionRequest, result: dict[str, Any], seconds: float) -> Response:
    """The pipeline's result as it was asked for.

    Args:
        request: The request.
        result: Of the pipeline, with the options of [`pipeline_options`]; its segments have `tokens`.
        seconds: Length of the recording.
    """
    text, name = result["text"], request.response_format
    if name == "text":
        return PlainTextResponse(f"{text}\n")
    if name in SUBTITLES:
        return Response(
            SUBTITLES[name](make_cues(result["chunks"], seconds)), media_type=f"{MEDIA_TYPES[name]}; charset=utf-8"
        )
    usage = {"type": "duration", "seconds": math.ceil(seconds)}
    if name == "json":
        return JSONResponse({"text": text, "usage": usage})
    answer: dict[str, Any] = {
        "task": "transcribe",
        **spoken_language(request, result),
        "duration": round(seconds, 3),
        "text": text,
    }
    if "word" in request.granularities:
        answer["words"] = _words(result["chunks"], seconds)
    if "segment" in request.granularities:
        answer["segments"] = [
            {**_segment(number, segment, request.temperature), **spoken_language(request, segment)}
            for number, segment in enumerate(result["segments"])
        ]
    return JSONResponse({**answer, "usage": usage})


def spoken_language(request: TranscriptionRequest, result: dict[str, Any]) -> dict[str, Any]:
    """Name of the language in small letters: the one asked for, or the one that was detected, with its probability.

    It is "none" where nobody speaks.
    """
    if request.language is not None:
        return {"language": LANGUAGES[request.language].name.lower()}
    if result["language"] is None:
        return {"language": NON_SPEECH}
    detected = LANGUAGES[result["language"]].name.lower()
    return {"language": detected, "language_probability": round(result["language_probability"], 4)}


def _words(chunks: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """Words with their times; one that the audio has no room for begins and ends where the one before it ends."""
    words, last = [], 0.0
    for chunk in chunks:
        start, end = (last if time is None else min(time, seconds) for time in chunk["timestamp"])
        last = end
        words.append({"word": chunk["text"].strip(), "start": round(start, 3), "end": round(end, 3)})
    return words


def _segment(number: int, segment: dict[str, Any], temperature: float) -> dict[str, Any]:
    text, (start, end) = segment["text"], segment["timestamp"]
    encoded = text.encode("utf-8")
    return {
        "id": number,
        "seek": round(100 * start),  # in hundredths of a second, as Whisper counts
        "start": round(start, 3),
        "end": round(end, 3),
        "text": text,
        "tokens": segment["tokens"],
        "temperature": temperature,
        "avg_logprob": None,
        "compression_ratio": round(len(encoded) / len(zlib.compress(encoded)), 3),
        "no_speech_prob": float(NO_SPEECH in segment["flags"]),
    }
