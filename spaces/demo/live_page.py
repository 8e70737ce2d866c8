# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The tab that transcribes while one speaks: what is shown, and what the recorder and programs call.

The page records by a script of its own (recorder.js) and sends numbered pieces, one request at a time, to one
endpoint. Gradio's streaming audio component sets the pace itself and keeps one piece, so that a slow answer costs
whatever was said meanwhile. The endpoint is Gradio's as well, without its queue: root path, login and hosts are dealt
with there, and no second server needs a port, which a Space would not give it.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from .events import show_errors
from .live import LiveSessions
from .recognizer import DemoError, Recognizer
from .transcript_view import hint_html, live_html


LIVE_HELP = """Press *Record* and speak. /Phonemes/ appear as the encoder hears them, a preview of the text follows,
and the final text comes when you pause."""
# A page that records sends something several times a second: one that is silent for so long was closed.
MAX_IDLE_SECONDS = 30.0
# The page's are four random numbers of 32 bits.
KEY_CHARACTERS = range(7, 65)
HEAR = "live_piece"
# The recorder's files, but for their suffixes.
RECORDER = Path(__file__).parent / "recorder"


class LiveHandlers:
    """What the tab's events call.

    Args:
        recognizer: Model and limits.
    """

    def __init__(self, recognizer: Recognizer):
        self.recognizer = recognizer
        self.sessions = LiveSessions(recognizer)

    @show_errors
    def hear(self, request: dict) -> dict:
        """Take a numbered piece of the page's microphone.

        Args:
            request: `key`: of the stream, made by the page; `number`: of the piece, from 0; `audio`: its samples, mono
                16-bit PCM (little endian) in base64; `rate` in Hz; `language` and `hotwords`, of which those of piece
                0 hold; `is_last`: whether the stream ends with this piece; `leave`: instead of all that, forget it.

        Returns:
            `html`: what was said so far; `num_samples`: of the stream so far.
        """
        key = _field(request, "key", str)
        if len(key) not in KEY_CHARACTERS:
            raise DemoError("The key of a live stream has 7 to 64 characters.")
        if request.get("leave"):
            self.sessions.leave(key)
            return {"html": "", "num_samples": 0}
        return self._hear(key, _field(request, "number", int), decode_pcm(_field(request, "audio", str)), request)

    def _hear(self, key: str, number: int, samples: np.ndarray, request: dict) -> dict[str, Any]:
        if number < 0:
            raise DemoError(f"The pieces of a live stream have a `number` from 0 on, not {number}.")
        rate, is_last = _field(request, "rate", int), bool(request.get("is_last"))
        if number == 0:
            language, hotwords = _field(request, "language", str), _field(request, "hotwords", str)
            self.sessions.start(rate, language, hotwords, key, MAX_IDLE_SECONDS)
        try:
            updates = self.sessions.push(key, samples, rate, number)
            updates = self.sessions.finish(key, number + 1) if is_last else updates
        except DemoError:
            # The same last piece, given before, may have ended the stream, perhaps just now: told as then.
            if not self.sessions.has_ended(key):
                raise
            updates, is_last = self.sessions.finish(key), True
        return {"html": live_html(updates, not is_last), "num_samples": self.sessions.num_samples(key)}

    @show_errors
    def listen(
        self,
        audio: tuple[int, np.ndarray] | None,
        key: str | None,
        language: str = "auto",
        hotwords: str = "",
        number: int | None = None,
    ) -> tuple[str | None, str]:
        """Take the next piece of a program's live stream: its key, and the text so far.

        Audio is Gradio's: its rate in Hz, and samples `(num_samples,)` or `(num_samples, channels)`. A `number`,
        from 0, makes sure that a piece that is sent again is taken once, and that none is missing.
        """
        if audio is None or not len(audio[1]):
            return key, live_html(self.sessions.transcript(key) if key else [], True)
        rate, samples = audio
        if key is None:
            if number:
                raise DemoError(f"A live stream begins with piece 0, not {number}: what was before it has ended.")
            # Gradio keeps the state of clients that are gone, some for ever: their places are given away.
            most = self.recognizer.settings.max_live_seconds
            key = self.sessions.start(rate, language, hotwords, max_idle=most + 60)
        updates = self.sessions.push(key, to_mono(samples, rate), rate, number)
        return key, live_html(updates, True)

    @show_errors
    def stop(self, key: str | None) -> tuple[None, str]:
        """End a live stream: its last words."""
        return None, live_html(self.sessions.finish(key) if key else [], False)


