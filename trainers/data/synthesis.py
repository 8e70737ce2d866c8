# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Synthetic speech by espeak-ng, for training where recordings are short and for tests that need speech offline.

The library comes with the pip package `espeakng-loader` and is driven through ctypes, without a process a sentence.

How this differs from the usual binding: every utterance is spoken by a freshly loaded copy of the library. espeak-ng
keeps the phase of its pitch flutter and its noise generator in static variables that neither `espeak_Initialize` nor
`espeak_ng_SetRandSeed` resets, so that audio would depend on what was spoken before. Loading costs 0.4 ms. The copy is
also what keeps it apart from phonemizer, which drives a copy of its own in the same process.
"""

import atexit
import ctypes
import hashlib
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import datasets
import numpy as np
import soxr
from datasets import Dataset, List, Value

from entropy_asr.modeling.languages_entropy_asr import language_code


SAMPLING_RATE = 16000
SOURCE = "espeak-ng"
# Part of the fingerprint of a synthetic data set: raise it when the audio of a text and voice changes.
_SYNTHESIS_VERSION = 1
_MANIFEST = "synthesis.json"
FEATURES = datasets.Features(
    {
        "samples": List(Value("int16")),
        "text": Value("string"),
        "language": Value("string"),
        "duration": Value("float64"),
        "source": Value("string"),
    }
)

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 2, 1, 2, 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8, _POSITION_CHARACTER = 1, 1
_EVENT_LIST_END, _EVENT_WORD, _EVENT_END, _EVENT_PHONEME = 0, 1, 5, 7


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Args:
        language: "en" or "zh".
        accent: espeak-ng voice, best by its file: "gmw/en-US", "gmw/en" (British), "gmw/en-GB-scotland", "sit/cmn".
            By its name ("en-us", "cmn") espeak-ng searches all voices, which makes an utterance slower.
        variant: espeak-ng voice variant (timbre): "f1"-"f5", "m1"-"m8", "Andy", ...
        pitch: 0 to 99, 50 is the variant's own.
        pitch_range: 0 (monotone) to 99, 50 is the variant's own.
        rate: Words a minute, 80 to 450.
    """

    language: str
    accent: str
    variant: str
    pitch: int = 50
    pitch_range: int = 50
    rate: int = 175

    def __post_init__(self) -> None:
        object.__setattr__(self, "language", language_code(self.language))
        for name, low, high in (("pitch", 0, 99), ("pitch_range", 0, 99), ("rate", 80, 450)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"voice {self.name}: {name} {getattr(self, name)} is outside {low} to {high}")

    @property
    def name(self) -> str:
        return f"{self.accent}+{self.variant}"


VOICES = (
    Voice("en", "gmw/en-US", "f3"),
    Voice("en", "gmw/en-US", "m3"),
    Voice("en", "gmw/en-US", "Andrea"),
    Voice("en", "gmw/en-US", "shelby"),
    Voice("en", "gmw/en", "f2"),
    Voice("en", "gmw/en", "m1"),
    Voice("en", "gmw/en-GB-scotland", "f4"),
    Voice("en", "gmw/en-GB-scotland", "m7"),
    Voice("en", "gmw/en-029", "f5"),
    Voice("en", "gmw/en-029", "m4"),
    Voice("en", "gmw/en-GB-x-rp", "belinda"),
    Voice("en", "gmw/en-GB-x-rp", "Michael"),
    Voice("en", "gmw/en-US-nyc", "m6"),
    Voice("en", "gmw/en-US-nyc", "Alicia"),
    Voice("en", "gmw/en-GB-x-gbclan", "steph"),
    Voice("en", "gmw/en-GB-x-gbcwmd", "Andy"),
    Voice("zh", "sit/cmn", "f1"),
    Voice("zh", "sit/cmn", "f2"),
    Voice("zh", "sit/cmn", "f3"),
    Voice("zh", "sit/cmn", "f5"),
    Voice("zh", "sit/cmn", "m1"),
    Voice("zh", "sit/cmn", "m3"),
    Voice("zh", "sit/cmn", "m6"),
    Voice("zh", "sit/cmn", "m7"),
    Voice("zh", "sit/cmn", "belinda"),
    Voice("zh", "sit/cmn", "Annie"),
    Voice("zh", "sit/cmn", "Michael"),
    Voice("zh", "sit/cmn", "Andy"),
)


