# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture of where the entropy goes, and what it says."""

import re
import xml.etree.ElementTree as ElementTree
from io import BytesIO

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from entropy_asr.modeling.ledger_entropy_asr import UtteranceLedger
from entropy_asr.spaces.demo.entropy_view import explanation_html, spectrogram_png, verdict_line
from entropy_asr.spaces.demo.recognizer import (
    Explanation,
)
from entropy_asr.trainers.evaluation.ledger_summary import summarize_ledgers


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
    assert "50 % of the language model's" in verdict_line({"uniform": 100.0, "prior": 60.0, "full": 30.0}, False)
    worse = verdict_line({"uniform": 100.0, "prior": 200.0, "full": 50.0}, True)
    assert "50 % of the uncertainty" in worse and "a broken prior: it guesses this text worse than one that" in worse
    assert "does not support it" in verdict_line({"uniform": 119.6, "prior": 221.0, "full": 129.1}, True)


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
    assert len(explanation.frame_entropies) == 1 + num_samples // 400  # frames of 20 ms, the first of 25
    picture = explanation_html(explanation)
    ElementTree.fromstring(re.search(r"<svg.*</svg>", picture, re.DOTALL).group())
    # Four phonemes need as many frames.
    assert ("impossible: too few frames" in picture) == (num_samples < 1600)
