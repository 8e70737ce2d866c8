# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Forms of OpenAI's transcriptions: how each field is read, and that none is passed over."""

import io

import pytest
from starlette.datastructures import FormData, UploadFile

from entropy_asr.spaces.server.openai_errors import OpenAIError
from entropy_asr.spaces.server.openai_request import TranscriptionRequest, parse_form, split_hints


def upload(name: str = "talk.wav", size: int = 3) -> UploadFile:
    return UploadFile(io.BytesIO(bytes(size)), size=size, filename=name)


def read(*fields: tuple[str, str], file: UploadFile | None = None) -> TranscriptionRequest:
    form = FormData([("file", file or upload()), ("model", "tiny"), *fields])
    return parse_form(form, ["tiny"])[0]


def refused(*fields: tuple[str, str]) -> OpenAIError:
    with pytest.raises(OpenAIError) as error:
        read(*fields)
    return error.value


def test_fields_that_are_left_out_or_empty_have_their_defaults():
    assert read() == TranscriptionRequest("talk.wav")
    empty = ("language", "prompt", "response_format", "temperature", "stream", "timestamp_granularities[]")
    assert read(*((name, "") for name in empty)) == read()


def test_all_fields_are_read():
    request = read(
        ("language", "zh-CN"),
        ("prompt", "Kaldi, New York"),
        ("keywords[]", "icefall"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("temperature", "0.5"),
        ("stream", "False"),
        ("chunking_strategy", "auto"),
    )
    hints = ("Kaldi", "New York", "icefall")
    assert request == TranscriptionRequest("talk.wav", "zh", hints, "verbose_json", ("word", "segment"), 0.5, False)
    assert read(("stream", "TRUE"), ("timestamp_granularities", "")).stream


def test_a_temperature_that_logits_cannot_be_divided_by_draws_nothing():
    assert [read(("temperature", text)).temperature for text in ("1e-40", "0.0009", "0.5")] == [0.0, 0.0, 0.5]


def test_an_adapter_is_asked_for_as_a_model():
    form = FormData([("file", upload()), ("model", "law")])
    assert parse_form(form, ["tiny"], ["law", "sports"])[0] == TranscriptionRequest("talk.wav", adapter="law")
    with pytest.raises(OpenAIError, match="'law' does not exist here; there is tiny, sports"):
        parse_form(form, ["tiny"], ["sports"])


@pytest.mark.parametrize(
    ("prompt", "hints"),
    [
        ("Kaldi, New York;北京、上海，广州。", ("Kaldi", "New York", "北京", "上海", "广州")),
        ("Glossary: the U.S. team, 3:4\nicefall. Kaldi!", ("Glossary", "the U.S", "team", "3:4", "icefall", "Kaldi")),
        ("Kaldi,  Kaldi , --, ...", ("Kaldi",)),
        ("New\tYork", ("New York",)),
        (" ,. ", ()),
    ],
)
def test_a_prompt_is_the_phrases_between_its_punctuation(prompt, hints):
    assert split_hints(prompt) == hints


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ([("language", "auto")], None),
        ([("language", "Mandarin")], "zh"),
        ([("languages[]", "en")], "en"),
        ([("languages[]", "en"), ("languages[]", "zh")], None),
        ([("language", "en"), ("languages[]", "en"), ("languages[]", "zh")], "en"),
    ],
)
def test_language_by_any_name_or_as_the_only_candidate(fields, language):
    assert read(*fields).language == language


THOUSAND = [("keywords[]", str(number)) for number in range(1000)]


@pytest.mark.parametrize(
    ("fields", "param", "reason"),
    [
        ([("languages[]", "tlh")], "languages", "'tlh' is not understood"),
        ([("language", "zh"), ("languages[]", "en")], "language", "`language` zh is none of `languages`"),
        ([("language", "zh"), ("language", "en")], "language", "given 2 times"),
        ([("model", "tiny")], "model", "given 2 times"),
        ([("stream", "maybe")], "stream", "true or false, not 'maybe'"),
        ([("temperature", "nan")], "temperature", "from 0 to 1, not 'nan'"),
        ([("temperature", "warm")], "temperature", "from 0 to 1, not 'warm'"),
        ([("timestamp_granularities[]", "phoneme")], "timestamp_granularities", "word or segment, not 'phoneme'"),
        ([("known_speaker_names[]", "Ann")], "known_speaker_names", "speakers are not told apart"),
        ([("chunking_strategy[type]", "server_vad")], "chunking_strategy", "must be auto"),
        ([("prompt", ",".join(map(str, range(1001))))], "prompt", "more than 1000 hotwords"),
        ([("prompt", 10_001 * "word ")], "prompt", "more than 50000 characters"),
        ([("prompt", "Ann"), *THOUSAND], "keywords", "`prompt` and `keywords`: more than 1000"),
        ([("langauge", "en")], "langauge", "unknown field `langauge`"),
        ([("prompt", upload())], "prompt", "must be text, not a file"),
    ],
)
def test_what_cannot_be_honoured_is_named(fields, param, reason):
    error = refused(*fields)
    assert error.status == 400 and error.param == param and reason in str(error)
    assert error.body["error"]["code"]


def test_some_of_three_languages_cannot_be_asked_for(monkeypatch):
    from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, Language

    monkeypatch.setitem(LANGUAGES, "cy", Language("cy", "Welsh"))
    assert "one language, or all that there are" in str(refused(("languages", "cy"), ("languages", "en")))


@pytest.mark.parametrize(
    ("sent", "called"),
    [
        ("https://example.org/secret.wav", "secret.wav"),
        ("C:\\talks\\我的 talk.wav", "我的 talk.wav"),
        ("hf:secret\n", "hf_secret_"),
        ("", "audio"),
    ],
)
def test_the_name_of_a_file_is_no_address(sent, called):
    """What reads audio takes paths and addresses too."""
    assert read(file=upload(sent)).name == called
