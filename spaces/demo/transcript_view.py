# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transcripts as HTML: words that light up while the audio plays, how sure they are, and what live streams say."""

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, language_name


if TYPE_CHECKING:
    from entropy_asr.modeling.streaming_entropy_asr import StreamingUpdate

# A word's confidence is the mean posterior probability of its phonemes: below these it is marked.
UNSURE, UNSUPPORTED = 0.5, 0.2
FLAG_MESSAGES = {
    "no_speech": "No speech was heard in this recording, so there is no text.",
    "length_limit": "The text was cut off at its length limit. It may repeat itself without end.",
    "low_agreement": "The sound does not support this text: the encoder heard something else. Do not rely on it.",
    "other_script": "You asked for {asked}, but the model wrote {written}. Do not rely on this text.",
}
LEGEND = (
    '<p class="legend"><span class="word">sure</span> <span class="word unsure">unsure</span> '
    '<span class="word unsupported">not supported by the sound</span></p>'
)
# Hotwords that the page names one by one; of more it tells the number.
MAX_NAMED = 20
# Words follow the page's one player, that of the recording, as long as it plays the recording that they are of. Media
# events do not bubble: they are caught on their way down. Frames, since `timeupdate` comes four times a second.
PLAYER_SCRIPT = """
const words = () => element.querySelectorAll('[data-start]');
const player = () => {
  const path = element.querySelector('[data-recording]')?.dataset.recording;
  const players = [...document.querySelectorAll('#recording audio')];
  return path && players.find((audio) => decodeURIComponent(audio.currentSrc).endsWith(path));
};
const mark = () => {
  const now = player()?.currentTime;
  words().forEach((word) => {
    word.classList.toggle('spoken', word.dataset.start <= now && now < word.dataset.end);
  });
};
let frame = 0;
const follow = () => {
  cancelAnimationFrame(frame);
  mark();
  if (player() && !player().paused) frame = requestAnimationFrame(follow);
};
// "timeupdate" as well: the audio may play already when the words come.
for (const name of ['play', 'seeked', 'timeupdate']) {
  document.addEventListener(name, (event) => { if (event.target === player()) follow(); }, true);
}
const jump = (event) => {
  const word = event.target.closest('[data-start]');
  const audio = player();
  if (!word || !audio) return;
  if (word.classList.contains('spoken') && !audio.paused) { audio.pause(); return; }
  audio.currentTime = word.dataset.start;
  audio.play();
};
element.addEventListener('click', jump);
element.addEventListener('keydown', (event) => { if (event.key === 'Enter') jump(event); });
"""


def transcript_html(result: dict[str, Any], path: str) -> str:
    """Words and verdict of a transcribed recording; the words follow its player.

    Args:
        result: From [`Recognizer.transcribe`].
        path: The recording, in Gradio's cache.
    """
    words = "".join(map(_word, result["chunks"]))
    text = f'<p class="words" lang="{_html_language(result)}">{words}</p>{LEGEND}' if words else ""
    facts = [_language_fact(result)] if result["text"] else []
    if result["hotwords"]:
        facts.append(_hotword_fact(result))
    if result["text"]:
        facts.append(f"Confidence <b>{100 * result['confidence']:.0f} %</b>: how far the sound supports the text")
    facts.append(f"{result['duration']:.1f} s of audio")
    items = "".join(f"<li>{fact}</li>" for fact in facts)
    flags = flags_html(result["flags"], result["language"], result["written_languages"])
    return (
        f'<div class="transcript" data-recording="{html.escape(path)}">{flags}{text}'
        f'<ul class="facts">{items}</ul></div>'
    )


def flags_html(flags: list[str], language: str, written: list[str]) -> str:
    """What a reader must know before the text.

    Args:
        flags: Of the text.
        language: That was asked for, or "auto".
        written: Languages that the text is written in.
    """
    names = {
        "asked": language_name(language),
        "written": " and ".join(LANGUAGES[code].script for code in written),
    }
    return "".join(f'<p class="flag" role="alert">⚠ {FLAG_MESSAGES[flag].format(**names)}</p>' for flag in flags)


def _html_language(result: dict[str, Any]) -> str:
    return result["written_languages"][0] if len(result["written_languages"]) == 1 else ""


def _language_fact(result: dict[str, Any]) -> str:
    """The language that was asked for, or that the model decided on, as its text shows."""
    asked, written = result["language"], result["written_languages"]
    if asked in LANGUAGES:
        return f"Language: <b>{language_name(asked)}</b>, as you asked"
    if not written:
        return "Language: the text does not show which one the model heard"
    return f"Language: <b>{' and '.join(map(language_name, written))}</b>, as the model decided"


def _hotword_fact(result: dict[str, Any]) -> str:
    """Which hotwords were heard, and of those which the text does not have."""
    count, found = len(result["hotwords"]), result["hotwords_found"]
    if not found:
        return f"Hotwords: none of your {count} was heard" if count > 1 else "Hotwords: yours was not heard"
    text = result["text"].casefold()
    unwritten = [word for word in found if word.casefold() not in text]
    missed = f", heard but not written: {_named(unwritten)}" if unwritten else ""
    return f"Hotwords found: {_named(found, 'b')} ({len(found)} of {count}){missed}"


def _named(words: list[str], tag: str = "i") -> str:
    shown = ", ".join(f"<{tag}>{html.escape(word)}</{tag}>" for word in words[:MAX_NAMED])
    return f"{shown} and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else shown


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
