# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo without a browser: settings, requests, live streams and pictures, with the bundled checkpoint."""

import base64
import json
import re
import threading
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import RepoCard


gr = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("espeakng_loader")

from entropy_asr.modeling.ledger_entropy_asr import UtteranceLedger, summarize_ledgers  # noqa: E402
from entropy_asr.spaces.demo import page as demo_page  # noqa: E402
from entropy_asr.spaces.demo.entropy_view import _verdict, explanation_html, spectrogram_png  # noqa: E402
from entropy_asr.spaces.demo.live import LiveSessions  # noqa: E402
from entropy_asr.spaces.demo.live_page import HEAR, LiveHandlers, to_mono  # noqa: E402
from entropy_asr.spaces.demo.recognizer import (  # noqa: E402
    DemoError,
    Explanation,
    Recognizer,
    script_flags,
    written_languages,
)
from entropy_asr.spaces.demo.report_view import read_report  # noqa: E402
from entropy_asr.spaces.demo.settings import DemoSettings  # noqa: E402
from entropy_asr.spaces.demo.transcript_view import flags_html, live_html, transcript_html  # noqa: E402
from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT  # noqa: E402
from entropy_asr.trainers.data.synthesis import Voice, synthesize  # noqa: E402


SETTINGS = DemoSettings(max_seconds=60, max_hotwords=5, max_live=2, max_live_seconds=20)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(SETTINGS)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return synthesize("one two three four five six seven", Voice("en", "gmw/en-US", "m3"))


@pytest.fixture(scope="module")
def recording(digits, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("recordings") / "seven digits.wav"
    soundfile.write(path, digits, 16000)
    return str(path)


# settings


def test_settings_come_from_the_environment_and_options_go_first():
    environment = {"ENTROPY_ASR_MODEL": "some/model", "ENTROPY_ASR_MAX_SECONDS": "20", "ENTROPY_ASR_MAX_LIVE": "3"}
    settings = DemoSettings.from_environment(environment, model=None, dtype="bfloat16")
    assert (settings.model, settings.max_seconds, settings.max_live, settings.dtype) == (
        "some/model",
        20,
        3,
        "bfloat16",
    )
    assert DemoSettings.from_environment(environment, model="other").model == "other"
    assert DemoSettings.from_environment({}).model == str(BUNDLED_CHECKPOINT)


@pytest.mark.parametrize(("text", "reason"), [("many", "must be a number"), ("0", "must be positive")])
def test_wrong_settings_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        DemoSettings.from_environment({"ENTROPY_ASR_MAX_SECONDS": text})


def test_readme_names_every_variable_and_the_space_is_complete():
    card = RepoCard.load(BUNDLED_CHECKPOINT.parent / "README.md")
    assert card.data.sdk == "gradio" and (BUNDLED_CHECKPOINT.parent / card.data.app_file).is_file()
    for name in DemoSettings.__dataclass_fields__:
        assert f"ENTROPY_ASR_{name.upper()}" in card.text
    major = int(card.data.sdk_version.split(".")[0])
    assert major == int(gr.__version__.split(".")[0])


# recordings


def test_transcript_words_make_the_text(recognizer, recording):
    result = recognizer.transcribe(recording, "en")
    assert result["text"] and "".join(chunk["text"] for chunk in result["chunks"]).strip() == result["text"]
    shown = transcript_html(result, recording)
    assert shown.count("data-start") == len(result["chunks"])
    assert f'data-recording="{recording}"' in shown and f"{100 * result['confidence']:.0f} %" in shown


def test_flags_are_visible(recognizer, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000), 16000)
    result = recognizer.transcribe(str(tmp_path / "silence.wav"))
    assert result["text"] == "" and "No speech was heard" in transcript_html(result, "silence.wav")


