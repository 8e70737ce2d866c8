# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The ledger shares the uncertainty of a transcript out: its parts are what the model says, and add up."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import entropy_asr.spaces
from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling import ledger_entropy_asr as ledger
from entropy_asr.trainers.evaluation.ledger_summary import summarize_ledgers


pytest.importorskip("phonemizer")

DEMO = Path(entropy_asr.spaces.__file__).parent / "demo"
SAID = {"english": ("en", "i don't know what to do"), "mandarin": ("zh", "汽车")}


@pytest.fixture(scope="module")
def full():
    model = EntropyASRForConditionalGeneration.from_pretrained(DEMO / "checkpoint", dtype=torch.float32).eval()
    return model, EntropyASRProcessor.from_pretrained(DEMO / "checkpoint")


@pytest.fixture(scope="module")
def sounds():
    return {name: soundfile.read(DEMO / "examples" / f"{name}.flac", dtype="float32")[0] for name in SAID}


@pytest.mark.parametrize("phonemes", [[], [3], [1, 2, 3], [2, 2, 1], [4, 4, 4, 1, 1]])
def test_phoneme_surprisals_add_up_to_the_ctc_loss(phonemes):
    log_probs = torch.randn(12, 6).double().log_softmax(-1)
    spent = ledger.prefix_surprisals(log_probs.numpy(), phonemes)
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None], torch.tensor([phonemes], dtype=torch.long), [12], [len(phonemes)], reduction="sum"
    )
    assert len(spent) == len(phonemes) + 1
    assert min(spent) >= 0
    assert sum(spent) == pytest.approx(float(loss), abs=1e-9)


def test_phoneme_surprisals_are_conditional_probabilities():
    """Summed over all continuations of a prefix, the end among them, the probabilities are one."""
    log_probs = torch.randn(7, 4).double().log_softmax(-1).numpy()
    prefix = [2, 1]
    continued = [math.exp(-ledger.prefix_surprisals(log_probs, [*prefix, phoneme])[2]) for phoneme in (1, 2, 3)]
    ended = math.exp(-ledger.prefix_surprisals(log_probs, prefix)[2])
    assert sum(continued) + ended == pytest.approx(1, abs=1e-9)


def test_too_few_frames_cost_infinitely_much():
    assert ledger.prefix_surprisals(np.log(np.full((2, 3), 1 / 3)), [1, 1]) == [math.inf] * 3


@pytest.mark.parametrize("name", SAID)
def test_ledger_is_what_the_model_says(full, sounds, name):
    (model, processor), sound, (language, text) = full, sounds[name], SAID[name]
    found = ledger.utterance_ledger(model, processor, sound, text, language)
    assert "".join(found.tokens[:-1]) == text
    assert len({len(row) for row in (found.tokens, found.prior, found.encoder, found.full, found.spelling)}) == 1
    # The full model's surprisals are the training loss of that very example.
    inputs = processor(audio=sound, text=[processor.prompt(language)])
    ids, labels = processor.encode_example(int(inputs["input_features_mask"].sum()), text, language)
    with torch.no_grad():
        speech = {name: inputs[name] for name in ("input_features", "input_features_mask")}
        loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels]), **speech).loss
        logits, mask = model.get_phoneme_logits(**speech)
    assert sum(found.full) == pytest.approx(float(loss) * len(found.full), rel=1e-4)
    # What the encoder leaves is the CTC loss of the phonemes and their spelling.
    phonemes = processor.phoneme_tokenizer(text, language).input_ids
    assert found.num_phonemes == len(phonemes)
    log_probs = logits[0][mask[0].bool()].log_softmax(-1)
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None], torch.tensor([phonemes]), [len(log_probs)], [len(phonemes)], reduction="sum"
    )
    assert sum(found.encoder) - sum(found.spelling) == pytest.approx(float(loss), rel=1e-4)
    assert min(found.spelling) >= 0


@pytest.mark.parametrize("name", SAID)
def test_the_bundled_checkpoint_shares_out_what_its_language_model_does_not_know(full, sounds, name):
    """In both languages: text alone says more than nothing, and the parts add up."""
    language, text = SAID[name]
    found = ledger.utterance_ledger(*full, sounds[name], text, language)
    summary = summarize_ledgers([found])
    left, shares = summary["nats_per_token_left"], summary["allocation"]
    assert (
        left["full"]
        < left["encoder"]
        < left["prior"]
        < left["uniform"]
        == math.log(full[0].config.text_config.vocab_size)
    )
    assert sum(shares.values()) == pytest.approx(left["prior"]) and min(shares.values()) > 0
    assert shares == pytest.approx(ledger.share_out({k: v / len(found.tokens) for k, v in found.totals().items()}))


