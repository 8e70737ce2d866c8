# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a user of the synthesiser would notice: speech that says the text, the same every time, and whole data sets."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from entropy_asr.trainers.data import synthesis
from entropy_asr.trainers.data.synthesis import (
    SAMPLING_RATE,
    VOICES,
    SynthesizedSpeech,
    Voice,
    synthesize,
    synthesize_with_alignment,
)


ENGLISH = next(voice for voice in VOICES if voice.language == "en")
MANDARIN = next(voice for voice in VOICES if voice.language == "zh")


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_every_voice_speaks(voice: Voice) -> None:
    text = "the dog runs" if voice.language == "en" else "今天天气很好"
    samples = synthesize(text, voice)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 0.5 < len(samples) / SAMPLING_RATE < 4
    assert 0.02 < samples.std() < 0.5
    assert np.abs(samples).max() <= 1.0


def test_voices_differ() -> None:
    assert len(set(VOICES)) == len(VOICES)
    for language, least in (("en", 8), ("zh", 4)):
        voices = [voice for voice in VOICES if voice.language == language]
        text = "hello" if language == "en" else "你好"
        assert len({synthesize(text, voice).tobytes() for voice in voices}) == len(voices) >= least


def test_audio_does_not_depend_on_what_was_spoken_before() -> None:
    """Needs noise (an s) and pitch flutter: both are kept in espeak-ng's static variables."""
    first = synthesize("seven sisters sing songs", ENGLISH)
    synthesize("something else 你好", MANDARIN)
    assert np.array_equal(first, synthesize("seven sisters sing songs", ENGLISH))


def test_seed_changes_the_noise() -> None:
    voice = Voice("en", "en-us", "whisper")
    assert len({synthesize("seven sisters", voice, seed=seed).tobytes() for seed in range(3)}) == 3


def test_parameters_change_the_speech() -> None:
    slow, fast = (synthesize("open the door", Voice("en", "en-us", "m3", rate=rate)) for rate in (120, 240))
    assert len(slow) > 1.5 * len(fast)
    assert _pitch(synthesize("oh no", Voice("en", "en-us", "m3", pitch=99))) > 1.2 * _pitch(
        synthesize("oh no", Voice("en", "en-us", "m3", pitch=10))
    )
    duration = len(synthesize("hello", ENGLISH)) / SAMPLING_RATE
    assert len(synthesize("hello", ENGLISH, sampling_rate=8000)) / 8000 == pytest.approx(duration, abs=1e-3)


def _pitch(samples: np.ndarray) -> float:
    """Fundamental frequency in Hz of the loudest 64 ms, by autocorrelation."""
    frames = samples[: len(samples) // 1024 * 1024].reshape(-1, 1024)
    frame = frames[np.argmax(frames.std(axis=1))]
    correlation = np.correlate(frame, frame, "full")[1023:]
    return SAMPLING_RATE / (40 + np.argmax(correlation[40:270]))


def _between(speech: SynthesizedSpeech, start: float, end: float) -> np.ndarray:
    return speech.samples[int(start * SAMPLING_RATE) : int(end * SAMPLING_RATE)]


def test_alignment_of_english() -> None:
    text = "one of the well-known men sleeps."
    speech = synthesize_with_alignment(text, ENGLISH)
    assert " ".join(word.text for word in speech.words) == text.rstrip(".")
    times = [time for word in speech.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(speech.samples) / SAMPLING_RATE
    phonemes = [unit.text for unit in speech.phonemes]
    assert phonemes == EntropyASRPhonemeTokenizer().phonemize(text, "en")
    loud = [
        np.abs(speech.samples[int(w.start * SAMPLING_RATE) : int(w.end * SAMPLING_RATE)]).max() for w in speech.words
    ]
    assert min(loud) > 0.05


def test_pauses_belong_to_no_word() -> None:
    speech = synthesize_with_alignment("yes, no.", ENGLISH)
    yes, no = speech.words
    assert no.start - yes.end > 0.1
    assert np.abs(_between(speech, yes.end + 0.03, no.start)).max() < 0.02


def test_mandarin_is_spoken_as_mandarin() -> None:
    """Characters and their pinyin sound the same; the four tones of a syllable do not."""
    speech = synthesize_with_alignment("我们去北京。", MANDARIN)
    assert "".join(word.text for word in speech.words) == "我们去北京"
    hanzi = [unit.text for unit in speech.phonemes]
    pinyin = [unit.text for unit in synthesize_with_alignment("wo3 men5 qu4 bei3 jing1", MANDARIN).phonemes]
    assert hanzi == pinyin
    tones = [synthesize(character, MANDARIN) for character in "妈麻马骂"]
    assert len({tone.tobytes() for tone in tones}) == 4
    assert [unit.text for unit in synthesize_with_alignment("绿", MANDARIN).phonemes] == [
        unit.text for unit in synthesize_with_alignment("lü4", MANDARIN).phonemes
    ]


@pytest.mark.parametrize("phonemizer_first", [True, False])
def test_shares_a_process_with_phonemizer(phonemizer_first: bool) -> None:
    """Each order in a fresh process: both drive espeak-ng, whose state is global to a loaded library."""
    steps = [
        "phones = tokenizer.phonemize('hello world', 'en')",
        "audio = synthesize('hello world', VOICES[0]).tobytes()",
    ]
    script = "\n".join(
        [
            "import zlib",
            "from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer",
            "from entropy_asr.trainers.data.synthesis import VOICES, synthesize",
            "tokenizer = EntropyASRPhonemeTokenizer()",
            *(steps if phonemizer_first else steps[::-1]),
            "assert tokenizer.phonemize('hello world', 'en') == phones",
            "assert synthesize('hello world', VOICES[0]).tobytes() == audio",
            "print(*phones, zlib.crc32(audio))",
        ]
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    *phones, checksum = result.stdout.split()
    assert phones == ["h", "ə", "l", "oʊ", "w", "ɜː", "l", "d"]
    assert int(checksum) == zlib.crc32(synthesize("hello world", VOICES[0]).tobytes())


def test_an_interruption_while_espeak_speaks_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self, *arguments) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthesis._Speaker, "_keep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        synthesize("the dog runs", ENGLISH)


def test_errors_name_the_input() -> None:
    for text in ("", "..."):
        with pytest.raises(ValueError, match=f"nothing to speak in '{text}'"):
            synthesize(text, ENGLISH)
    for accent, variant in (("en-nowhere", "f1"), ("en-us", "f99")):
        with pytest.raises(ValueError, match=rf"no voice '{accent}\+{variant}'"):
            synthesize("hello", Voice("en", accent, variant))
    with pytest.raises(ValueError, match="rate 10 is outside"):
        Voice("en", "en-us", "f3", rate=10)
    with pytest.raises(ValueError, match="'fr'"):
        Voice("fr", "fr", "f3")


TEXTS = ["the red dog", "我们去北京", "open the door", "今天", "one two three"]


LANGUAGES = ["en", "zh", "en", "zh", "en"]