@pytest.mark.parametrize(
    ("text", "asked", "written", "flagged"),
    [
        ("hello there", "zh", ["en"], True),
        ("hello there", "en", ["en"], False),
        ("你好", "en", ["zh"], True),
        ("hello 你好", "en", ["en", "zh"], True),
        ("卡拉OK", "zh", ["en", "zh"], False),
        ("hello", None, ["en"], False),
        ("42", "zh", [], False),
        ("", "zh", [], False),
    ],
)
def test_a_text_in_another_script_than_asked_for_is_told(text, asked, written, flagged):
    assert written_languages(text) == written
    flags = script_flags(text, asked)
    assert flags == (["other_script"] if flagged else [])
    if flagged:
        shown = flags_html(flags, asked, written)
        assert ("asked for Mandarin" in shown) == (asked == "zh")
        assert ("Latin letters" in shown) == ("en" in written) and ("Chinese characters" in shown) == ("zh" in written)


def result_of(**facts) -> dict:
    """A result as the page shows it."""
    common = {"text": "ask kaldi", "chunks": [], "confidence": 0.9, "flags": [], "duration": 1.0, "language": "en"}
    return {**common, "written_languages": ["en"], "hotwords": [], "hotwords_found": [], **facts}


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"hotwords": ["a", "b", "c"]}, "none of your 3 was heard"),
        ({"hotwords": ["Kaldi"], "hotwords_found": ["Kaldi"]}, "Hotwords found: <b>Kaldi</b> (1 of 1)</li>"),
        (
            {"hotwords": ["Kaldi", "k2", "<b>"], "hotwords_found": ["Kaldi", "<b>"]},
            "<b>Kaldi</b>, <b>&lt;b&gt;</b> (2 of 3), heard but not written: <i>&lt;b&gt;</i>",
        ),
        ({}, "Language: <b>English</b>, as you asked"),
        ({"language": "auto"}, "Language: <b>English</b>, as the model decided"),
        ({"language": "auto", "written_languages": ["en", "zh"]}, "<b>English and Mandarin</b>, as the model decided"),
    ],
)
def test_hotwords_and_language_that_were_heard_are_shown(facts, shown):
    page = transcript_html(result_of(**facts), "a.wav")
    assert shown in page and ("Hotwords" in page) == bool(facts.get("hotwords"))


def test_hotwords_of_box_and_file_are_heard(recognizer, recording, tmp_path):
    (tmp_path / "words.txt").write_text("three\nfour\n", encoding="utf-8")
    result = recognizer.transcribe(recording, "en", "one, two;three", str(tmp_path / "words.txt"))
    assert result["hotwords"] == ["one", "two", "three", "four"]
    assert result["hotwords_found"] and set(result["hotwords_found"]) <= set(result["hotwords"])
    assert (result["language"], result["written_languages"]) == ("en", ["en"])


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_errors_are_words_that_name_the_file_only(recognizer, recording, tmp_path):
    soundfile.write(tmp_path / "two hours.flac", np.zeros(2 * 3600 * 8000, dtype=np.int16), 8000)
    cases = [
        ((None,), "no recording yet"),
        ((write(tmp_path / "empty.wav", b""),), r"^empty\.wav is empty"),
        (
            (write(tmp_path / "paper.pdf", b"%PDF-1.7 " * 99),),
            r"^paper\.pdf: cannot be decoded.*\. This page reads WAV, FLAC, MP3,",
        ),
        ((str(tmp_path / "two hours.flac"),), r"^two hours\.flac lasts 2 h, and this page takes up to 1 min"),
        ((str(tmp_path / "gone.wav"),), r"^gone\.wav is not there"),
        ((recording, "fr"), "language"),
        ((recording, "en", "a,b,c,d,e,f"), "6 hotwords are too many: this demo takes 5"),
        ((recording, "en", "", write(tmp_path / "words.txt", b"\xff\xfe\x00")), r"words\.txt is not a text file"),
        ((recording, "en", "???"), r"\?\?\?"),
    ]
    for arguments, reason in cases:
        with pytest.raises(DemoError, match=reason) as error:
            recognizer.transcribe(*arguments)
        assert str(tmp_path) not in str(error.value)


def test_a_model_that_cannot_be_loaded_is_told(tmp_path, recording):
    with pytest.raises(DemoError, match="could not be loaded"):
        Recognizer(DemoSettings(model=str(tmp_path / "nothing"))).transcribe(recording)


