# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where speech begins and ends: Silero VAD (its ONNX model) and the endpoint decisions made on its output.

One segmenter serves streams and long recordings, so that both cut the same audio into the same segments. Audio is
held back only while it is undecided whether it belongs to a segment; every sample is given out at most once.
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .audio import AudioError


SAMPLING_RATE = 16000
# The model's own sizes: it reads 512 samples (32 ms) at a time, and the 64 before them.
WINDOW = 512
CONTEXT = 64
# Windows in one call of the model: bounds what a long input needs in memory.
MAX_WINDOWS = 512
# Faint noise that the model reads before a stream. Without it, it missed 16 percent of spoken digits cut out closely
# (fsdd_digits), for want of the onset. After pure zeros it took the onset of white noise at 46 to 54 dB below full
# scale for speech, and missed one of 80 digits; after noise neither.
LEAD_IN_WINDOWS = 4
LEAD_IN_LEVEL = 0.0003
# Silero misses quiet speech, above all after loud speech, so it gets an amplified copy of what is quiet: the loudest
# window of late (half of it forgotten in a third of a second) is brought to this level, by no more than this gain. Of
# digits and sentences at 40 to 50 dB below full scale it missed 55 of 280 without and 7 with it, and took 16 and 24 of
# 100 everyday sounds for speech (training splits, tests/benchmarks/benchmark_vad.py); ten times were 4 and 28. A
# constant gain would not do: four times took 66 of the 100 for speech.
LEVEL = 10 ** (-30 / 20)
MAX_GAIN = 5.0
LEVEL_HALF_LIFE = 0.3
# Silero's hysteresis: speech goes on until its probability is this much below the threshold.
HYSTERESIS = 0.15


