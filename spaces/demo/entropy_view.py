# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture of the entropy tab: which module takes how much uncertainty out of an utterance.

HTML and SVG instead of a bitmap: text stays sharp and selectable, and takes its colours from the page's theme.
"""

import base64
import html
import io
import math

import numpy as np

from entropy_asr.modeling.languages_entropy_asr import written_languages

from .recognizer import SAMPLING_RATE, Explanation
from .transcript_view import flags_html


# Geometry of the plots over time, in pixels; they are drawn wider where the page is.
LEFT, RIGHT, TOP = 64, 16, 8
SPECTROGRAM_HEIGHT, ROW_HEIGHT, MAX_ROWS, ENTROPY_HEIGHT, AXIS_HEIGHT = 150, 17, 3, 110, 42
MIN_PLOT_WIDTH, PIXELS_PER_SECOND = 240, 110
# Steps of the time axis in seconds, and the room that a tick's label needs.
TIME_STEPS, MIN_TICK_PIXELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0), 34
FFT_SIZE, MEL_BANDS, MAX_HERTZ = 512, 80, 8000
HERTZ_TICKS = (0, 500, 1000, 2000, 4000, 8000)
# Louder than the loudest band by less than this is drawn.
DYNAMIC_RANGE_DB = 70
MAX_TOKENS = 80
SOURCES = {
    "prior": ("Text alone", "the language model guesses, without any audio"),
    "encoder": ("Phonemes", "what the encoder heard; the language model only chooses the spelling"),
    "full": ("Full model", "the language model reads the encoder's output"),
}
TOTALS = {"uniform": ("Nothing known", "every token of the vocabulary is as likely"), **SOURCES}


def explanation_html(explanation: Explanation) -> str:
    """The whole picture of one utterance."""
    return f'<div class="entropy">{_summary(explanation)}{_time_plots(explanation)}{_token_bars(explanation)}</div>'


# the sum


def _summary(explanation: Explanation) -> str:
    """Nats of the whole transcript that each leaves, as bars on one scale, and the sentence that they say."""
    totals = {name: explanation.ledger.totals()[name] for name in TOTALS}
    finite = [total for total in totals.values() if math.isfinite(total)]
    scale, broken = max([*finite, 1e-9]), explanation.ledger.is_prior_broken
    marks = {
        "prior": "a broken prior: it guesses worse than one that knows nothing" if broken else "",
        "encoder": "the text is not in the sound: it says less than text alone" if _is_unheard(explanation) else "",
    }
    rows = "".join(_total_row(name, total, scale, marks.get(name, "")) for name, total in totals.items())
    whose = "The model writes" if explanation.is_recognized else "You say it is"
    written = written_languages(explanation.text, explanation.language)
    flags = flags_html(explanation.flags, explanation.language, written)
    return (
        f"<section><h3>How uncertain is the text?</h3>{flags}<p>{whose}: "
        f'<b class="text">{html.escape(explanation.text)}</b> <span class="caption">(confidence '
        f"{100 * explanation.confidence:.0f} %: how far the sound supports it)</span></p>"
        f'<p class="verdict">{verdict_line(totals, broken)}</p>{_whose_figures(explanation)}'
        f'<div class="totals">{rows}</div><p class="caption">How surprising the whole text is to each of them (its '
        "surprisal), in nats: the shorter the bar, the surer.</p></section>"
    )


def verdict_line(totals: dict[str, float], prior_is_broken: bool) -> str:
    """What the sums say in words, compared with the better of two guesses: the language model's, and nobody's."""
    both, least = totals["full"], min(totals["uniform"], totals["prior"])
    prior = ""
    if prior_is_broken:
        prior = (
            " Without audio the language model is a broken prior: it guesses this text worse than one that knows "
            "nothing, so the comparison is with knowing nothing."
        )
    if both >= least:
        return (
            "Hearing the audio makes the model no surer of this text: it does not come from the sound, or the sound "
            f"does not support it.{prior}"
        )
    share = f"{100 * (1 - both / least):.0f} %"
    if prior_is_broken:
        return f"With the audio, {share} of the uncertainty about this text is gone.{prior}"
    return f"Hearing the audio takes away {share} of the language model's uncertainty about this text."


def _whose_figures(explanation: Explanation) -> str:
    """Of the model's own text: that its figures are no proof. A large share would else contradict a low confidence."""
    doubt = "low_agreement" in explanation.flags
    if explanation.is_recognized:
        guess = "guess, which the sound does not support" if doubt else "guess"
        words = (
            f"These figures are about the model's own {guess}: they tell how sure it is of itself, not whether it is "
            "right. Type what was said to see those of the true text."
        )
    elif doubt:
        words = "These figures are about the text that you gave, which the sound does not support."
    else:
        return ""
    return f'<p class="whose">{words}</p>'