def test_downloads_agree_with_the_result(recognizer, recording, tmp_path):
    handlers = demo_page.Handlers(recognizer)
    text, _, details, *files = next(outputs := handlers.transcribe(recording, "en"))
    contents = {Path(file).suffix: Path(file).read_text(encoding="utf-8") for file in files}
    assert [Path(file).name for file in files] == [f"seven digits.{name}" for name in ("txt", "srt", "vtt", "json")]
    assert contents[".txt"] == text + "\n" and json.loads(contents[".json"])["text"] == text == details["text"]
    assert contents[".vtt"].startswith("WEBVTT") and re.search(r"00:00:0\d,\d{3} --> ", contents[".srt"])
    outputs.close()
    assert not Path(files[0]).exists()  # the server does not fill up


# entropy


def test_ledger_and_picture_agree(recognizer, recording):
    explanation = recognizer.explain(recording, "en", "one two three four five six seven")
    totals = explanation.ledger.totals()
    picture = explanation_html(explanation)
    for name in ("uniform", "prior", "encoder", "full"):
        assert f"{totals[name]:.1f} nats" in picture
    assert picture.count('class="bars"') == len(explanation.ledger.tokens)
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", picture, re.DOTALL).group())
    texts = ["".join(node.itertext()) for node in svg.iter() if node.tag.endswith("text")]
    assert {"Frequency (kHz)", "Entropy (nats)", "Time (s)"} <= set(texts)
    assert len(explanation.frame_entropies) == len(explanation.log_probs)
    assert 0 <= explanation.frame_entropies.min() <= explanation.frame_entropies.max() <= explanation.max_entropy


def test_verdict_compares_with_the_better_guess():
    assert "50 % of the language model's" in _verdict({"uniform": 100.0, "prior": 60.0, "full": 30.0}, False)
    worse = _verdict({"uniform": 100.0, "prior": 200.0, "full": 50.0}, True)
    assert "50 % of the uncertainty" in worse and "a broken prior: it guesses this text worse than one that" in worse
    assert "does not support it" in _verdict({"uniform": 119.6, "prior": 221.0, "full": 129.1}, True)


OWN_GUESS = "These figures are about the model's own guess"


def explanation(left: dict[str, list[float]], confidence: float, **others) -> Explanation:
    """An utterance of one frame and two tokens, of which each module leaves so many nats."""
    ledger = UtteranceLedger(["a", "b"], 8.0, left["prior"], left["encoder"], left["full"], [0.0, 0.0], 2)
    facts = {"language": "en", "text": "ab", "flags": [], "is_recognized": True, **others}
    return Explanation(
        waveform=np.zeros(1600, dtype=np.float32),
        log_probs=torch.full((2, 4), 0.25).log(),
        phonemes=[],
        seconds_per_frame=0.04,
        ledger=ledger,
        confidence=confidence,
        **facts,
    )


def test_figures_of_the_models_own_text_are_said_to_be_of_its_guess():
    left = {"prior": [7.0, 7.0], "encoder": [4.0, 4.0], "full": [0.5, 0.5]}
    doubtful = explanation_html(explanation(left, 0.1, flags=["low_agreement"]))
    assert "takes away 93 %" in doubtful and f"{OWN_GUESS}, which the sound does not support" in doubtful
    assert "Do not rely on it" in doubtful and "confidence 10 %" in doubtful
    assert f"{OWN_GUESS}: they tell how sure it is of itself" in explanation_html(explanation(left, 0.9))
    given = explanation_html(explanation(left, 0.1, flags=["low_agreement"], is_recognized=False))
    assert OWN_GUESS not in given and "about the text that you gave, which the sound does not support" in given
    assert "These figures" not in explanation_html(explanation(left, 0.9, is_recognized=False))


def test_a_broken_prior_is_said_and_drawn_as_one():
    left = {"prior": [9.0, 9.0], "encoder": [4.0, 4.0], "full": [0.5, 0.5]}
    broken = explanation(left, 0.9)
    assert broken.ledger.is_prior_broken and broken.ledger.to_dict()["is_prior_broken"]
    assert 'class="bar prior broken"' in explanation_html(broken) and "broken prior" in explanation_html(broken)
    assert summarize_ledgers([broken.ledger])["is_prior_broken"]
    whole = explanation({**left, "prior": [7.0, 8.0]}, 0.9)
    assert not whole.ledger.is_prior_broken and "broken" not in explanation_html(whole)


