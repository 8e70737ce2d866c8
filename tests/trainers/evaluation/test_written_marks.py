# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Marks and capitals, counted where a reader would look for them."""

import pytest

from entropy_asr.trainers.evaluation.written_marks import written_marks, written_words


def counts(reference: str, hypothesis: str, language: str = "en") -> dict[str, tuple[int, int, int]]:
    found = written_marks([reference], [hypothesis], [language])
    return {name: (one["wanted"], one["written"], one["right"]) for name, one in found.items()}


@pytest.mark.parametrize(
    ("hypothesis", "marks", "capitals"),
    [
        ("Yes, he came. Did she?", (3, 3, 3), (2, 2, 2)),
        ("yes he came did she", (3, 0, 0), (2, 0, 0)),
        ("Yes. He came. Did she.", (3, 3, 1), (2, 3, 2)),  # other marks are no right ones
        ("Yes, we came. Did you?", (3, 3, 3), (2, 2, 2)),  # behind words that were misheard, too
        ("Yes, he came. And so on. Did she?", (3, 4, 3), (2, 3, 2)),
        ("", (3, 0, 0), (2, 0, 0)),
    ],
)
def test_english(hypothesis, marks, capitals):
    assert counts("Yes, he came. Did she?", hypothesis) == {"marks": marks, "capitals": capitals}


def test_mandarin_marks_stand_behind_characters_in_either_width():
    assert counts("你好，我用USB。", "你好,我用USB.", "zh") == {"marks": (2, 2, 2), "capitals": (1, 1, 1)}
    assert counts("你好，世界！", "你好世，界！", "zh")["marks"] == (2, 2, 1)


def test_inside_numbers_and_words_there_are_no_marks():
    assert [(word.folded, word.mark) for word in written_words("“It's 3.50,” at 10:30... ok", "en")] == [
        ("it's", ""),
        ("3.50", ","),
        ("at", ""),
        ("10:30", "."),
        ("ok", ""),
    ]


def test_rates():
    found = written_marks(["One, two. Three", "a"], ["One, two, three", "a."], ["en", "en"])
    assert found["marks"] == {"wanted": 2, "written": 3, "right": 1, "precision": 1 / 3, "recall": 0.5, "f1": 0.4}
    assert found["capitals"]["f1"] == pytest.approx(2 / 3)
    assert written_marks(["Yes."], ["yes"], ["en"])["marks"]["precision"] == 0


def test_references_without_marks_and_sounds_without_speech_say_nothing():
    assert written_marks(["TURN LEFT", "打开"], ["Turn left.", "打开。"], ["en", "zh"]) is None
    assert written_marks(["dog."], ["Dog."], ["none"]) is None
    assert written_marks([], [], []) is None
