# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""However a language is written, it is the same one everywhere; one entry adds a language; what is none is refused."""

import json
import re

import pytest
import torch

from entropy_asr.hub_cards.trained_card import trained_card
from entropy_asr.modeling import GraphemeToPhoneme, Language, join_texts, register_language
from entropy_asr.modeling.guards_entropy_asr import GuardSettings, judge_transcript
from entropy_asr.modeling.languages_entropy_asr import (
    LANGUAGES,
    default_phonemes,
    is_other_script,
    language_code,
    language_entry,
    written_languages,
)
from entropy_asr.modeling.phonetics_entropy_asr import sound_class
from entropy_asr.modeling.spoken_text_entropy_asr import why_unreadable
from entropy_asr.modeling.tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from entropy_asr.spaces.demo.page import language_choices
from entropy_asr.trainers.data.keywords import keyword_spans
from entropy_asr.trainers.data.synthesis import default_voices
from entropy_asr.trainers.data.text import cut_text, transcript_style
from entropy_asr.trainers.evaluation.error_rates import score_transcripts


FORMS = {
    "en": [
        *("en", " EN\n", "eng", "English", "ENGLISH", "en-US", "en_GB", "en-419", "en-Latn-US", "English-US"),
        *("English (US)", "British English", "英语"),
    ],
    "zh": [
        *("zh", "zho", "cmn", "zh-CN", "zh_TW", "zh-Hans", "zh-Hant-HK", "zh-cmn-Hans", "cmn-Hans-CN", "Chinese"),
        *("mandarin", "Mandarin  Chinese", "Chinese (Simplified)", "中文", "普通话", "國語"),
    ],
}


@pytest.mark.parametrize(("code", "form"), [(code, form) for code, forms in FORMS.items() for form in forms])
def test_usual_forms_are_understood(code, form):
    assert language_code(form) == code


@pytest.mark.parametrize(
    "value",
    [
        "fr",
        "",
        " ",
        "en-zh",
        "zh-nan",
        "nan",
        "enx",
        "English French",
        "auto",
        "none",
        None,
        ["en"],
        1,
        float("nan"),
        b"en",
    ],
)
def test_anything_else_is_refused_by_name_and_with_what_is_understood(value):
    with pytest.raises(ValueError) as raised:
        language_code(value)
    assert repr(value) in str(raised.value) and "English (en, eng), Chinese (zh, cmn)" in str(raised.value)


def test_the_choice_can_be_left_to_the_model_and_rows_without_speech_have_a_language_of_their_own():
    assert language_code(None, optional=True) is language_code(" Auto ", optional=True) is None
    assert language_code("None", non_speech=True) == "none"
    with pytest.raises(ValueError, match="'none' for audio without speech"):
        language_code("nothing", non_speech=True)
    with pytest.raises(ValueError, match="None or 'auto', with which the model decides"):
        language_code("none", optional=True)


class TokiPonaPhonemes(GraphemeToPhoneme):
    """A toy: Toki Pona in Cyrillic letters, a phoneme a letter, with a vowel of its own."""

    phonemes = ("ʘ", "m", "n", "t", "k", "p", "s", "l", "a", "aː")
    vowels = frozenset({"a", "aː", "ʘ"})
    sound_classes = ("a aː",)
    coarser = {"aː": "a", "ʘ": "oʊ"}
    sounds = dict(zip("омтнкпсла", ("ʘ", "m", "t", "n", "k", "p", "s", "l", "a"), strict=True))

    def words(self, text):
        found = re.findall("[а-я]+|[0-9]+", text.lower())
        return [(word, [self.sounds.get(letter, "aː") for letter in word]) for word in found]


TOKI_PONA = Language(
    "tok",
    "Toki Pona",
    names=("тон", "the good language"),
    spoken_name="Spoken Toki Pona",
    unit="character",
    letters="А-Яа-я",
    script="Cyrillic letters",
    g2p=TokiPonaPhonemes(),
    split_words=lambda text: text.split("ла"),
    transcript_style=lambda text: text.lower().replace(" ", ""),
    normalize=lambda text: text.lower().replace("!", ""),
    min_confidence=0.9,
    voices=(("gmw/en", "f2"),),
)


@pytest.fixture
def toki_pona():
    """The toy language, known for one test."""
    register_language(TOKI_PONA)
    yield TOKI_PONA
    del LANGUAGES["tok"]