def test_a_text_that_is_not_in_the_sound_is_said_to_be_none():
    left = {"prior": [7.0, 7.0], "full": [0.5, 0.5]}
    heard, unheard = (explanation({**left, "encoder": [nats] * 2}, 0.9) for nats in (6.0, 8.0))
    assert "not in the sound" in explanation_html(unheard) and "not in the sound" not in explanation_html(heard)
    impossible = explanation_html(explanation({**left, "encoder": [float("inf")] * 2}, 0.9))
    assert "impossible: too few frames" in impossible and "not in the sound" not in impossible


def test_text_of_the_audio_is_less_surprising_than_another(recognizer, recording):
    """What the picture is for: words that were said cost the encoder less than words that were not."""
    said = recognizer.explain(recording, "en", "one two three four five six seven").ledger.totals()
    other = recognizer.explain(recording, "en", "people like old houses in the mountains").ledger.totals()
    assert said["encoder"] < other["encoder"]


def test_spectrogram_shows_a_tone_where_it_is():
    from io import BytesIO

    from PIL import Image

    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    image = np.asarray(Image.open(BytesIO(spectrogram_png(tone)))).astype(int).sum(-1)
    brightest = image.mean(axis=1).argmax()
    share = 2595 * np.log10(1 + 1000 / 700) / (2595 * np.log10(1 + 8000 / 700))
    assert abs((1 - share) * len(image) - brightest) < 4


def test_text_is_escaped(recognizer, recording):
    explanation = recognizer.explain(recording, "en", "<b>one</b> & two")
    assert "<b>one" not in explanation_html(explanation)


@pytest.mark.parametrize("num_samples", [1, 160, 256, 257, 1600])  # 1600: 100 ms
def test_clips_shorter_than_a_window_of_the_spectrogram_are_drawn(recognizer, tmp_path, num_samples):
    clip = 0.1 * np.random.default_rng(0).normal(size=num_samples)
    soundfile.write(tmp_path / "click.wav", clip, 16000)
    explanation = recognizer.explain(str(tmp_path / "click.wav"), "en", "hello")
    assert len(explanation.frame_entropies) == 1 + (num_samples == 1600)
    picture = explanation_html(explanation)
    ElementTree.fromstring(re.search(r"<svg.*</svg>", picture, re.DOTALL).group())
    assert "impossible: too few frames" in picture  # four phonemes in one or two frames


def test_silence_has_nothing_to_explain(recognizer, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(32000), 16000)
    with pytest.raises(DemoError, match="no speech"):
        recognizer.explain(str(tmp_path / "silence.wav"))


# live