@dataclass(frozen=True)
class AlignedUnit:
    """A word or phoneme and when it is spoken, in seconds."""

    text: str
    start: float
    end: float


@dataclass
class SynthesizedSpeech:
    """Speech with its alignment.

    Args:
        samples: float32 waveform in [-1, 1], of shape `(num_samples,)`.
        sampling_rate: In Hz.
        words: Words as espeak-ng speaks them: "of the" is one where it joins them; one Chinese character each.
        phonemes: espeak-ng's IPA without stress marks, pauses left out. For Mandarin they are espeak-ng's IPA too, not
            the pinyin units of the phoneme tokenizer.
    """

    samples: np.ndarray
    sampling_rate: int
    words: list[AlignedUnit] = field(default_factory=list)
    phonemes: list[AlignedUnit] = field(default_factory=list)


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def _espeakng_loader():
    try:
        import espeakng_loader
    except ImportError as error:
        raise ImportError(
            f"Synthetic speech needs the package `espeakng-loader`, which cannot be imported ({error}): "
            'pip install "entropy-asr[g2p]"'
        ) from error
    return espeakng_loader


@lru_cache(maxsize=1)
def _data_path() -> str:
    return str(_espeakng_loader().get_data_path())


@lru_cache(maxsize=1)
def _library_copy() -> str:
    """A copy of the library that nothing else in this process has loaded, so that closing it unloads it."""
    folder = tempfile.mkdtemp(prefix="entropy-asr-espeak-")
    atexit.register(_remove_copy, folder, os.getpid())
    return shutil.copy(_espeakng_loader().get_library_path(), folder)


def _remove_copy(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker must not remove its parent's copy
        shutil.rmtree(folder, ignore_errors=True)


def _unload(library: ctypes.CDLL) -> None:
    import _ctypes

    close = _ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose
    close(library._handle)


class _Speaker:
    """A freshly loaded espeak-ng, for one utterance; a context manager that unloads it."""

    def __init__(self, voice: Voice, seed: int) -> None:
        self.voice, self.seed = voice, seed
        self.audio: list[bytes] = []
        self.error: BaseException | None = None
        self.events: list[tuple[int, int, int, str]] = []  # (type, text position, sample, phoneme)

    def __enter__(self) -> "_Speaker":
        self.library = ctypes.CDLL(_library_copy())
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        self.sampling_rate = self.library.espeak_Initialize(_SYNCHRONOUS, 0, _data_path().encode(), options)
        if self.sampling_rate <= 0:
            _unload(self.library)
            raise RuntimeError(f"espeak-ng cannot read its data in {_data_path()}")
        # ctypes does not keep the callback alive
        self.callback = _SynthCallback(self._receive)
        self.library.espeak_SetSynthCallback(self.callback)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(self.seed + 1))  # C's srand takes 0 for 1
        self._set_voice()
        return self

    def __exit__(self, *exception: object) -> None:
        self.library.espeak_Terminate()
        _unload(self.library)

    def _set_voice(self) -> None:
        # espeak-ng takes any variant name and speaks with the plain voice where it has no such variant
        known = os.path.exists(os.path.join(_data_path(), "voices", "!v", self.voice.variant))
        if not known or self.library.espeak_SetVoiceByName(self.voice.name.encode()) != 0:
            self.__exit__()
            raise ValueError(f"espeak-ng has no voice {self.voice.name!r}")
        for parameter, value in (
            (_RATE, self.voice.rate),
            (_PITCH, self.voice.pitch),
            (_RANGE, self.voice.pitch_range),
        ):
            self.library.espeak_SetParameter(parameter, value, 0)

    def _receive(self, samples, num_samples: int, events) -> int:
        try:
            self._keep(samples, num_samples, events)
        except BaseException as error:  # Ctrl-C too: ctypes would drop it, and with it what was to be kept
            self.error = error
            return 1  # ends the synthesis
        return 0

    def _keep(self, samples, num_samples: int, events) -> None:
        if samples and num_samples:
            self.audio.append(ctypes.string_at(samples, 2 * num_samples))
        for event in events:
            if event.type == _EVENT_LIST_END:
                break
            phoneme = event.id.string.decode("utf-8", "ignore") if event.type == _EVENT_PHONEME else ""
            self.events.append((event.type, event.text_position, event.sample, phoneme))

    def speak(self, text: str) -> np.ndarray:
        """int16 waveform of shape (num_samples,) at `self.sampling_rate`; fills `self.events`."""
        encoded = text.encode("utf-8")
        self.library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
        if self.error is not None:
            raise self.error
        return np.frombuffer(b"".join(self.audio), dtype=np.int16)


