# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts as HTML: words that light up while the audio plays, how sure they are, and what live streams say."""

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote


if TYPE_CHECKING:
    from entropy_asr.modeling.streaming_entropy_asr import StreamingUpdate

# A word's confidence is the mean posterior probability of its phonemes: below these it is marked.
UNSURE, UNSUPPORTED = 0.5, 0.2
FLAG_MESSAGES = {
    "no_speech": "No speech was heard in this recording, so there is no text.",
    "length_limit": "The text was stopped at its length limit: it may be a loop that has no end.",
    "low_agreement": "The sound does not support this text: the encoder heard something else. Do not rely on it.",
}
LEGEND = (
    '<p class="legend"><span class="word">sure</span> <span class="word unsure">unsure</span> '
    '<span class="word unsupported">not supported by the sound</span></p>'
)
# Media events do not bubble: they are caught on their way down. Frames, since `timeupdate` comes four times a second.
PLAYER_SCRIPT = """
const mark = (player) => {
  const now = player.currentTime;
  element.querySelectorAll('[data-start]').forEach((word) => {
    word.classList.toggle('spoken', word.dataset.start <= now && now < word.dataset.end);
  });
};
const follow = (player) => {
  mark(player);
  if (!player.paused && player.isConnected) requestAnimationFrame(() => follow(player));
};
element.addEventListener('play', (event) => follow(event.target), true);
element.addEventListener('seeked', (event) => mark(event.target), true);
const jump = (event) => {
  const word = event.target.closest('[data-start]');
  const player = element.querySelector('audio');
  if (word && player) { player.currentTime = word.dataset.start; player.play(); }
};
element.addEventListener('click', jump);
element.addEventListener('keydown', (event) => { if (event.key === 'Enter') jump(event); });
"""


def transcript_html(result: dict[str, Any], path: str) -> str:
    """Player, words and verdict of a transcribed recording.

    Args:
        result: From [`Recognizer.transcribe`].
        path: The recording, in Gradio's cache.
    """
    flags = "".join(f'<p class="flag" role="alert">⚠ {FLAG_MESSAGES[flag]}</p>' for flag in result["flags"])
    words = "".join(map(_word, result["chunks"]))
    text = f'<p class="words">{words}</p>{LEGEND}' if words else ""
    facts = [f"{result['duration']:.1f} s of audio"]
    if result["text"]:
        facts.insert(0, f"confidence <b>{100 * result['confidence']:.0f} %</b> (how far the sound supports the text)")
    # Relative to the page: it works behind any proxy.
    player = f'<audio controls preload="metadata" src="gradio_api/file={quote(path)}"></audio>'
    return f'<div class="transcript">{flags}{player}{text}<p class="facts">{" · ".join(facts)}</p></div>'


def _word(chunk: dict[str, Any]) -> str:
    text, (start, end) = html.escape(chunk["text"]), chunk["timestamp"]
    confidence = chunk["confidence"]
    names = ["word"]
    if confidence is not None and confidence < UNSURE:
        names.append("unsupported" if confidence < UNSUPPORTED else "unsure")
    title = [] if confidence is None else [f"confidence {100 * confidence:.0f} %"]
    times = ""
    if start is not None:
        title.insert(0, f"{start:.2f} to {end:.2f} s")
        times = f' data-start="{start}" data-end="{end}" tabindex="0"'
    leading = text[: len(text) - len(text.lstrip())]
    return f'{leading}<span class="{" ".join(names)}"{times} title="{", ".join(title)}">{text.lstrip()}</span>'


def hint_html(view: str, text: str) -> str:
    """Small print where a view ("transcript", "live") has nothing to show yet."""
    return f'<div class="{view}"><p class="hint">{html.escape(text)}</p></div>'


def live_html(updates: "Iterable[StreamingUpdate]", is_open: bool) -> str:
    """Segments of a live stream: what is final, and what is heard so far.

    Args:
        updates: The last update of each segment, in order.
        is_open: Whether the stream goes on.
    """
    lines = []
    for update in updates:
        time = f'<span class="time">{update.start:.1f} to {update.end:.1f} s</span>'
        text = html.escape(update.text or "")
        if update.is_final:
            lines.append(f'<p class="segment final">{time} {text or "<i>no speech</i>"}</p>')
        else:
            phonemes = f'<span class="phonemes" lang="en-fonipa">/{html.escape(update.phonemes)}/</span>'
            lines.append(f'<p class="segment partial">{time} {text} {phonemes}</p>')
    if not lines:
        lines = [f'<p class="hint">{"Listening …" if is_open else "Nothing was said."}</p>']
    return f'<div class="live" aria-live="polite">{"".join(lines)}</div>'