def pieces(samples: np.ndarray, rate: int = 16000) -> list[np.ndarray]:
    pcm = (samples * 32767).astype(np.int16)
    return [pcm[start : start + rate // 2] for start in range(0, len(pcm), rate // 2)]


def stream(sessions: LiveSessions, samples: np.ndarray) -> tuple[list, list[str]]:
    """Partials seen on the way, and the final texts."""
    key, partials = sessions.start(16000, "en"), []
    for piece in pieces(samples):
        partials += [update for update in sessions.push(key, piece) if not update.is_final and update.phonemes]
    return partials, [update.text for update in sessions.finish(key)]


def test_live_streams_show_partials_and_do_not_disturb_each_other(recognizer, digits):
    sessions = LiveSessions(recognizer)
    padded = np.concatenate([digits, np.zeros(16000, dtype=np.float32)])
    partials, alone = stream(sessions, padded)
    assert partials and alone
    assert "partial" in live_html(partials[:1], True) and alone[0] in live_html([], False) + alone[0]
    together: list = [None, None]

    def run(place: int) -> None:
        together[place] = stream(sessions, padded)[1]

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone, alone] and not sessions.sessions


def test_live_limits_are_told_and_places_come_free(recognizer, digits):
    sessions = LiveSessions(recognizer)
    keys = [sessions.start(16000) for _ in range(2)]
    with pytest.raises(DemoError, match="All 2 live places are taken"):
        sessions.start(16000)
    sessions.leave(keys[0])
    again = sessions.start(48000)
    for _ in range(4):
        sessions.push(again, np.zeros(48000 * 5, dtype=np.int16))
    with pytest.raises(DemoError, match="at most 20 s"):
        sessions.push(again, np.zeros(48000 * 5, dtype=np.int16))
    assert not sessions.sessions[again].inbox, "what was refused is not worked on later"
    sessions.sessions[again].stream.finish()
    sessions.sessions[again].inbox.append(np.zeros(4800, dtype=np.int16))
    assert sessions.push(keys[1], np.zeros(1600, dtype=np.int16)) == [], "a piece after its stop costs nobody else"
    with pytest.raises(DemoError, match="cannot begin"):
        LiveSessions(recognizer).start(500)
    with pytest.raises(DemoError, match="has ended"):
        sessions.push(keys[0], pieces(digits)[0])


def test_who_leaves_while_being_stopped_is_told_and_nobody_else_notices(recognizer, digits, monkeypatch):
    sessions = LiveSessions(recognizer)
    leaving, staying = (sessions.start(16000, "en") for _ in range(2))
    for key in (leaving, staying):
        sessions.push(key, pieces(digits)[0])
    work = LiveSessions._work

    def work_and_leave(self: LiveSessions) -> None:
        work(self)
        self.leave(leaving)

    with monkeypatch.context() as patch:
        patch.setattr(LiveSessions, "_work", work_and_leave)
        with pytest.raises(DemoError, match="This live stream has ended"):
            sessions.finish(leaving)
    for piece in pieces(digits)[1:]:
        sessions.push(staying, piece)
    assert [update.text for update in sessions.finish(staying)] == stream(sessions, digits)[1]
    assert not sessions.sessions and not sessions._batch.streams


def test_a_stream_that_fails_at_its_end_gives_its_place_back(recognizer, monkeypatch):
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000)
    with monkeypatch.context() as patch:
        patch.setattr(sessions._batch, "finish", lambda stream: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sessions.finish(key)
    assert not sessions.sessions and not sessions._batch.streams


def test_pieces_that_cannot_follow_are_refused(recognizer, digits):
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000)
    with pytest.raises(DemoError, match="began at 16000 Hz: a piece at 8000 Hz"):
        sessions.push(key, pieces(digits)[0], 8000)
    with pytest.raises(DemoError, match="a live stream lasts at most 10 s"):
        sessions.push(key, np.zeros(16000 * 11, dtype=np.int16))
    assert not sessions.sessions[key].inbox and not sessions.sessions[key].seconds
    sessions.leave(key)


def test_stereo_is_mixed():
    stereo = np.array([[100, 300], [-2, 0]], dtype=np.int16)
    assert to_mono(stereo, 16000).tolist() == [200, -1]
    tone = np.array([1000, -2000, 3000], dtype=np.int16)
    assert to_mono(np.stack([tone, -tone], axis=1), 16000).tolist() == tone.tolist(), "channels that would cancel"


def test_a_piece_that_comes_twice_is_heard_once_and_a_missing_one_is_told(recognizer, digits):
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000, "en")
    for number, piece in enumerate(pieces(digits)):
        first = sessions.push(key, piece, number=number)
        assert sessions.push(key, piece, number=number) == first
        with pytest.raises(DemoError, match=f"piece {number + 1} is missing"):
            sessions.push(key, piece, number=number + 2)
    with pytest.raises(DemoError, match=f"pieces {number + 1} to {number + 2} are missing"):
        sessions.push(key, piece, number=number + 3)
    sessions.push(key, pieces(digits)[0], number=0)  # very late
    assert sessions.num_samples(key) == len(digits)
    texts = [update.text for update in sessions.finish(key, number + 1)]
    assert texts == stream(sessions, digits)[1]