def _is_unheard(explanation: Explanation) -> bool:
    """Whether the encoder's bar is longer than that of text alone, which would else look like an allocation."""
    return explanation.ledger.is_text_unheard and not explanation.ledger.is_impossible


def _total_row(name: str, total: float, scale: float, mark: str) -> str:
    """`mark`: what is wrong with this sum, if anything."""
    label, meaning = TOTALS[name]
    names = f"bar {name}"
    if mark:
        meaning, names = mark, f"{names} broken" if name == "prior" else names
    width = 100 * min(1.0, total / scale)
    shown = f"{total:.1f} nats" if math.isfinite(total) else "impossible: too few frames"
    return (
        f'<div class="label" title="{meaning}">{label}<small>{meaning}</small></div><div class="track">'
        f'<div class="{names}" style="width:{width:.2f}%"></div></div><div class="value">{shown}</div>'
    )


# over time


def _time_plots(explanation: Explanation) -> str:
    """Spectrogram, phonemes and frame entropy on one time axis, in seconds.

    The plot is as wide as the page, so times are percentages; labels have room at the least width, below which the
    plot scrolls. Axes lie left of it, at negative places.
    """
    duration = len(explanation.waveform) / SAMPLING_RATE
    width = max(MIN_PLOT_WIDTH, round(PIXELS_PER_SECOND * duration))
    entropy_top = TOP + SPECTROGRAM_HEIGHT + MAX_ROWS * ROW_HEIGHT + 14
    bottom = entropy_top + ENTROPY_HEIGHT
    parts = [
        _spectrogram(explanation.waveform),
        _phonemes(explanation, duration, width),
        _entropy(explanation, duration, entropy_top),
        _time_axis(duration, width, bottom),
    ]
    return (
        "<section><h3>What the encoder hears</h3>"
        f'<div class="scroll"><div class="plot" style="min-width:{LEFT + width + RIGHT}px;padding:0 {RIGHT}px 0 '
        f'{LEFT}px"><svg role="img" aria-label="Spectrogram, phonemes and frame entropy over time" width="100%" '
        f'height="{bottom + AXIS_HEIGHT}" overflow="visible">{"".join(parts)}</svg></div></div>'
        '<p class="caption">Top: the sound. Middle: the phonemes that the encoder hears. Bottom: how unsure it is of '
        "them from moment to moment (the entropy of its guess). Near zero it is sure, most often that nothing new has "
        f"begun. At the dashed line, {explanation.max_entropy:.1f} nats, all of its "
        f"{explanation.log_probs.shape[-1]} symbols are equally likely to it.</p></section>"
    )


def _spectrogram(waveform: np.ndarray) -> str:
    image = base64.b64encode(spectrogram_png(waveform)).decode()
    ticks = [
        (TOP + SPECTROGRAM_HEIGHT * (1 - _mel(hertz) / _mel(MAX_HERTZ)), f"{hertz / 1000:g}") for hertz in HERTZ_TICKS
    ]
    return (
        f'<image href="data:image/png;base64,{image}" x="0" y="{TOP}" width="100%" '
        f'height="{SPECTROGRAM_HEIGHT}" preserveAspectRatio="none"/>'
        + _vertical_axis(ticks, "Frequency (kHz)", TOP, SPECTROGRAM_HEIGHT)
    )


