# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Kokoro as a second engine: its files, its speech, and what is told where something is missing.

The network is a real ONNX file of a few operators (tests/helpers/kokoro_folder.py). With --kokoro_dir and
--whisper_dir the real one speaks and Whisper hears it.
"""

import dataclasses

import numpy as np
import pytest
from kokoro_folder import SAMPLES_A_TOKEN, SYMBOLS, make_hub_layout, make_kokoro_folder

from entropy_asr.trainers.data import kokoro
from entropy_asr.trainers.data.kokoro import KokoroEngine, KokoroVoice, find_weights, trim_silence
from entropy_asr.trainers.data.speech_engines import named_voices
from entropy_asr.trainers.data.synthesis import SAMPLING_RATE
from entropy_asr.trainers.data.text import simplify_characters, units


@pytest.fixture
def engine(kokoro_weights):
    return KokoroEngine(str(kokoro_weights))


def voice(name: str, speed: float = 1.0) -> KokoroVoice:
    return KokoroVoice({"z": "zh"}.get(name[0], "en"), name, speed)


def test_voices_of_readable_languages_are_offered_and_the_unclear_one_only_by_name(engine):
    names = [voice.name for voice in engine.voices]
    assert names == ["af_heart", "am_adam", "bf_emma", "zm_yunxi"]
    assert {voice.name for voice in engine.all_voices} - set(names) == {"zf_xiaoni"}
    assert [voice.language for voice in engine.voices] == ["en", "en", "en", "zh"]


def test_speech_is_16_khz_at_the_pitch_that_the_network_gave(engine):
    """One tone of the network's 24 kHz: as long, and as high, at 16 kHz; silence at both ends is cut to 0.1 s."""
    reading = "z" * 40
    samples = engine.speak(reading, voice("af_heart"))
    assert samples.dtype == np.float32 and samples.ndim == 1 and np.abs(samples).max() <= 1
    assert len(samples) / SAMPLING_RATE == pytest.approx((len(reading) + 2) * SAMPLES_A_TOKEN / 24000, abs=0.01)
    spectrum = np.abs(np.fft.rfft(samples))
    frequency = np.argmax(spectrum) * SAMPLING_RATE / len(samples)
    assert frequency == pytest.approx(100 + 20 * (SYMBOLS.index("z") + 1), abs=40)


def test_the_style_is_that_of_the_voice_and_of_the_number_of_phonemes(engine):
    level = {
        (name, length): engine.speak("m" * length, voice(name)).max()
        for name in ("af_heart", "zm_yunxi")
        for length in (1, 200)
    }
    assert level["zm_yunxi", 200] > level["af_heart", 200] > level["af_heart", 1] > 0.045
    assert level["af_heart", 1] == pytest.approx(0.05, abs=0.005)
    assert level["af_heart", 200] == pytest.approx(0.07, abs=0.005)


def test_the_same_reading_voice_and_speed_give_the_same_speech(engine):
    first = engine.speak("hello", voice("af_heart"))
    engine.speak("something else", voice("zm_yunxi"))
    assert np.array_equal(first, engine.speak("hello", voice("af_heart"), seed=7))
    assert not np.array_equal(first, engine.speak("hello", voice("af_heart", 1.2)))


def test_speeds_are_drawn_and_bounded(engine):
    speeds = {engine.vary(voice("af_heart"), np.random.default_rng(seed)).speed for seed in range(50)}
    assert len(speeds) > 40 and 0.8 <= min(speeds) < 0.85 < 1.15 < max(speeds) <= 1.2
    with pytest.raises(ValueError, match="voice af_heart: speed 3 is outside 0.5 to 2"):
        KokoroVoice("en", "af_heart", 3)


def test_the_layout_of_the_hub_is_read_too(engine, tmp_path):
    other = KokoroEngine(str(make_hub_layout(tmp_path / "hub")))
    assert other.voices == engine.voices
    spoken = [one.speak(one.reading("hello", voice("bf_emma")), voice("bf_emma")) for one in (engine, other)]
    assert np.array_equal(*spoken)