def _align_phonemes(speaker: _Speaker, num_samples: int) -> list[AlignedUnit]:
    """Phonemes with the time to the next event; espeak-ng marks pauses and changes of language as phonemes too."""
    events = [(sample, phoneme) for kind, _, sample, phoneme in speaker.events if kind in (_EVENT_END, _EVENT_PHONEME)]
    ends = [sample for sample, _ in events[1:]] + [num_samples]
    units = []
    for (start, phoneme), end in zip(events, ends, strict=True):
        name = re.sub(r"[ˈˌ\s]|\(.*", "", phoneme)
        if name:
            units.append(AlignedUnit(name, start / speaker.sampling_rate, end / speaker.sampling_rate))
    return units


def _align_words(speaker: _Speaker, text: str, phonemes: list[AlignedUnit]) -> list[AlignedUnit]:
    """Words by espeak-ng's word events: in the text up to the next event, in time to the end of the last phoneme."""
    events = [(position - 1, sample) for kind, position, sample, _ in speaker.events if kind == _EVENT_WORD]
    limits = [*events[1:], (len(text), sys.maxsize)]
    words = []
    for (start, sample), (stop, next_sample) in zip(events, limits, strict=True):
        spoken = [unit for unit in phonemes if sample <= round(unit.start * speaker.sampling_rate) < next_sample]
        surface = re.sub(r"^\W+|\W+$", "", text[start:stop])
        if spoken and surface:
            words.append(AlignedUnit(surface, spoken[0].start, spoken[-1].end))
    return words


def synthesize_with_alignment(
    text: str, voice: Voice, sampling_rate: int = SAMPLING_RATE, seed: int = 0
) -> SynthesizedSpeech:
    """Speaks a text and says when its words and phonemes are spoken.

    Args:
        text: In the voice's language; a Mandarin voice also speaks Latin words and pinyin with tone numbers.
        voice: The speaker.
        sampling_rate: Of the waveform, in Hz.
        seed: Of espeak-ng's noise; the audio is a function of the four arguments alone.

    Raises:
        ValueError: espeak-ng has no such voice, or nothing in the text can be spoken.
    """
    text = text.replace("ü", "v") if voice.language == "zh" else text
    with _Speaker(voice, seed) as speaker:
        samples = speaker.speak(text)
    phonemes = _align_phonemes(speaker, len(samples))
    if not phonemes:
        raise ValueError(f"espeak-ng has nothing to speak in {text!r}")
    waveform = soxr.resample(samples.astype(np.float32) / 32768.0, speaker.sampling_rate, sampling_rate)
    waveform = np.clip(waveform, -1.0, 1.0)
    return SynthesizedSpeech(waveform, sampling_rate, _align_words(speaker, text, phonemes), phonemes)


def synthesize(text: str, voice: Voice, sampling_rate: int = SAMPLING_RATE, seed: int = 0) -> np.ndarray:
    """float32 waveform of a text, of shape `(num_samples,)`; arguments and errors as `synthesize_with_alignment`."""
    return synthesize_with_alignment(text, voice, sampling_rate, seed).samples


def _draw_voices(language: str, index: int, num_voices: int, voices: Sequence[Voice], seed: int) -> list[Voice]:
    """Different voices for a text, each with its own pitch and rate: a function of the seed and the text's index."""
    candidates = [voice for voice in voices if voice.language == language]
    if len(candidates) < num_voices:
        raise ValueError(
            f"{num_voices} voices a text wanted, but there are {len(candidates)} of language {language!r}"
        )
    rng = np.random.default_rng([seed, index])
    drawn = [candidates[choice] for choice in rng.permutation(len(candidates))[:num_voices]]
    return [
        replace(
            voice,
            pitch=int(np.clip(voice.pitch + rng.integers(-15, 16), 0, 99)),
            pitch_range=int(np.clip(voice.pitch_range + rng.integers(-10, 16), 0, 99)),
            rate=int(np.clip(voice.rate * rng.uniform(0.8, 1.2), 80, 450)),
        )
        for voice in drawn
    ]