def _field(request: dict, name: str, kind: type) -> Any:
    value = request.get(name) if isinstance(request, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DemoError(f"A piece of a live stream needs `{name}` ({kind.__name__}), not {str(value)[:40]!r}.")
    return value


def decode_pcm(text: str) -> np.ndarray:
    """Samples `(num_samples,)` of base64 text with 16-bit PCM, little endian.

    Raises:
        DemoError: it is none.
    """
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<i2")
    except (binascii.Error, ValueError) as error:
        raise DemoError(f"A piece of a live stream is no 16-bit PCM in base64: {error}") from None


def to_mono(samples: np.ndarray, rate: int) -> np.ndarray:
    """Integer PCM `(num_samples,)` of `(num_samples,)` or `(num_samples, channels)` at `rate` Hz."""
    if samples.ndim == 1:
        return samples
    from entropy_asr.modeling.channels_entropy_asr import mix_channels

    return mix_channels(samples, rate).astype(samples.dtype)


def add_live(handlers: LiveHandlers, languages: list[tuple[str, str]]) -> None:
    """Add the tab's contents.

    Args:
        handlers: What they call.
        languages: Names and codes to choose from.
    """
    settings = handlers.recognizer.settings
    gr.Markdown(LIVE_HELP)
    with gr.Row():
        with gr.Column(min_width=300):
            recorder = gr.HTML(
                RECORDER.with_suffix(".html").read_text(encoding="utf-8"),
                js_on_load=RECORDER.with_suffix(".js").read_text(encoding="utf-8"),
                css_template=RECORDER.with_suffix(".css").read_text(encoding="utf-8"),
                elem_id="recorder",
                container=True,
                endpoint=HEAR,
                max_seconds=settings.max_live_seconds,
            )
            language = gr.Dropdown(languages, value="auto", label="Language")
            hotwords = gr.Textbox(label="Words to listen for", placeholder="names and terms, separated by commas")
        with gr.Column(min_width=300):
            waiting = hint_html("live", "What you say appears here.")
            view = gr.HTML(waiting, label="Live transcript", min_height=80, container=True, elem_id="live")
    # The script's button asks for the choices by this event, which no server gets.
    recorder.click(
        None,
        [language, hotwords],
        js="(language, hotwords) => { window.entropyAsrRecorder.start(language, hotwords); }",
        api_visibility="private",
    )
    # Answered beside the queue: a piece that waited for a recording's transcript would be told late.
    gr.api(handlers.hear, api_name=HEAR, api_visibility="undocumented", queue=False)
    _add_api(handlers, language, hotwords, view)


def _add_api(handlers: LiveHandlers, language: gr.Dropdown, hotwords: gr.Textbox, view: gr.HTML) -> None:
    """The same for programs, a call a piece: Gradio keeps the stream of each client."""
    settings = handlers.recognizer.settings
    key = gr.State(None, time_to_live=settings.max_live_seconds + 60, delete_callback=handlers.sessions.leave)
    audio = gr.Audio(type="numpy", visible=False, label="audio")
    number = gr.Number(None, precision=0, visible=False, label="number")
    quick = {"concurrency_id": "live", "concurrency_limit": settings.max_live, "show_progress": "hidden"}
    listen, stop = gr.Button(visible=False), gr.Button(visible=False)
    listen.click(handlers.listen, [audio, key, language, hotwords, number], [key, view], api_name="listen", **quick)
    stop.click(handlers.stop, [key], [key, view], api_name="stop", **quick)
