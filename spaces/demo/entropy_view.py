# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture of the entropy tab: which module takes how much uncertainty out of an utterance.

HTML and SVG instead of a bitmap: text stays sharp and selectable, and takes its colours from the page's theme.
"""

import base64
import html
import io
import math
from collections.abc import Callable

import numpy as np

from .recognizer import SAMPLING_RATE, Explanation


# Geometry of the plots over time, in pixels.
LEFT, RIGHT, TOP = 64, 16, 8
SPECTROGRAM_HEIGHT, ROW_HEIGHT, MAX_ROWS, ENTROPY_HEIGHT, AXIS_HEIGHT = 150, 17, 3, 110, 42
MIN_PLOT_WIDTH, PIXELS_PER_SECOND = 820, 110
FFT_SIZE, MEL_BANDS, MAX_HERTZ = 512, 80, 8000
HERTZ_TICKS = (0, 500, 1000, 2000, 4000, 8000)
# Louder than the loudest band by less than this is drawn.
DYNAMIC_RANGE_DB = 70
MAX_TOKENS = 80
SOURCES = {
    "llm_alone": ("Language model alone", "guesses the text without hearing anything"),
    "encoder_alone": ("Encoder alone", "phonemes of the text, no language model; spelling costs it nothing"),
    "full": ("Both", "the language model with the audio"),
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
    scale = max([*finite, 1e-9])
    rows = "".join(_total_row(name, total, scale) for name, total in totals.items())
    whose = "The model writes" if explanation.is_recognized else "You say it is"
    return (
        f'<section><h3>How uncertain is the text?</h3><p>{whose}: <b class="text">{html.escape(explanation.text)}</b>'
        f'</p><p class="verdict">{_verdict(totals)}</p><div class="totals">{rows}</div>'
        '<p class="caption">How surprising the whole text is to each (its surprisal), in nats: the shorter the bar, '
        "the surer.</p></section>"
    )


def _verdict(totals: dict[str, float]) -> str:
    # Trained to be told something, a language model may guess worse than one that knows nothing.
    least, both = min(totals["uniform"], totals["llm_alone"]), totals["full"]
    if both < least:
        share = 100 * (1 - both / least)
        if totals["llm_alone"] > totals["uniform"]:
            return (
                f"Hearing the audio takes away {share:.0f} % of the uncertainty about this text. Without audio this "
                "language model guesses worse than one that knows nothing."
            )
        return f"Hearing the audio takes away {share:.0f} % of the language model's uncertainty about this text."
    return (
        "Hearing the audio makes the language model no surer of this text: it does not come from the sound, or the "
        "sound does not support it."
    )


def _total_row(name: str, total: float, scale: float) -> str:
    label, meaning = TOTALS[name]
    width = 100 * min(1.0, total / scale)
    shown = f"{total:.1f} nats" if math.isfinite(total) else "impossible: too few frames"
    return (
        f'<div class="label" title="{meaning}">{label}<small>{meaning}</small></div><div class="track">'
        f'<div class="bar {name}" style="width:{width:.2f}%"></div></div><div class="value">{shown}</div>'
    )


# over time


def _time_plots(explanation: Explanation) -> str:
    """Spectrogram, phonemes heard and frame entropy on one time axis, in seconds."""
    duration = len(explanation.waveform) / SAMPLING_RATE
    width = max(MIN_PLOT_WIDTH, round(PIXELS_PER_SECOND * duration))

    def x(seconds: float) -> float:
        return LEFT + width * seconds / duration

    entropy_top = TOP + SPECTROGRAM_HEIGHT + MAX_ROWS * ROW_HEIGHT + 14
    bottom = entropy_top + ENTROPY_HEIGHT
    parts = [
        _spectrogram(explanation.waveform, width),
        _phonemes(explanation, x),
        _entropy(explanation, x, entropy_top),
        _time_axis(duration, x, bottom),
    ]
    size = (LEFT + width + RIGHT, bottom + AXIS_HEIGHT)
    return (
        "<section><h3>What the encoder hears</h3>"
        f'<div class="scroll"><svg role="img" aria-label="Spectrogram, phonemes and frame entropy over time" '
        f'width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}">{"".join(parts)}</svg></div>'
        '<p class="caption">Above: the sound. Middle: the phonemes that the encoder hears. Below: how unsure it is of '
        "them from moment to moment (the entropy of its guess). Near zero it is sure, often that nothing new began; "
        f"at the dashed line, {explanation.max_entropy:.1f} nats, its {explanation.log_probs.shape[-1]} symbols are "
        "all the same to it.</p></section>"
    )


def _spectrogram(waveform: np.ndarray, width: int) -> str:
    image = base64.b64encode(spectrogram_png(waveform)).decode()
    ticks = [
        (TOP + SPECTROGRAM_HEIGHT * (1 - _mel(hertz) / _mel(MAX_HERTZ)), f"{hertz / 1000:g}") for hertz in HERTZ_TICKS
    ]
    return (
        f'<image href="data:image/png;base64,{image}" x="{LEFT}" y="{TOP}" width="{width}" '
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


def _phonemes(explanation: Explanation, x: Callable[[float], float]) -> str:
    """Symbols at the time of their frames, in the first of a few rows that has room."""
    top = TOP + SPECTROGRAM_HEIGHT
    ends, parts = [-math.inf] * MAX_ROWS, []
    for symbol, start, end in explanation.phonemes:
        center, half = (x(start) + x(end)) / 2, 4.5 * len(symbol) + 3
        row = next((row for row in range(MAX_ROWS) if ends[row] <= center - half), None)
        if row is None:
            continue  # no room: the entropy below still shows the frame
        ends[row] = center + half
        y = top + (row + 1) * ROW_HEIGHT - 2
        parts.append(f'<line class="stem" x1="{center:.1f}" x2="{center:.1f}" y1="{top}" y2="{y - 12}"/>')
        parts.append(f'<text class="phoneme" x="{center:.1f}" y="{y}">{html.escape(symbol)}</text>')
    middle = top + MAX_ROWS * ROW_HEIGHT / 2
    label = f'<text class="tick" x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">heard</text>'
    return label + "".join(parts)


def _entropy(explanation: Explanation, x: Callable[[float], float], top: float) -> str:
    """Area under the entropy of each frame, drawn at the frame's middle."""
    entropies, highest = explanation.frame_entropies, explanation.max_entropy * 1.05
    bottom = top + ENTROPY_HEIGHT

    def y(nats: float) -> float:
        return bottom - ENTROPY_HEIGHT * nats / highest

    duration = len(explanation.waveform) / SAMPLING_RATE
    times = [min((index + 0.5) * explanation.seconds_per_frame, duration) for index in range(len(entropies))]
    points = " ".join(f"{x(time):.1f},{y(nats):.1f}" for time, nats in zip(times, entropies, strict=True))
    area = f"{x(times[0]):.1f},{bottom} {points} {x(times[-1]):.1f},{bottom}"
    limit = y(explanation.max_entropy)
    ticks = [(y(nats), str(nats)) for nats in range(0, int(highest) + 1)]
    return (
        f'<polygon class="area" points="{area}"/><polyline class="curve" points="{points}"/>'
        f'<line class="limit" x1="{LEFT}" x2="{x(duration):.1f}" y1="{limit:.1f}" y2="{limit:.1f}"/>'
        + _vertical_axis(ticks, "Entropy (nats)", top, ENTROPY_HEIGHT)
    )


