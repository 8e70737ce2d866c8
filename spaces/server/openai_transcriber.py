# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pipeline behind OpenAI's requests: one thread that takes one after the other, ends those that nobody waits for
any more, and tells text as it is written."""

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from entropy_asr.modeling import EntropyASRPipeline
from entropy_asr.modeling.audio import AudioError, audio_blocks, audio_duration
from entropy_asr.modeling.prompts_entropy_asr import TOKENIZER_LOCK
from entropy_asr.modeling.results_entropy_asr import join_texts
from entropy_asr.modeling.vad_entropy_asr import SAMPLING_RATE

from .openai_answers import pipeline_options
from .openai_errors import OpenAIError
from .openai_request import TranscriptionRequest


class AbandonedError(Exception):
    """Nobody waits for the text any more."""


class _EndWhenAbandoned(StoppingCriteria):
    """Ends the generation of a text that nobody waits for."""

    def __init__(self, is_abandoned: Callable[[], bool]):
        self.is_abandoned = is_abandoned

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        if self.is_abandoned():
            raise AbandonedError
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class TextDeltas(BaseStreamer):
    """Turns the tokens of one segment after the other into pieces of the recording's text.

    Joined as they are, the pieces are the text that the pipeline gives in the end.

    Args:
        decode: Tokens to text.
        emit: Called with each piece.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], emit: Callable[[str], None]):
        self.decode, self.emit = decode, emit
        self.sent = ""
        self._segments: list[str] = []
        self._tokens: list[int] = []
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt `(1, L)`, or the next token `(1,)`."""
        if self._is_prompt:
            self._is_prompt = False
            return
        self._tokens += value.flatten().tolist()
        text = self.decode(self._tokens).strip()
        # Half a character is none yet, and which blank comes before a segment is known by its first letter.
        if not text.endswith("\ufffd") and any(map(str.isalnum, text)):
            self._emit(join_texts([*self._segments, text]))

    def end(self) -> None:
        """The segment is complete."""
        self._segments.append(self.decode(self._tokens).strip())
        self._tokens, self._is_prompt = [], True
        self._emit(join_texts(self._segments))

    def finish(self, text: str) -> None:
        """Tell what is left of the whole text."""
        self._emit(text)

    def _emit(self, text: str) -> None:
        if len(text) > len(self.sent) and text.startswith(self.sent):
            piece = text[len(self.sent) :]
            self.sent = text
            self.emit(piece)


class Job:
    """One request on its way through the model.

    Args:
        request: What is asked for.
        audio: Bytes of the file.
        emit: Takes pieces of the text while it is written; None: it is not streamed.
    """

    def __init__(self, request: TranscriptionRequest, audio: bytes, emit: Callable[[str], None] | None = None):
        self.request, self.audio, self.emit = request, audio, emit
        self.abandoned = threading.Event()
        self.result: Future[dict[str, Any]] | None = None

    def abandon(self) -> None:
        """Let the model go on to the next one."""
        self.abandoned.set()
        if self.result is not None and self.result.cancel():
            # What waits in the executor stays there until its turn: it must not keep a file that counts no more.
            self.request, self.audio = TranscriptionRequest(), b""


class Transcriber:
    """Runs the pipeline in a thread of its own.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: EntropyASRPipeline):
        self.pipeline = pipeline
        self._closing = threading.Event()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="entropy-asr")
        try:
            pipeline.decoder.check_outputs("word", None)
            self.why_no_words = None
        except (ValueError, ImportError) as error:
            self.why_no_words = str(error)

    def check(self, request: TranscriptionRequest) -> None:
        """Refuse, before anything is read, what this model cannot do.

        Raises:
            OpenAIError: times of words where they cannot be had.
        """
        if "word" in request.granularities and self.why_no_words is not None:
            raise OpenAIError(
                f"there are no times of words here: {self.why_no_words}",
                "timestamp_granularities",
                "unsupported_value",
            )

    def submit(self, job: Job) -> Future[dict[str, Any]]:
        """Transcribe when those before it are done.

        Returns:
            The pipeline's result, whose segments have `tokens` too, or an [`OpenAIError`].
        """
        job.result = self._executor.submit(self._transcribe, job)
        return job.result

    def close(self) -> None:
        """End what is running; nothing else begins."""
        self._closing.set()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _transcribe(self, job: Job) -> dict[str, Any]:
        def is_abandoned() -> bool:
            return job.abandoned.is_set() or self._closing.is_set()

        if is_abandoned():
            raise AbandonedError
        options = pipeline_options(job.request, self.why_no_words is None)
        generating = options.setdefault("generate_kwargs", {})
        generating["stopping_criteria"] = StoppingCriteriaList([_EndWhenAbandoned(is_abandoned)])
        options["hotwords"] = self._index(job.request.hints)
        options["adapter"] = job.request.adapter
        deltas = None
        if job.emit is not None:
            deltas = TextDeltas(self.pipeline.processor.decode, job.emit)
            if self.pipeline.model.generation_config.num_beams in (None, 1):  # beams have no text before their end
                generating["streamer"], options["batch_size"] = deltas, 1
        try:
            result = self.pipeline({"bytes": job.audio, "path": job.request.name}, **options)
        except AudioError as error:
            raise unreadable(error, job.request.name) from error
        if deltas is not None:
            deltas.finish(result["text"])
        tokenizer = self.pipeline.processor.tokenizer
        for segment in result.get("segments", ()):
            with TOKENIZER_LOCK:  # the thread of streams may use it meanwhile
                segment["tokens"] = tokenizer(segment["text"], add_special_tokens=False)["input_ids"]
        return result

    def _index(self, hints: tuple[str, ...]) -> Any:
        try:
            return self.pipeline.decoder.index_hotwords(list(hints)) if hints else None
        except (ValueError, ImportError) as error:
            raise OpenAIError(f"hints cannot be listened for: {error}", "prompt", "invalid_hints") from error


def unreadable(error: AudioError, name: str) -> OpenAIError:
    """What a client is told of a file that cannot be read: by its name, for nobody knows the number of its bytes."""
    return OpenAIError(re.sub(r"^audio of \d+ bytes", lambda match: name, str(error)), "file", "invalid_audio")


def measured_seconds(audio: bytes, name: str, max_seconds: float) -> float:
    """Length of a recording; decoded in blocks, no further than allowed, where its header does not state it.

    Args:
        audio: Bytes of the file.
        name: What messages call it.
        max_seconds: Longest recording.

    Raises:
        OpenAIError: it cannot be read, or is longer.
    """
    source = {"bytes": audio, "path": name}
    seconds = audio_duration(source)
    try:
        if seconds is None:
            seconds = 0.0
            for block in audio_blocks(source):
                seconds += len(block) / SAMPLING_RATE
                if seconds > max_seconds:
                    break
    except AudioError as error:
        raise unreadable(error, name) from error
    if seconds > max_seconds:
        raise OpenAIError(
            f"{name}: lasts longer than the {max_seconds:g} seconds that this server takes", "file", "audio_too_long"
        )
    return seconds