@dataclass(frozen=True)
class EndpointSettings:
    """When a segment of speech begins and ends.

    Args:
        threshold: probability of speech from which a window counts as speech.
        min_speech: seconds of speech that open a segment; shorter sounds are passed over. With `padding`, and the
            window of 32 ms in which it is reached, it must fit into `max_segment`.
        min_silence: seconds without speech that end a segment.
        padding: seconds of audio kept before and after the speech of a segment; at most `min_silence`.
        max_segment: longest segment in seconds. In its last fifth a pause of `short_silence` ends a segment; where
            there is none it is cut, and the next segment begins with the very next sample.
        short_silence: seconds of silence that end a long segment.

    Raises:
        ValueError: settings out of range, or that do not fit each other.
    """

    threshold: float = 0.5
    min_speech: float = 0.1
    min_silence: float = 0.5
    padding: float = 0.3
    max_segment: float = 30.0
    short_silence: float = 0.1

    def __post_init__(self):
        if not HYSTERESIS < self.threshold < 1:
            raise ValueError(f"`threshold` must be between {HYSTERESIS} and 1, not {self.threshold}.")
        for name in ("min_speech", "min_silence", "padding", "short_silence"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be a number of seconds, not {getattr(self, name)}.")
        if self.padding > self.min_silence:
            raise ValueError(f"`padding` ({self.padding} s) must not exceed `min_silence` ({self.min_silence} s).")
        if self.max_segment < 1:
            raise ValueError(f"`max_segment` must be at least 1 second, not {self.max_segment}.")
        if self.padding + self.min_speech + WINDOW / SAMPLING_RATE > self.max_segment:
            raise ValueError(
                f"`min_speech` ({self.min_speech} s), `padding` ({self.padding} s) and a window of "
                f"{WINDOW / SAMPLING_RATE} s must not exceed `max_segment` ({self.max_segment} s): a segment is "
                "that long when it opens."
            )


@dataclass(frozen=True)
class SpeechPiece:
    """Consecutive audio of one segment.

    Args:
        start: sample of the stream with which the segment begins.
        samples: `(num_samples,)` float32, those after the ones already given out.
        is_last: whether the segment ends with it.
        num_pushed: samples of the stream that had been pushed when this was decided.
    """

    start: int
    samples: np.ndarray
    is_last: bool
    num_pushed: int


def _import_onnxruntime():
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("Voice activity detection needs `pip install onnxruntime silero-vad`.") from error
    return onnxruntime


@lru_cache(maxsize=1)
def _load_session():
    """Silero's ONNX model for runs of windows, from its package; one for the process, safe to call from threads.

    The package is located and not imported: its import sets torch to a single thread.
    """
    onnxruntime = _import_onnxruntime()
    package = importlib.util.find_spec("silero_vad")
    if package is None:
        raise ImportError("Voice activity detection needs `pip install onnxruntime silero-vad`.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])


class QuietAmplifier:
    """Makes what is quiet in a stream louder, and leaves the rest; carries the level from call to call."""

    def __init__(self):
        self._loudest = 0.0
        self._gain = MAX_GAIN

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Amplified windows `(num_windows, WINDOW)` of the next samples `(num_windows * WINDOW,)`, in [-1, 1]."""
        windows = samples.reshape(-1, WINDOW)
        gains = self._next_gains(np.sqrt(np.square(windows, dtype=np.float64).mean(-1)))
        before = np.concatenate([[self._gain], gains[:-1]])
        self._gain = gains[-1]
        # A gain falls at once, so that no onset is clipped, and rises in the course of a window: nothing clicks.
        rise = np.maximum(0.0, gains - before)[:, None] * np.linspace(-1, 0, WINDOW, endpoint=False)
        return np.clip(windows * (gains[:, None] + rise), -1.0, 1.0, dtype=np.float32)

    def _next_gains(self, levels: np.ndarray) -> np.ndarray:
        """Gain of each window by its root mean square and those before it."""
        kept = 0.5 ** (WINDOW / SAMPLING_RATE / LEVEL_HALF_LIFE)
        loudest = np.empty(len(levels))
        for index, level in enumerate(levels):
            self._loudest = loudest[index] = max(level, self._loudest * kept)
        return np.clip(LEVEL / np.maximum(loudest, LEVEL / MAX_GAIN), 1.0, MAX_GAIN)


class SileroVAD:
    """Probability of speech in each window of one stream; carries the model's state from call to call."""

    def __init__(self):
        self._session = _load_session()
        self._amplify = QuietAmplifier()
        self._hidden = self._cell = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(CONTEXT, dtype=np.float32)
        lead_in = LEAD_IN_LEVEL * np.random.default_rng(0).normal(size=LEAD_IN_WINDOWS * WINDOW)
        self._run(lead_in.astype(np.float32))

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Probabilities `(num_windows,)` of the next samples `(num_windows * WINDOW,)`, float32 in [-1, 1]."""
        blocks = np.split(samples, range(MAX_WINDOWS * WINDOW, len(samples), MAX_WINDOWS * WINDOW))
        return np.concatenate([self._run(block) for block in blocks])

    def _run(self, samples: np.ndarray) -> np.ndarray:
        windows = self._amplify(samples)
        contexts = np.concatenate([self._context[None], windows[:-1, -CONTEXT:]])
        inputs = {"input": np.concatenate([contexts, windows], axis=1), "h": self._hidden, "c": self._cell}
        probabilities, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
        self._context = windows[-1, -CONTEXT:].copy()
        return probabilities.reshape(-1)


class EndpointDetector:
    """Turns probabilities of speech into the bounds of segments; knows nothing of audio.

    Attributes:
        start (`int` or `None`): first sample of the open segment.
        end (`int`): where the open segment would end by what is known now; audio before it is part of the segment.
    """

    def __init__(self, settings: EndpointSettings):
        self.settings = settings
        self.start: int | None = None
        self.end = 0
        self._position = 0
        self._candidate: int | None = None
        self._silence: int | None = None

    def samples(self, name: str) -> int:
        """A setting in samples."""
        return round(getattr(self.settings, name) * SAMPLING_RATE)

    @property
    def earliest_start(self) -> int:
        """Sample before which no later segment can begin: audio before it may be forgotten."""
        start = self._position if self._candidate is None else self._candidate
        return max(self.end, start - self.samples("padding"))

    def push(self, probability: float) -> tuple[int, int] | None:
        """Take the probability of one window.

        Returns:
            Start and end of a segment, when this window ends it.
        """
        begin, self._position = self._position, self._position + WINDOW
        if self.start is None:
            self._look_for_speech(begin, probability)
            return None
        if probability >= self.settings.threshold:
            self._silence = None
        elif probability < self.settings.threshold - HYSTERESIS and self._silence is None:
            self._silence = begin
        speech_end = self._position if self._silence is None else self._silence
        longest = self.start + self.samples("max_segment")
        self.end = max(self.end, min(self._position, speech_end + self.samples("padding"), longest))
        segment = self._end_of_segment()
        # Behind a cut in speech there may be silence alone: without padding, no sample is the next segment's.
        return None if segment is None or segment[0] == segment[1] else segment

    def _look_for_speech(self, begin: int, probability: float) -> None:
        if probability >= self.settings.threshold and self._candidate is None:
            self._candidate = begin
        elif probability < self.settings.threshold - HYSTERESIS:
            self._candidate = None
        if self._candidate is not None and self._position - self._candidate >= self.samples("min_speech"):
            self.start = self.earliest_start
            self.end, self._candidate, self._silence = self._position, None, None

    def _end_of_segment(self) -> tuple[int, int] | None:
        length = self._position - self.start
        silence = 0 if self._silence is None else self._position - self._silence
        pause = "short_silence" if length >= 0.8 * self.samples("max_segment") else "min_silence"
        if self._silence is not None and silence >= self.samples(pause):
            return self._close()
        if length >= self.samples("max_segment"):
            segment = (self.start, self.end)
            # In the middle of speech: the next segment is open already, and what comes behind the cut is its own.
            self.start = self.end if self._silence is None else None
            self.end = self.end if self.start is None else self._position
            return segment
        return None

    def _close(self) -> tuple[int, int]:
        segment, self.start = (self.start, self.end), None
        return segment

    def finish(self, num_samples: int) -> tuple[int, int] | None:
        """End of the stream after `num_samples`: the bounds of the segment that was open."""
        self.end = min(self.end, num_samples)
        return None if self.start is None or self.start >= self.end else self._close()


class SpeechSegmenter:
    """Cuts a stream of samples, pushed in any portions, into the audio of its segments.

    Args:
        settings: when segments begin and end.
        use_vad: without voice activity detection everything is speech, cut after `max_segment` seconds.

    Attributes:
        num_pushed (`int`): samples pushed so far.
        held (`np.ndarray`): `(num_samples,)`, audio that is neither given out nor forgotten.
    """

    def __init__(self, settings: EndpointSettings | None = None, use_vad: bool = True):
        self.settings = settings or EndpointSettings()
        self.num_pushed = 0
        self._vad = SileroVAD() if use_vad else None
        self._detector = EndpointDetector(self.settings)
        if not use_vad:
            self._detector.start = 0
        self._pending: list[np.ndarray] = []
        self._num_pending = 0
        self.held = np.zeros(0, dtype=np.float32)
        self._held_from = 0  # the sample of the stream with which it begins

    def push(self, samples: np.ndarray) -> list[SpeechPiece]:
        """Take `(num_samples,)` float32 samples; returns what is now known to be speech, oldest first."""
        self._pending.append(samples)
        self._num_pending += len(samples)
        self.num_pushed += len(samples)
        whole = self._num_pending - self._num_pending % WINDOW
        if whole == 0:
            return []
        pending = np.concatenate(self._pending)
        self._pending, self._num_pending = [pending[whole:]], len(pending) - whole
        return self._decide(pending[:whole])

    def _decide(self, samples: np.ndarray) -> list[SpeechPiece]:
        """Decide about whole windows."""
        first = self._held_from + len(self.held)
        self.held = np.concatenate([self.held, samples])
        pieces = []
        probabilities = np.ones(len(samples) // WINDOW) if self._vad is None else self._vad(samples)
        for index, probability in enumerate(probabilities.tolist()):
            num_pushed = first + (index + 1) * WINDOW
            segment = self._detector.push(probability)
            if segment is not None:
                pieces.append(self._take(*segment, is_last=True, num_pushed=num_pushed))
        if self._detector.start is not None:
            pieces.append(self._take(self._detector.start, self._detector.end, is_last=False, num_pushed=num_pushed))
        else:
            self._forget(self._detector.earliest_start)
        return [piece for piece in pieces if piece.is_last or len(piece.samples)]

    def _take(self, start: int, end: int, is_last: bool, num_pushed: int) -> SpeechPiece:
        """Give out the audio of a segment up to `end`, but no filling, that was not given out yet."""
        self._forget(start)
        samples = self.held[: max(0, min(end, self.num_pushed) - self._held_from)].copy()
        self._forget(end)
        return SpeechPiece(start, samples, is_last, min(num_pushed, self.num_pushed))

    def _forget(self, before: int) -> None:
        """Drop audio before a sample of the stream."""
        if before > self._held_from:
            self.held = self.held[before - self._held_from :]
            self._held_from = before

    def finish(self) -> list[SpeechPiece]:
        """End of the stream: what is left of the open segment. The last, partial window is filled with zeros."""
        pieces = []
        if self._num_pending:
            missing = np.zeros(WINDOW - self._num_pending, dtype=np.float32)
            pieces = self._decide(np.concatenate([*self._pending, missing]))
            self._pending, self._num_pending = [], 0
        segment = self._detector.finish(self.num_pushed)
        return pieces if segment is None else [*pieces, self._take(*segment, is_last=True, num_pushed=self.num_pushed)]


def detect_speech(
    waveform: np.ndarray, sampling_rate: int = SAMPLING_RATE, settings: EndpointSettings | None = None
) -> list[tuple[float, float]]:
    """Segments of speech in a recording.

    Args:
        waveform: `(num_samples,)` finite floats in [-1, 1].
        sampling_rate: in Hz; 16000 is what the detector takes.
        settings: when segments begin and end.

    Returns:
        Start and end of each segment in seconds, in order and without overlap, padding included.

    Raises:
        AudioError: another sampling rate, not one axis of floats, or samples that are NaN or infinite.
    """
    if sampling_rate != SAMPLING_RATE:
        raise AudioError(f"voice activity detection works at {SAMPLING_RATE} Hz, not at {sampling_rate} Hz")
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or waveform.dtype.kind != "f":
        raise AudioError(f"expected one axis of floats, got {waveform.dtype} of shape {waveform.shape}")
    if invalid := np.count_nonzero(~np.isfinite(waveform)):
        raise AudioError(f"{invalid} of {waveform.size} samples are NaN or infinite")
    segmenter = SpeechSegmenter(settings)
    segments: dict[int, int] = {}
    for piece in segmenter.push(waveform.astype(np.float32, copy=False)) + segmenter.finish():
        segments[piece.start] = segments.get(piece.start, piece.start) + len(piece.samples)
    return [(start / SAMPLING_RATE, end / SAMPLING_RATE) for start, end in segments.items()]


__all__ = ["EndpointDetector", "EndpointSettings", "SileroVAD", "SpeechPiece", "SpeechSegmenter", "detect_speech"]