def test_starts_and_ends_that_come_twice_are_answered_as_the_first_time(recognizer, digits):
    sessions = LiveSessions(recognizer)
    keys = [sessions.start(16000, "en", key="a visitor's key") for _ in range(3)]
    assert keys == ["a visitor's key"] * 3 and len(sessions._batch.streams) == 1
    for number, piece in enumerate(pieces(digits)):
        sessions.push(keys[0], piece, number=number)
    updates = sessions.finish(keys[0], number + 1)
    assert updates and sessions.finish(keys[0], number + 1) == updates
    assert sessions.num_samples(keys[0]) == len(digits)
    sessions.start(16000, key=keys[0])
    assert not sessions.sessions and not sessions._batch.streams, "a start that comes late begins nothing"
    short = sessions.start(16000)
    with pytest.raises(DemoError, match="pieces 0 to 1 are missing"):
        sessions.finish(short, 2)
    assert not sessions.sessions and not sessions._batch.streams


def test_what_has_ended_is_kept_for_a_few_streams_only(recognizer):
    sessions = LiveSessions(recognizer)
    for _ in range(20):
        assert sessions.finish(sessions.start(16000)) == []
    assert len(sessions._ended) == 4 * SETTINGS.max_live and not sessions.sessions


def test_the_place_of_a_visitor_who_has_gone_is_given_to_the_next(recognizer):
    sessions = LiveSessions(recognizer)
    gone, busy = (sessions.start(16000, max_idle=30) for _ in range(2))
    for key in (gone, busy):
        sessions.sessions[key].last_call -= 31
    with sessions._answering(busy):  # however long that takes
        sessions.start(16000)
    with pytest.raises(DemoError, match="has ended"):
        sessions.push(gone, np.zeros(1600, dtype=np.int16))
    sessions.push(busy, np.zeros(1600, dtype=np.int16))
    with pytest.raises(DemoError, match="All 2 live places are taken"):
        sessions.start(16000)


def test_live_streams_have_the_words_of_the_stream_command(recognizer, digits):
    from entropy_asr.modeling.streaming_entropy_asr import StreamingTranscriber

    silence = np.zeros(16000, dtype=np.float32)
    samples = np.concatenate([digits, silence, digits, silence])
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000, "en")
    for number, piece in enumerate(pieces(samples, 4321)):
        sessions.push(key, piece, number=number)
    transcriber = StreamingTranscriber(recognizer.pipeline, language="en")
    updates = [*transcriber.push((samples * 32767).astype(np.int16)), *transcriber.finish()]
    assert [update.text for update in sessions.finish(key)] == [u.text for u in updates if u.is_final]


def test_streams_on_a_borrowed_gpu_are_refused_in_words(recognizer, monkeypatch):
    import torch

    sessions = LiveSessions(recognizer)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(recognizer.pipeline, "device", torch.device("cuda"))
    with pytest.raises(DemoError, match="ZeroGPU"):
        sessions.start(16000)
    monkeypatch.setattr(recognizer.pipeline, "device", torch.device("cpu"))
    sessions.leave(sessions.start(16000))


# live, as the page's recorder asks