def _synthesize_rows(
    jobs: list[tuple[int, str, str]], voices: tuple[Voice, ...], num_voices: int, seed: int
) -> Iterator[dict]:
    for index, text, language in jobs:
        for voice in _draw_voices(language, index, num_voices, voices, seed):
            samples = np.round(synthesize(text, voice, seed=seed) * 32767.0).astype(np.int16)
            yield {
                "samples": samples,
                "text": text,
                "language": language,
                "duration": len(samples) / SAMPLING_RATE,
                "source": SOURCE,
            }


def _fingerprint(**arguments: object) -> str:
    serialized = json.dumps({"version": _SYNTHESIS_VERSION, **arguments}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(serialized.encode("utf-8")).hexdigest()


def _load_complete(output_dir: Path, fingerprint: str) -> Dataset | None:
    """The data set in `output_dir` if it is this one; None if there is none or another synthetic one to replace."""
    manifest = output_dir / _MANIFEST
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return None
    if not manifest.is_file():
        raise FileExistsError(f"{output_dir} holds something other than a synthetic data set; it is left as it is")
    if json.loads(manifest.read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
        return None
    return datasets.load_from_disk(str(output_dir))


def _write(output_dir: Path, generate: "partial[Iterator[dict]]", jobs: list, fingerprint: str, num_proc: int) -> None:
    """Writes into a neighbouring folder and renames it, so that `output_dir` is whole whenever it exists."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}-", dir=output_dir.parent) as scratch:
        built = Dataset.from_generator(
            generate,
            features=FEATURES,
            gen_kwargs={"jobs": jobs},
            cache_dir=f"{scratch}/cache",
            num_proc=num_proc if num_proc > 1 else None,
        )
        built.save_to_disk(f"{scratch}/built")
        summary = {"fingerprint": fingerprint, "rows": len(built), "hours": sum(built["duration"]) / 3600}
        (Path(scratch) / "built" / _MANIFEST).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        if output_dir.exists():
            os.rename(output_dir, f"{scratch}/replaced")
        os.rename(f"{scratch}/built", output_dir)


def build_synthetic_dataset(
    texts: Sequence[str],
    languages: str | Sequence[str],
    output_dir: str | os.PathLike,
    seed: int = 0,
    voices_per_text: int = 1,
    voices: Sequence[Voice] = VOICES,
    num_proc: int = 1,
) -> Dataset:
    """Speaks every text and saves the rows as an Arrow data set (32 kB a second of audio).

    Rows are those of [`~trainers.sources.decode_ahead`]: `samples` (int16, 16 kHz mono), `text`, `language`,
    `duration` in seconds, `source`. They follow the order of the texts and are the same for every `num_proc`.

    Args:
        texts: Written without digits: espeak-ng's Mandarin reads "2023年" as a quantity, the tokenizer as a year.
        languages: "en" or "zh", one for all or one a text.
        output_dir: Folder of the data set. If it already holds the one that these arguments give, that is returned; if
            it holds another synthetic one, that is replaced.
        seed: Decides voices, pitches and rates.
        voices_per_text: Different voices that speak each text, one row each.
        voices: Speakers to choose from.
        num_proc: Number of processes.

    Raises:
        ValueError: No texts, an empty text, a language without enough voices.
        FileExistsError: `output_dir` holds something else.
    """
    languages = [languages] * len(texts) if isinstance(languages, str) else languages
    languages = [language_code(language) for language in languages]
    if not texts:
        raise ValueError("there are no texts to speak")
    if voices_per_text < 1 or num_proc < 1:
        raise ValueError(f"voices_per_text {voices_per_text} and num_proc {num_proc} must be at least 1")
    jobs = [(index, text, language) for index, (text, language) in enumerate(zip(texts, languages, strict=True))]
    _library_copy()  # before forking: workers end without their exit handlers and would leave their copies behind
    for language in sorted(set(languages)):
        _draw_voices(language, 0, voices_per_text, voices, seed)
    speakers = [asdict(voice) for voice in voices]
    fingerprint = _fingerprint(jobs=jobs, seed=seed, voices_per_text=voices_per_text, voices=speakers)
    output_dir = Path(output_dir).absolute()
    complete = _load_complete(output_dir, fingerprint)
    if complete is None:
        generate = partial(_synthesize_rows, voices=tuple(voices), num_voices=voices_per_text, seed=seed)
        _write(output_dir, generate, jobs, fingerprint, min(num_proc, len(jobs)))
        complete = datasets.load_from_disk(str(output_dir))
    return complete


# Patterns of slots, and what may fill them: about 60 words a language, so that a tiny model learns them in minutes.
_ENGLISH_SLOTS = {
    "color": ("red", "green", "blue", "white", "black"),
    "animal": ("dog", "cat", "horse", "bird", "fish"),
    "place": ("river", "city", "house", "school", "garden", "market"),
    "number": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    "thing": ("books", "apples", "letters", "boxes"),
    "person": ("mother", "brother", "teacher", "doctor"),
    "verb": ("sleeps", "waits", "runs", "sings"),
    "time": ("today", "tomorrow", "tonight"),
    "action": ("open", "close", "clean", "paint"),
    "object": ("door", "window", "table"),
}
_MANDARIN_SLOTS = {
    "color": ("红", "绿", "蓝", "白", "黑"),
    "animal": ("狗", "猫", "马", "鸟", "鱼"),
    "place": ("学校", "公园", "商店", "北京", "上海"),
    "number": ("两", "三", "四", "五", "六", "七", "八", "九", "十"),
    "thing": ("苹果", "包子", "杯子"),
    "person": ("妈妈", "老师", "医生", "朋友"),
    "verb": ("睡觉", "吃饭", "唱歌"),
    "time": ("今天", "明天", "晚上"),
    "action": ("打开", "关上"),
    "object": ("门", "窗户", "电脑"),
}
SENTENCE_PATTERNS = {
    "en": (
        "the {color} {animal} {verb} near the {place}",
        "my {person} has {number} {thing} and {number} {thing}",
        "please {action} the {color} {object} {time}",
        "we go to the {place} with my {person} {time}",
        "{number} {number} {number} {number}",
    ),
    "zh": (
        "{color}{animal}在{place}{verb}",
        "{person}有{number}个{thing}",
        "请{time}{action}{color}{object}",
        "我们{time}和{person}去{place}{verb}",
        "{number}{number}{number}{number}",
    ),
}
_SLOTS = {"en": _ENGLISH_SLOTS, "zh": _MANDARIN_SLOTS}


def _is_test_sentence(sentence: str) -> bool:
    """A tenth of all sentences, chosen by their spelling alone so that the splits are disjoint under every seed."""
    return hashlib.sha256(sentence.encode("utf-8")).digest()[0] < 26


def _fill(pattern: str, slots: dict[str, tuple[str, ...]], rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: rng.choice(slots[slot.group(1)]), pattern)


def synthetic_sentences(language: str, num_sentences: int, split: str = "train", seed: int = 0) -> list[str]:
    """Different sentences over a closed vocabulary of about 60 words.

    Args:
        language: "en" or "zh".
        num_sentences: At most 3000 for "train" and 300 for "test".
        split: "train" or "test"; no sentence is in both, under any seed.
        seed: Decides which sentences, and their order.
    """
    language = language_code(language)
    limits = {"train": 3000, "test": 300}
    if split not in limits or not 0 <= num_sentences <= limits[split]:
        raise ValueError(f"split {split!r} has no {num_sentences} sentences; there are {limits}")
    rng = random.Random(f"{language} {split} {seed}")
    sentences: dict[str, None] = {}
    while len(sentences) < num_sentences:
        pattern = rng.choice(SENTENCE_PATTERNS[language])
        sentence = _fill(pattern, _SLOTS[language], rng)
        if _is_test_sentence(sentence) == (split == "test"):
            sentences[sentence] = None
    return list(sentences)