def test_british_voices_read_as_in_britain(engine):
    assert engine.reading("her car", voice("af_heart")) == "her car."
    assert engine.reading("her car", voice("bf_emma")) == "he ca."


def test_sentences_end_as_the_text_does_or_with_a_full_stop(engine):
    readings = [engine.reading(text, voice("af_heart")) for text in ("hello", "hello.", "hello, ")]
    assert readings == ["hello.", "hello.", "hello,"]


@pytest.mark.parametrize("text", ["", "...", "!?"])
def test_a_text_without_anything_to_say_is_refused(engine, text):
    with pytest.raises(ValueError, match="nothing to speak in"):
        engine.reading(text, voice("af_heart"))


def test_a_long_text_is_refused_with_its_length(engine):
    assert len(engine.reading("a" * 510, voice("af_heart"))) == 510
    assert len(engine.speak("a" * 510, voice("af_heart"))) > 12 * SAMPLING_RATE
    with pytest.raises(ValueError, match="at most 510 phonemes at once, and 'aaa.*' has 511: cut it"):
        engine.reading("a" * 511, voice("af_heart"))


def test_a_phoneme_that_the_weights_do_not_know_is_named(engine, tmp_path):
    vocabulary = tmp_path / "kokoro" / "vocab.json"
    vocabulary.write_text(vocabulary.read_text(encoding="utf-8").replace('"h"', '"H"'), encoding="utf-8")
    with pytest.raises(ValueError, match="no phoneme 'h', which 'hello' is read with"):
        KokoroEngine(str(tmp_path / "kokoro")).reading("hello", voice("af_heart"))


def test_what_decides_the_audio_is_in_the_key_and_its_place_is_not(engine, tmp_path):
    same = KokoroEngine(str(make_kokoro_folder(tmp_path / "copy")))
    voices = engine.voices[:2]
    key = engine.key(voices)
    assert same.key(voices) == key
    assert engine.key(voices[:1]) != key
    for file in ("voices/af_heart.bin", "model.int8.onnx", "vocab.json"):
        path = tmp_path / "copy" / file
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert KokoroEngine(str(tmp_path / "copy")).key(voices) != key, file
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("model.int8.onnx", r"no network \(onnx/model_quantized.onnx, model.int8.onnx, model.onnx\)"),
        ("vocab.json", r"no vocabulary \(tokenizer.json, vocab.json\)"),
        ("voices/*.bin", r"no voice \(voices/\*.bin\)"),
    ],
)
def test_a_missing_file_is_named_with_the_layout(tmp_path, removed, message):
    folder = make_kokoro_folder(tmp_path / "kokoro")
    for path in list(folder.glob(removed)):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{message}; they are read as onnx-community/Kokoro-82M-v1.0-ONNX"):
        find_weights(str(folder))


@pytest.mark.parametrize("weights", ["/no/such/folder", "nobody/nothing"])
def test_weights_that_are_nowhere_are_one_error(weights):
    with pytest.raises(FileNotFoundError, match=f"weights {weights}: neither a folder nor a repository on the Hub"):
        KokoroEngine(weights)