@pytest.fixture(scope="module")
def served(recognizer) -> Iterator[tuple[str, LiveSessions]]:
    """Address of the recorder's endpoint, and the sessions behind it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_page, "Recognizer", lambda settings: recognizer)
        made, create = [], LiveHandlers.__init__
        patch.setattr(LiveHandlers, "__init__", lambda self, *others: made.append(self) or create(self, *others))
        page = demo_page.build_page(SETTINGS)
    options = demo_page.launch_options(SETTINGS)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **options)
    yield f"{url}gradio_api/run/{HEAR}", made[0].sessions
    page.close()


def piece_request(key: str, number: int, samples: np.ndarray, **others) -> dict:
    audio = base64.b64encode(samples.astype("<i2").tobytes()).decode()
    asked = {"key": key, "number": number, "audio": audio, "rate": 16000, "language": "en", "hotwords": ""}
    return {**asked, "is_last": False, **others}


def post(url: str, request: object) -> dict:
    """The answer, or `{"error": ...}`."""
    body = json.dumps({"data": [request]}).encode()
    sent = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        return json.loads(urllib.request.urlopen(sent, timeout=120).read())["data"][0]
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def test_visitors_whose_requests_come_twice_and_at_once_are_heard_exactly(served, recognizer, digits):
    """Every request is given twice at the same time, as by a browser that has lost the answer."""
    url, sessions = served
    expected = [update.text for update in stream_updates(recognizer, digits)]

    def visit(key: str) -> str:
        parts = pieces(digits, 6000)
        for number, piece in enumerate(parts):
            request = piece_request(key, number, piece, is_last=number == len(parts) - 1)
            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(post, [url] * 2, [request] * 2))
            heard = sum(map(len, parts[: number + 1]))
            assert [answer.get("num_samples") for answer in answers] == [heard, heard], answers
        assert answers[0] == answers[1] == post(url, request)
        return answers[0]["html"]

    with ThreadPoolExecutor(2) as pool:
        shown = list(pool.map(visit, ["first visitor", "second visitor"]))
    assert not sessions.sessions
    for html in shown:
        assert all(text in html for text in expected) and html.count("final") == len(expected)


def stream_updates(recognizer: Recognizer, samples: np.ndarray) -> list:
    sessions = LiveSessions(recognizer)
    key = sessions.start(16000, "en")
    for piece in pieces(samples):
        sessions.push(key, piece)
    return sessions.finish(key)


def test_what_the_recorder_cannot_send_is_told_in_words(served, digits):
    url, sessions = served
    good = piece_request("a visitor", 0, pieces(digits)[0])
    cases = [
        ("hello", "needs `key`"),
        ({**good, "key": "abc"}, "7 to 64 characters"),
        ({**good, "number": "0"}, "needs `number` .int., not '0'"),
        ({**good, "number": -1}, "`number` from 0 on"),
        ({**good, "audio": "A"}, "no 16-bit PCM"),
        ({**good, "audio": "AAAA"}, "no 16-bit PCM"),
        ({**good, "rate": 5}, "cannot begin"),
        ({**good, "language": "xx"}, "language"),
        ({**good, "number": 3}, "has ended"),
    ]
    for request, reason in cases:
        assert re.search(reason, post(url, request)["error"]), request
    assert not sessions.sessions
    assert post(url, good)["num_samples"] == 8000
    assert "piece 1 is missing" in post(url, {**good, "number": 2})["error"]
    assert post(url, {"key": "a visitor", "leave": True}) == {"html": "", "num_samples": 0}
    assert not sessions.sessions


def test_visitors_beyond_the_places_are_told_and_come_in_when_one_leaves(served, digits):
    url, sessions = served
    requests = [piece_request(f"visitor {index}", 0, pieces(digits)[0]) for index in range(3)]
    assert [post(url, request).get("num_samples") for request in requests[:2]] == [8000, 8000]
    assert "All 2 live places are taken" in post(url, requests[2])["error"]
    post(url, {"key": "visitor 0", "leave": True})
    assert post(url, requests[2])["num_samples"] == 8000
    for request in requests:
        post(url, {"key": request["key"], "leave": True})
    assert not sessions.sessions


# page


class SlowRecognizer:
    """Hears one sentence in everything, and takes its time."""

    def __init__(self, settings: DemoSettings):
        self.settings = settings

    def transcribe(self, path: str, *others) -> dict:
        time.sleep(0.3)
        return result_of(text="hello")


def test_users_beyond_the_queue_are_told_and_the_others_answered(monkeypatch, recording):
    monkeypatch.setattr(demo_page, "Recognizer", SlowRecognizer)
    settings = DemoSettings(max_queue=3)
    page = demo_page.build_page(settings)
    options = demo_page.launch_options(settings)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **options)
    try:
        client = gradio_client.Client(url, verbose=False, httpx_kwargs={"timeout": 60}, download_files=False)
        asked = (gradio_client.handle_file(recording), "en", "", None)
        jobs = [client.submit(*asked, api_name="/transcribe") for _ in range(12)]
        errors = [str(error) for error in (job.exception(60) for job in jobs) if error]
        assert 4 <= len(jobs) - len(errors) < 12
        assert all("Queue is full" in error for error in errors)
        assert client.predict(*asked, api_name="/transcribe")[0] == "hello"
    finally:
        page.close()


def test_the_report_in_the_models_folder_is_shown_by_default(tmp_path):
    shown = json.dumps(demo_page.build_page(DemoSettings()).get_config_file(), default=str)
    assert "entropy-asr report" in shown and "librispeech_subset-trajectory" in shown
    assert DemoSettings(model=str(tmp_path)).report_folder is None
    assert DemoSettings(model=str(tmp_path), report="mine").report_folder == Path("mine")


def test_a_report_is_read_data_set_by_data_set_with_plots_as_vectors_where_they_are(tmp_path):
    for name in ("a-trajectory.png", "a-ledger.png", "a-ledger.svg", "b & c-ledger.png"):
        (tmp_path / name).write_bytes(b"")
    lines = ["# Report", "of all", "## a", "words", "![over stages](a-trajectory.png)", "![who < knows](a-ledger.png)"]
    lines += ["<details><summary>Figures</summary>", "", "folded", "</details>", "## b & c", "![](b & c-ledger.png)"]
    (tmp_path / "report.md").write_text("\n".join([*lines, "![](gone.png)"]), encoding="utf-8")
    general, first, second = read_report(tmp_path)
    assert (general.title, general.text, first.title, first.text) == (None, "of all\n", "a", "words\n")
    assert first.folded.strip() == "folded" and not second.folded
    shown = first.plots_html()
    assert shown.index("a-trajectory.png") < shown.index("a-ledger.svg") and "who &lt; knows" in shown
    assert "a-ledger.png" not in shown, "a vector is taken before a bitmap"
    assert "b%20%26%20c-ledger.png" in second.plots_html() and "gone" not in second.plots_html()


def test_live_streams_through_the_api_as_the_readme_has_it(monkeypatch, recognizer, digits, tmp_path):
    monkeypatch.setattr(demo_page, "Recognizer", lambda settings: recognizer)
    page = demo_page.build_page(SETTINGS)
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, inbrowser=False, **demo_page.launch_options(SETTINGS)
    )
    try:
        client = gradio_client.Client(url, verbose=False, httpx_kwargs={"timeout": 60})
        for _ in range(2):  # the second is a stream of its own
            heard = []
            for piece in pieces(digits):
                soundfile.write(tmp_path / "piece.wav", piece, 16000)
                asked = (gradio_client.handle_file(str(tmp_path / "piece.wav")), "en", "")
                heard.append(client.predict(*asked, api_name="/listen"))
            assert "partial" in heard[-1]
            assert client.predict(*asked, len(heard) - 1, api_name="/listen") == heard[-1]  # the same piece again
            with pytest.raises(Exception, match="is missing"):
                client.predict(*asked, len(heard) + 1, api_name="/listen")
            assert "final" in client.predict(api_name="/stop")
        assert "Nothing was said" in client.predict(api_name="/stop")
    finally:
        page.close()


def test_readme_describes_every_endpoint_with_its_inputs():
    text = (BUNDLED_CHECKPOINT.parent / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `/")}
    endpoints = demo_page.build_page(SETTINGS).get_api_info()["named_endpoints"]
    assert set(rows) == set(endpoints)
    for name, endpoint in endpoints.items():
        for parameter in endpoint["parameters"]:
            assert f"`{parameter['parameter_name']}`" in rows[name]


def test_page_builds_with_named_endpoints_and_a_report(tmp_path):
    (tmp_path / "report.md").write_text("# Report\n\n![plot](a.png)\n\nwords of the report\n", encoding="utf-8")
    page = demo_page.build_page(DemoSettings(report=str(tmp_path)))
    names = page.get_api_info()["named_endpoints"]
    assert set(names) == {"/transcribe", "/explain", "/listen", "/stop"}
    parameters = [parameter["parameter_name"] for parameter in names["/transcribe"]["parameters"]]
    assert parameters == ["audio", "language", "hotwords", "hotword_file"]
    shown = json.dumps(page.get_config_file(), default=str)
    assert "words of the report" in shown and "![plot]" not in shown