def _vertical_axis(ticks: list[tuple[float, str]], title: str, top: float, height: float) -> str:
    parts = [f'<line class="axis" x1="{LEFT}" x2="{LEFT}" y1="{top}" y2="{top + height}"/>']
    last = math.inf
    for y, text in sorted(ticks, reverse=True):
        if last - y < 13:
            continue
        last = y
        parts.append(f'<line class="axis" x1="{LEFT - 4}" x2="{LEFT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    middle = top + height / 2
    parts.append(f'<text class="title" transform="rotate(-90 14 {middle})" x="14" y="{middle + 4}">{title}</text>')
    return "".join(parts)


def _time_axis(duration: float, x: Callable[[float], float], y: float) -> str:
    step = next(step for step in (0.1, 0.2, 0.5, 1.0) if duration / step <= 40) if duration <= 40 else 5.0
    parts = [f'<line class="axis" x1="{x(0):.1f}" x2="{x(duration):.1f}" y1="{y}" y2="{y}"/>']
    for index in range(int(duration / step + 1e-6) + 1):
        place = x(index * step)
        parts.append(f'<line class="axis" x1="{place:.1f}" x2="{place:.1f}" y1="{y}" y2="{y + 4}"/>')
        parts.append(f'<text class="tick" x="{place:.1f}" y="{y + 17}" text-anchor="middle">{index * step:g}</text>')
    parts.append(f'<text class="title" x="{x(0) + min(140, x(duration) / 2):.1f}" y="{y + 35}">Time (s)</text>')
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
        'the tokens before. Where "language model alone" is long and "both" is short, the sound decided; where '
        '"encoder alone" is long and "both" is short, the language model did. ⏎ is the end of the text.</p></section>'
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