def test_an_entry_alone_makes_a_language_known_everywhere(toki_pona, processor, tmp_path):
    former = EntropyASRPhonemeTokenizer(vocabulary_without(toki_pona, tmp_path))
    tokenizer = EntropyASRPhonemeTokenizer()
    # Names, prompt, vocabulary and phonemes, in texts of others too.
    assert language_code("The  GOOD language") == language_code(["tok", "Cyrl"][0]) == "tok"
    assert "into Toki Pona text" in processor.prompt("тон")
    assert tokenizer.convert_tokens_to_ids("ʘ") == len(former) < len(tokenizer)
    assert tokenizer.phonemize("Мото 5", "tok") == ["m", "ʘ", "t", "ʘ", "aː"]
    assert tokenizer.phonemize("мот") == ["m", "ʘ", "t"]
    assert tokenizer.phonemize("yes мот no", "en")[3:6] == ["m", "ʘ", "t"]
    assert tokenizer.phonemize_words("мот ока", "tok") == [("мот", ["m", "ʘ", "t"]), ("ока", ["ʘ", "k", "a"])]
    # A head that was trained without the language has the nearest symbols that the entry names, or none.
    assert former.phonemize("ом", "tok") == ["oʊ", "m"]
    assert why_unreadable("мот") is None
    assert "Cyrillic letters and the digits" in why_unreadable("α")
    assert sound_class("aː") == sound_class("a") != sound_class("ʘ")
    # Scores, style, keywords, joined segments.
    score = score_transcripts(["МОТ"], ["мат!"], "tok")
    assert (score.cer, score.wer) == (pytest.approx(1 / 3), None)
    assert transcript_style("Мот Ока", "tok") == "мотока"
    assert set(keyword_spans("моталаокола", "tok")) == {"мота", "око"}
    assert cut_text("мот, окала", "tok", 12, seed=0) == ["мот", "окала"]
    assert join_texts(["мот", "ока"]) == "мотока"
    # Confidence: this language's own threshold, unless the caller names one.
    ids = tokenizer.convert_tokens_to_ids(["m", "ʘ", "t"])
    probabilities = torch.full((6, len(tokenizer)), 0.1 / len(tokenizer))
    probabilities[range(6), [0, ids[0], 0, ids[1], 0, ids[2]]] = torch.tensor([0.9, 0.3] * 3)
    probabilities[1::2, 5] = 0.6  # another sound is twice as likely
    log_probs = probabilities.log()
    confidence, flags = judge_transcript(log_probs, "мот", tokenizer, GuardSettings(), "tok")
    assert 0.1 < confidence < 0.9 and flags == ["low_agreement"]
    assert judge_transcript(log_probs, "мот", tokenizer, GuardSettings(min_confidence=0.1), "tok")[1] == []
    # What readers see.
    assert written_languages("мот OK") == ["en", "tok"]
    assert is_other_script("hello", "tok") and not is_other_script("мот OK", "tok") and is_other_script("мот", "en")
    assert ("Spoken Toki Pona", "tok") in language_choices()
    assert "Spoken Toki Pona" in trained_card(model_folder(tmp_path, ["tok", "fr"]))
    # Synthetic speech.
    assert [voice.name for voice in default_voices() if voice.language == "tok"] == ["gmw/en+f2"]


def vocabulary_without(language, folder):
    """A vocabulary file from before the language was known."""
    del LANGUAGES[language.code]
    path = folder / "phonemes.json"
    path.write_text(json.dumps({phoneme: index for index, phoneme in enumerate(default_phonemes())}))
    LANGUAGES[language.code] = language
    return str(path)


def model_folder(folder, languages):
    """The folder of a trained model that knows these languages."""
    training = {"trainer": "JointSFTTrainer", "steps": 1, "data": ["x"], "languages": languages}
    (folder / "training.json").write_text(json.dumps(training))
    return folder


def test_languages_that_nobody_registered_are_cleaned_scored_and_named(tmp_path):
    assert transcript_style("Où est l’été ? 12 Кафе!", "fr") == "où est l'été 12 кафе"
    assert cut_text("Où est l'été", "fr", 9, seed=0)
    assert score_transcripts(["Où est l'été ?"], ["où est l'hiver"], "fr").wer == pytest.approx(1 / 4)
    assert language_entry("pt-BR").unit == "word" and language_entry("").code == "und"
    assert "Speech recognition of English and fr" in trained_card(model_folder(tmp_path, ["en", "fr"]))


def test_a_language_without_phonemes_is_prompted_and_scored_but_has_none(processor, phoneme_tokenizer):
    register_language(Language("qtx", "Toyish"))
    try:
        assert "Toyish" in processor.prompt("qtx")
        with pytest.raises(ValueError, match="Toyish .qtx. has no phonemes"):
            phoneme_tokenizer.phonemize("bore da", "qtx")
    finally:
        del LANGUAGES["qtx"]


def test_an_entry_takes_the_place_of_its_namesake_only_where_that_is_meant(toki_pona):
    changed = Language("tok", "Toki Pona")
    with pytest.raises(ValueError, match="already"):
        register_language(changed)
    register_language(changed, exist_ok=True)
    assert LANGUAGES["tok"] is changed
