# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Adapters that requests choose: each is the model with that adapter alone, whatever others do at the same time."""

import copy
import json
import pickle
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PrefixTuningConfig
from small_models import save_adapters

from entropy_asr.modeling import EntropyASRPipeline, StreamingBatch, StreamingTranscriber, load_pipeline
from entropy_asr.modeling.loaded_adapters_entropy_asr import SharedTurns


LIMIT = {"max_new_tokens": 8, "guards": False}
# One that has a module of its own, one for encoder and language model, one for another half of the language model.
KINDS = {
    "law": {"modules_to_save": ["adaptor"]},
    "med.icine": {"target_modules": ".*(audio_tower.*linear.*|language_model.*o_proj)"},
    "sports": {"r": 4},
}


@pytest.fixture(scope="module")
def folders(model, checkpoint, tmp_path_factory) -> dict[str, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("adapters")
    return {name: save_adapters(model, checkpoint, folder / name, **kind) for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def merged(folders, checkpoint) -> dict[str | None, EntropyASRPipeline]:
    """The model, and the model with each adapter merged into it."""
    return {name: load_pipeline(path, device="cpu") for name, path in {None: checkpoint, **folders}.items()}


@pytest.fixture(scope="module")
def sounds(waveforms) -> list[np.ndarray]:
    """Three short ones."""
    return [waveforms[number] for number in (0, 3, 5)]


@pytest.fixture(scope="module")
def alone(merged, sounds) -> dict[str | None, list[str]]:
    """Texts of the sounds by each of them."""
    texts = {name: [pipe(sound, **LIMIT)["text"] for sound in sounds] for name, pipe in merged.items()}
    assert len({tuple(found) for found in texts.values()}) == len(texts)  # they can be told apart
    return texts


@pytest.fixture(scope="module")
def several(folders, checkpoint) -> EntropyASRPipeline:
    return load_pipeline(checkpoint, device="cpu", adapters=folders)


def test_each_request_gets_the_adapter_that_it_names_and_no_reload(several, alone, sounds, monkeypatch):
    assert several.adapters == tuple(KINDS)
    monkeypatch.setattr("safetensors.torch.load_file", lambda *args, **kwargs: pytest.fail("loaded again"))
    for name in (None, "sports", "law", None, "med.icine", "law"):
        options = {} if name is None else {"adapter": name}
        assert [several(sound, **options, **LIMIT)["text"] for sound in sounds] == alone[name]
    results = several(sounds, adapter="law", batch_size=2, **LIMIT)
    assert [result["text"] for result in results] == alone["law"]


def test_the_model_itself_stays_what_it_was(several, merged, sounds):
    inputs = several.processor.apply_transcription_request(sounds[0])
    expected = merged[None].model(**inputs).logits
    assert torch.equal(several.model(**inputs).logits, expected)
    several(sounds[0], adapter="law", **LIMIT)
    assert torch.equal(several.model(**inputs).logits, expected)
    with several.decoder.adapters.active("law"):
        assert not torch.allclose(several.model(**inputs).logits, expected, atol=1e-3)
    with pytest.raises(ZeroDivisionError), several.decoder.adapters.active("law"):
        raise ZeroDivisionError
    assert torch.equal(several.model(**inputs).logits, expected)


def test_requests_of_many_threads_do_not_touch_each_other(several, alone, sounds):
    choices = [None, *KINDS] * 2
    found: list[list[str] | None] = [None] * len(choices)

    def work(number: int) -> None:
        # A generator, so that one call's batches come between another's.
        results = several((one for one in sounds), adapter=choices[number], **LIMIT)
        found[number] = [result["text"] for result in results]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(choices))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert found == [alone[name] for name in choices]


def test_streams_of_several_adapters_share_a_batch(several, merged, sounds):
    """Each has the text that it has in a model with that adapter merged into it."""
    options = {"use_vad": False, "guards": False, "generate_kwargs": {"max_new_tokens": 8}}
    sound, expected = sounds[0], {}
    for name, pipe in merged.items():
        stream = StreamingTranscriber(pipe, **options)
        expected[name] = [update.text for update in stream.push(sound) + stream.finish() if update.is_final]
    assert len({tuple(texts) for texts in expected.values()}) == 4

    batch = StreamingBatch(several, max_streams=8, **options)
    streams = {batch.join(adapter=name): name for name in (*KINDS, None, *KINDS)}
    for stream in streams:
        batch.push(stream, sound)
        batch.finish(stream)
    found = {stream: [] for stream in streams}
    while batch.has_work:
        for stream, update in batch.step():
            found[stream] += [update.text] if update.is_final else []
    assert [found[stream] for stream in streams] == [expected[name] for name in streams.values()]
    single = StreamingTranscriber(several, adapter="law", **options)
    assert [update.text for update in single.push(sound) + single.finish() if update.is_final] == expected["law"]
    made = EntropyASRPipeline(model=several.model, processor=several.processor, adapter="law")
    single = StreamingTranscriber(made, **options)
    assert [update.text for update in single.push(sound) + single.finish() if update.is_final] == expected["law"]
    with pytest.raises(ValueError, match="There is no adapter 'cooking'; there are: law, med.icine, sports"):
        batch.join(adapter="cooking")


def test_unknown_names_are_refused_with_those_that_there_are(several, pipe, sounds):
    with pytest.raises(ValueError, match="no adapter 'cooking'; there are: law, med.icine, sports"):
        several(sounds[0], adapter="cooking")
    with pytest.raises(ValueError, match="no adapter 'law'; there are: none are loaded"):
        pipe(sounds[0], adapter="law")
    with pytest.raises(ValueError, match="`adapter` is no argument of `generate`"):
        several(sounds[0], generate_kwargs={"adapter": "law"})


def weights(pipe: EntropyASRPipeline) -> dict[str, torch.Tensor]:
    """Weights by their names in the model without adapters."""
    return {name.replace(".base_layer.", "."): one.clone() for name, one in pipe.model.state_dict().items()}


def changed(folder: Path, target: Path, **settings) -> Path:
    """A copy of adapters with other settings."""
    shutil.copytree(folder, target)
    config = json.loads((target / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    return target


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bias": "all"}, "`bias`, which changes the model for all requests"),
        ({"init_lora_weights": "pissa"}, "began as 'pissa', which changes the model's own weights"),
        ({"target_modules": ["none_such"]}, "do not fit this model: Target modules"),
        ({"target_modules": ".*language_model.*(q|v|up|k)_proj"}, "do not fit this model"),  # more than the file has
        ({"target_modules": ".*language_model.*(q|v)_proj"}, "do not fit this model"),  # less
        ({"r": 3}, "do not fit this model: .*size mismatch"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_what_cannot_lie_beside_the_model_is_refused_and_leaves_nothing(
    folders, checkpoint, alone, sounds, tmp_path, settings, message, is_first
):
    pipe = load_pipeline(checkpoint, device="cpu", adapters={} if is_first else {"law": folders["law"]})
    before = weights(pipe)
    with pytest.raises(ValueError, match=message):
        pipe.load_adapter(changed(folders["sports"], tmp_path / "changed", **settings), "sports")
    assert pipe.adapters == (() if is_first else ("law",))
    after = weights(pipe)
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    pipe.load_adapter(folders["sports"], "sports")
    for name in (*pipe.adapters, None):
        assert pipe(sounds[0], **({} if name is None else {"adapter": name}), **LIMIT)["text"] == alone[name][0]


def test_folders_and_names_that_will_not_do(several, folders, checkpoint, model, tmp_path):
    with pytest.raises(ValueError, match="holds no adapters"):
        several.load_adapter(tmp_path, "empty")
    with pytest.raises(ValueError, match="There is an adapter 'law' already"):
        several.load_adapter(folders["law"], "law")
    for name in ("", " ", None):
        with pytest.raises(ValueError, match="An adapter needs a name"):
            several.load_adapter(folders["law"], name)
    PrefixTuningConfig(num_virtual_tokens=2, base_model_name_or_path=str(checkpoint)).save_pretrained(tmp_path / "p")
    with pytest.raises(ValueError, match="of the kind PREFIX_TUNING; those that requests choose must be LoRA's"):
        several.load_adapter(tmp_path / "p", "prefix")
    assert several.adapters == tuple(KINDS)


def test_adapters_of_another_model_are_told(checkpoint, folders, tmp_path):
    moved = changed(folders["law"], tmp_path / "moved", base_model_name_or_path="my-org/other")
    with pytest.warns(UserWarning, match="were trained on my-org/other; the model here is"):
        load_pipeline(checkpoint, device="cpu", adapters={"law": moved})


def test_a_model_with_adapters_beside_it_is_not_saved_as_what_nothing_could_load(several, tmp_path):
    for save in (several.save_pretrained, several.model.save_pretrained):
        with pytest.raises(ValueError, match=r"holds adapters \(law, med.icine, sports\) and cannot be"):
            save(tmp_path / "saved")


def test_pipelines_of_one_model_share_its_adapters_and_their_turns(several, alone, sounds):
    other = EntropyASRPipeline(model=several.model, processor=several.processor)
    assert other.adapters == several.adapters
    with several.decoder.adapters.active("law"):
        waiting = threading.Thread(target=lambda: texts.append(other(sounds[0], **LIMIT)["text"]))
        texts: list[str] = []
        waiting.start()
        waiting.join(0.5)
        assert not texts
    waiting.join(60)
    assert texts == alone[None][:1]
    copied = copy.deepcopy(several.model)
    assert copied.loaded_adapters.model is copied and copied.loaded_adapters.names == several.adapters


def test_a_copied_pipeline_has_turns_of_its_own(several, alone, sounds):
    """As a process that loads audio gets one."""
    with several.decoder.adapters.active("law"):
        copied = copy.deepcopy(several.decoder.adapters)
    assert copied.names == several.adapters
    assert isinstance(pickle.loads(pickle.dumps(SharedTurns())), SharedTurns)


def test_turns_are_shared_by_those_who_agree_and_kept_in_order():
    turns, log, switches = SharedTurns(), [], []
    inside = {name: threading.Event() for name in ("a1", "a2", "b", "a3")}
    go_on = {name: threading.Event() for name in inside}

    def visit(name: str) -> None:
        with turns.turn(name[0], switches.append):
            log.append(name)
            inside[name].set()
            go_on[name].wait(30)

    threads = {name: threading.Thread(target=visit, args=(name,)) for name in inside}
    for name in ("a1", "a2"):
        threads[name].start()
        assert inside[name].wait(30)  # both at the same time
    threads["b"].start()
    while len(turns._waiting) < 1:
        time.sleep(0.001)
    threads["a3"].start()  # agrees with those inside, but came behind another one
    while len(turns._waiting) < 2:
        time.sleep(0.001)
    assert not inside["b"].is_set() and not inside["a3"].is_set()
    for name in ("a1", "a2"):
        go_on[name].set()
    assert inside["b"].wait(30) and not inside["a3"].is_set()
    go_on["b"].set()
    assert inside["a3"].wait(30)
    go_on["a3"].set()
    for thread in threads.values():
        thread.join(30)
    assert log == ["a1", "a2", "b", "a3"]
    assert switches == ["a", None, "b", None, "a", None]


def test_who_fails_to_get_in_does_not_keep_others_out():
    turns = SharedTurns()

    def fail(choice) -> None:
        raise RuntimeError(str(choice))

    with pytest.raises(RuntimeError), turns.turn("a", fail):
        pass
    with turns.turn("b", lambda choice: None):
        pass