def spectrogram_png(waveform: np.ndarray) -> bytes:
    """Log-mel spectrogram of `(num_samples,)` samples, 0 to 8 kHz, as a PNG with low frequencies at the bottom."""
    import torch
    from matplotlib import colormaps
    from PIL import Image
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    # The ends are mirrored, half a window wide; what is not longer than that (16 ms) lies between zeros instead.
    mode = "reflect" if len(waveform) > FFT_SIZE // 2 else "constant"
    transform = MelSpectrogram(
        SAMPLING_RATE, n_fft=FFT_SIZE, win_length=400, hop_length=160, n_mels=MEL_BANDS, pad_mode=mode
    )
    decibels = AmplitudeToDB(top_db=DYNAMIC_RANGE_DB)(transform(torch.from_numpy(waveform))).numpy()
    low, high = decibels.min(), decibels.max()
    scaled = (decibels - low) / max(high - low, 1e-9)
    pixels = (255 * colormaps["magma"](scaled[::-1])[..., :3]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def _mel(hertz: float) -> float:
    """The HTK scale, as torchaudio's filters."""
    return 2595 * math.log10(1 + hertz / 700)


def _phonemes(explanation: Explanation, duration: float, width: float) -> str:
    """Symbols at the time of their frames, in the first of a few rows that has room."""
    top = TOP + SPECTROGRAM_HEIGHT
    ends, parts = [-math.inf] * MAX_ROWS, []
    for symbol, start, end in explanation.phonemes:
        share = min(1.0, (start + end) / 2 / duration)
        half = 4.5 * len(symbol) + 3
        row = next((row for row in range(MAX_ROWS) if ends[row] <= share * width - half), None)
        if row is None:
            continue  # no room: the entropy below still shows the frame
        ends[row] = share * width + half
        y, x = top + (row + 1) * ROW_HEIGHT - 2, f"{100 * share:.2f}%"
        parts.append(f'<line class="stem" x1="{x}" x2="{x}" y1="{top}" y2="{y - 12}"/>')
        parts.append(f'<text class="phoneme" x="{x}" y="{y}">{html.escape(symbol)}</text>')
    middle = top + MAX_ROWS * ROW_HEIGHT / 2
    return f'<text class="tick" x="-8" y="{middle + 4}" text-anchor="end">heard</text>' + "".join(parts)


def _entropy(explanation: Explanation, duration: float, top: float) -> str:
    """Area under the entropy of each frame, drawn at the frame's middle."""
    entropies, highest = explanation.frame_entropies, explanation.max_entropy * 1.05

    def y(nats: float) -> float:
        return ENTROPY_HEIGHT * (1 - nats / highest)

    times = [min((index + 0.5) * explanation.seconds_per_frame, duration) for index in range(len(entropies))]
    xs = [1000 * time / duration for time in times]
    points = " ".join(f"{x:.2f},{y(nats):.1f}" for x, nats in zip(xs, entropies, strict=True))
    area = f"{xs[0]:.2f},{ENTROPY_HEIGHT} {points} {xs[-1]:.2f},{ENTROPY_HEIGHT}"
    limit = top + y(explanation.max_entropy)
    ticks = [(top + y(nats), str(nats)) for nats in range(0, int(highest) + 1)]
    return (
        f'<svg y="{top}" width="100%" height="{ENTROPY_HEIGHT}" viewBox="0 0 1000 {ENTROPY_HEIGHT}" '
        f'preserveAspectRatio="none"><polygon class="area" points="{area}"/><polyline class="curve" '
        f'points="{points}"/></svg><line class="limit" x1="0" x2="100%" y1="{limit:.1f}" y2="{limit:.1f}"/>'
        + _vertical_axis(ticks, "Entropy (nats)", top, ENTROPY_HEIGHT)
    )


def _vertical_axis(ticks: list[tuple[float, str]], title: str, top: float, height: float) -> str:
    parts = [f'<line class="axis" x1="0" x2="0" y1="{top}" y2="{top + height}"/>']
    last = math.inf
    for y, text in sorted(ticks, reverse=True):
        if last - y < 13:
            continue
        last = y
        parts.append(f'<line class="axis" x1="-4" x2="0" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="-7" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    x, middle = 14 - LEFT, top + height / 2
    parts.append(f'<text class="title" transform="rotate(-90 {x} {middle})" x="{x}" y="{middle + 4}">{title}</text>')
    return "".join(parts)


def _time_axis(duration: float, width: float, y: float) -> str:
    """Ticks in seconds that stand apart at the least width."""
    steps = [step for step in TIME_STEPS if step / duration * width >= MIN_TICK_PIXELS]
    step = steps[0] if steps else TIME_STEPS[-1]
    parts = [f'<line class="axis" x1="0" x2="100%" y1="{y}" y2="{y}"/>']
    for index in range(int(duration / step + 1e-6) + 1):
        x = f"{100 * index * step / duration:.2f}%"
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{y}" y2="{y + 4}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{y + 17}" text-anchor="middle">{index * step:g}</text>')
    parts.append(f'<text class="title" x="120" y="{y + 35}">Time (s)</text>')
    return "".join(parts)


# token by token


def _token_bars(explanation: Explanation) -> str:
    """For each token of the transcript, in a row: its surprisal for the LLM, the encoder, and both."""
    ledger = explanation.ledger
    shown = min(len(ledger.tokens), MAX_TOKENS)
    values = {name: getattr(ledger, name)[:shown] for name in SOURCES}
    finite = [value for row in values.values() for value in row if math.isfinite(value)]
    scale = _round_up(max(finite, default=1.0))
    rows = "".join(
        _token_row(
            _token_label(token, position == len(ledger.tokens) - 1), [values[n][position] for n in SOURCES], scale
        )
        for position, token in enumerate(ledger.tokens[:shown])
    )
    left_out = len(ledger.tokens) - shown
    more = f'<p class="caption">{left_out} further tokens are not drawn.</p>' if left_out else ""
    legend = "".join(f'<span><i class="{name}"></i>{label}</span>' for name, (label, _) in SOURCES.items())
    return (
        f'<section><h3>Token by token</h3><p class="legend">{legend}</p><div class="tokens">'
        f'<div class="label head">Token</div>{_scale(scale)}{rows}</div>{more}'
        '<p class="caption">Tokens are the pieces in which the language model writes. Long bars are surprises, after '
        'the tokens before. Where "text alone" is long and "phonemes" short, the encoder decided; where '
        '"phonemes" is long and "full model" short, the language model did. ⏎ is the end of the text.</p></section>'
    )


def _scale(scale: float) -> str:
    marks = "".join(f'<span style="left:{25 * quarter}%">{scale * quarter / 4:g}</span>' for quarter in range(5))
    return f'<div class="scale"><b>Surprisal (nats)</b><div class="marks">{marks}</div></div>'


def _token_row(label: str, values: list[float], scale: float) -> str:
    bars = []
    for name, value in zip(SOURCES, values, strict=True):
        title = f"{SOURCES[name][0]}: " + (f"{value:.2f} nats" if math.isfinite(value) else "impossible")
        width = 100 * min(1.0, value / scale)
        bars.append(f'<div class="bar {name}" style="width:{width:.2f}%" title="{title}"></div>')
    return f'<div class="label">{label}</div><div class="bars">{"".join(bars)}</div>'


def _token_label(token: str, is_last: bool) -> str:
    if is_last:
        return "⏎"
    # A space would not be seen, nor bytes of a character that is cut into several tokens.
    return html.escape(token.replace(" ", "·").replace("\n", "↵")) or "<i>(rest of a character)</i>"


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8, ... that quarters can be read from."""
    return float(2 ** math.ceil(math.log2(max(value, 1.0))))