def test_weights_on_the_hub_are_downloaded_without_the_other_networks(tmp_path, monkeypatch):
    folder, asked = make_hub_layout(tmp_path / "hub"), []

    def download(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        return str(folder)

    monkeypatch.setattr(kokoro, "snapshot_download", download)
    assert find_weights("my-org/kokoro") == folder
    ((repository, patterns),) = asked
    assert repository == "my-org/kokoro"
    assert {"voices/*.bin", "tokenizer.json", "onnx/model_quantized.onnx"} <= set(patterns)
    assert not {"onnx/model.onnx", "onnx/*"} & set(patterns)


def test_files_that_cannot_be_read_are_named(engine, tmp_path):
    (tmp_path / "kokoro" / "voices" / "af_heart.bin").write_bytes(b"1234")
    with pytest.raises(ValueError, match="af_heart.bin: 1 numbers, where a voice has 130560"):
        engine.speak("a", voice("af_heart"))
    (tmp_path / "pointer").mkdir()
    folder = make_kokoro_folder(tmp_path / "pointer" / "kokoro")
    (folder / "model.int8.onnx").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="model.int8.onnx: no ONNX network that can be loaded"):
        KokoroEngine(str(folder)).speak("a", voice("am_adam"))
    (folder / "vocab.json").write_text('{"vocab": {"ㄅ": 1}}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"vocab.json: Mandarin in Bopomofo.*version 1\.0"):
        KokoroEngine(str(folder)).speak("a", voice("am_adam"))


def test_silence_is_cut_to_a_tenth_of_a_second_and_speech_is_not():
    speech = np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
    speech[3000:5000] = 0
    padded = np.concatenate([np.full(9600, 1e-5), speech, np.zeros(16000)]).astype(np.float32)
    trimmed = trim_silence(padded, 16000)
    assert np.array_equal(trimmed, padded[9600 - 1600 : 9600 + 8000 + 1600])
    assert np.array_equal(trim_silence(speech, 16000), speech)
    for silence in (np.zeros(500, dtype=np.float32), np.zeros(5, dtype=np.float32)):
        assert np.array_equal(trim_silence(silence, 16000), silence)


# The real network


SENTENCES = {
    "af_heart": "she walked slowly along the river and thought about the letter",
    "bm_george": "the old house stood on a hill above the village",
    "zf_xiaoxiao": "今天天气很好我们去公园散步",
    "zm_yunxi": "他们明天早上坐火车去北京",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_whisper_hears_the_sentence(kokoro_dir, whisper_dir, name):
    pytest.importorskip("hibari")
    pytest.importorskip("misaki.zh")
    text = SENTENCES[name]
    heard, language = hear(whisper_dir, kokoro_dir, text, name)
    assert units(heard, language) == units(text, language)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [("zm_yunxi", "请把email发给我", "mail"), ("am_michael", "my friend 王小明 likes tea", "wang")],
)
def test_whisper_hears_the_word_of_the_other_language(kokoro_dir, whisper_dir, name, text, word):
    pytest.importorskip("hibari")
    pytest.importorskip("misaki.zh")
    heard, _ = hear(whisper_dir, kokoro_dir, text, name)
    assert word in heard.lower()


def test_real_speech_has_neither_long_silence_nor_noise_of_its_own(kokoro_dir):
    pytest.importorskip("hibari")
    engine = KokoroEngine(str(kokoro_dir))
    assert len(engine.all_voices) == 36 and len(engine.voices) == 35
    (heart,) = named_voices(engine, "en", ["af_heart"])
    reading = engine.reading("hello there", heart)
    samples = engine.speak(reading, heart)
    assert np.array_equal(samples, KokoroEngine(str(kokoro_dir)).speak(reading, dataclasses.replace(heart)))
    assert 0.5 < len(samples) / SAMPLING_RATE < 1.5
    assert np.abs(samples[:800]).max() < 0.01 and np.abs(samples[-800:]).max() < 0.01


def hear(whisper_dir, kokoro_dir, text: str, name: str) -> tuple[str, str]:
    """What Whisper makes of a text as Kokoro says it, and the text's language."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    engine = KokoroEngine(str(kokoro_dir))
    speaker = next(voice for voice in engine.voices if voice.name == name)
    samples = engine.speak(engine.reading(text, speaker), speaker)
    processor = WhisperProcessor.from_pretrained(whisper_dir)
    model = WhisperForConditionalGeneration.from_pretrained(whisper_dir)
    features = processor(samples, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features
    tokens = model.generate(features, language=speaker.language, task="transcribe", max_length=64)
    heard = processor.decode(tokens[0], skip_special_tokens=True)
    return (simplify_characters(heard) if speaker.language == "zh" else heard), speaker.language