def test_spelling_costs_where_words_sound_alike_and_nothing_elsewhere(full, sounds):
    model, processor = full
    same = ledger.tokens_of_same_sound(processor)
    sounds_like = {
        text: {processor.tokenizer.decode([i]) for i in same[id_]}
        for text, id_ in ((text, processor.tokenizer(text).input_ids[0]) for text in ("一", " were"))
    }
    assert "医" in sounds_like["一"] and all(len(text) == 1 for text in sounds_like["一"])
    assert not any(text.strip().isascii() for text in sounds_like["一"])
    mandarin = ledger.utterance_ledger(model, processor, sounds["mandarin"], "是", "zh")
    assert mandarin.spelling[0] > 0.1
    alone = ledger.utterance_ledger(model, processor, sounds["english"], "what", "en")
    assert alone.spelling == [0.0] * len(alone.tokens)


def test_the_prior_does_not_depend_on_the_audio_and_the_others_do(full, sounds):
    first = ledger.utterance_ledger(*full, sounds["english"], "we go")
    second = ledger.utterance_ledger(*full, sounds["english"][::-1].copy(), "we go")
    assert first.prior == second.prior and first.spelling == second.spelling
    assert first.full != second.full
    assert first.encoder != second.encoder


def test_special_tokens_in_a_transcript_are_spelt(full, sounds):
    found = ledger.utterance_ledger(*full, sounds["english"], "we <|im_end|> go", "en")
    assert "".join(found.tokens[:-1]) == "we <|im_end|> go" and len(found.tokens) > 5


@pytest.mark.parametrize("text", [None, 5, ["i don't know what to do"]])
def test_what_is_no_transcript_is_named(full, sounds, text):
    with pytest.raises(ValueError, match="`text` must be one transcript"):
        ledger.utterance_ledger(*full, sounds["english"], text)


def test_a_transcript_that_cannot_be_read_whole_is_named(full, sounds):
    with pytest.raises(ValueError, match=r"the whole transcript: 'мир' \(Cyrillic\) cannot be read"):
        ledger.utterance_ledger(*full, sounds["english"], "hello мир", "en")


def test_a_phoneme_head_that_was_never_trained_gives_no_ledger(full, sounds, monkeypatch):
    monkeypatch.setattr(full[0].config, "phoneme_head_trained", False)
    with pytest.raises(ValueError, match=r"The ledger needs the phoneme head, .* never trained"):
        ledger.utterance_ledger(*full, sounds["english"], "we go")


def test_summary_leaves_out_what_no_path_spells(full, sounds):
    good = ledger.utterance_ledger(*full, sounds["english"], "we go")
    bad = ledger.utterance_ledger(*full, sounds["english"][:1600], "open the door one two three")
    assert bad.totals()["encoder"] == math.inf
    summary = summarize_ledgers([good, bad])
    assert (summary["num_utterances"], summary["num_impossible"]) == (1, 1)
    assert summary["nats_per_token_left"]["full"] == pytest.approx(sum(good.full) / len(good.full))
    assert "nats_per_token_left" not in summarize_ledgers([bad])
    # JSON has no infinity.
    assert json.loads(json.dumps(bad.to_dict(), allow_nan=False))["totals"]["encoder"] is None
    assert bad.to_dict()["is_impossible"] and not good.to_dict()["is_impossible"]
    json.dumps([summary, good.to_dict()], allow_nan=False)


def test_a_text_that_is_not_in_the_sound_is_marked(full, sounds):
    said = ledger.utterance_ledger(*full, sounds["english"], SAID["english"][1], "en")
    other = ledger.utterance_ledger(*full, sounds["english"], "we are going there on monday", "en")
    assert other.is_text_unheard and other.to_dict()["is_text_unheard"] and not other.is_impossible
    assert not said.is_text_unheard and not said.to_dict()["is_text_unheard"]
    most = summarize_ledgers([*[said] * 19, other])
    assert (most["num_utterances"], most["num_unheard"], most["is_text_unheard"]) == (20, 1, False)
    alone = summarize_ledgers([other])
    assert alone["is_text_unheard"] and alone["allocation"]["encoder"] < 0
    assert sum(alone["allocation"].values()) == pytest.approx(alone["nats_per_token_left"]["prior"])
