# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training on stored encoder frames, and on text that is heard through them."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_helpers import die_at, make_rows, same_tensors, trainer_arguments
from transformers import Trainer

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRForConditionalGeneration,
    EntropyASRProcessor,
    load_pipeline,
)
from entropy_asr.trainers.data.augmentation import AugmentationConfig
from entropy_asr.trainers.data.collation import TranscriptionCollator
from entropy_asr.trainers.data.keywords import ContextConfig, draw_hints
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.settings import SettingsError
from entropy_asr.trainers.stages.encoded_sft import (
    EncodedCollator,
    EncodedContextCollator,
    EncodedDataSection,
    EncodedSFTConfig,
    FrameInput,
    _encoded_recordings,
    encoded_rows,
    with_keywords,
)
from entropy_asr.trainers.stages.sft import SFTModelSection


def test_loss_is_the_one_on_audio(encoded):
    model, processor, rows, speech = encoded
    collator = TranscriptionCollator(processor.feature_extractor, processor=processor)
    data = EncodedDataSection(train=[{"path": "not read"}])
    from_frames = encoded_rows(data, rows, speech, processor)
    keys = [(index, 0) for index in range(len(speech))]
    items = [from_frames[key] for key in keys]
    audio = collator([SpeechDataset(rows)[int(row)] for row in speech.rows])
    frames = EncodedCollator(processor.feature_extractor, processor=processor)(items)
    for batch in (audio, frames):
        batch.pop("durations")
    assert torch.equal(audio["input_ids"], frames["input_ids"]) and torch.equal(audio["labels"], frames["labels"])
    with torch.no_grad():
        expected = model(**audio).loss
        tower = model.model.audio_tower
        model.model.audio_tower = FrameInput(tower, model.config.audio_length_stages)
        try:
            loss = model(**frames).loss
        finally:
            model.model.audio_tower = tower
    torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-3)


def test_what_was_encoded_is_not_taken_for_other_rows_in_the_same_place(components, encoded, tmp_path):
    _, processor, rows, _ = encoded
    training = trainer_arguments(EncodedSFTConfig, tmp_path / "run")
    data = EncodedDataSection(train=[{"path": str(tmp_path / "rows")}], passes=1, cache_dir=str(tmp_path / "cache"))
    settings = SimpleNamespace(data=data, augmentation=AugmentationConfig(), training=training)
    model, _ = SFTModelSection(path=str(components / "full")).build()
    heard = []
    for number, order in enumerate((range(4), range(4), reversed(range(4)))):
        shutil.rmtree(tmp_path / "rows", ignore_errors=True)
        rows.remove_columns("phoneme_ids").select(list(order)).to_parquet(tmp_path / "rows" / f"{number}.parquet")
        found, speech = _encoded_recordings(settings, model, processor)
        recording = speech.rows.tolist().index(found["text"].index(rows["text"][3]))
        heard.append(speech.recording(recording))
    assert np.array_equal(heard[0], heard[1]) and np.array_equal(heard[0], heard[2])
    assert len(list((tmp_path / "cache").glob("encoded-*"))) == 2


SHARES = """
import socket, sys
import torch.distributed as dist
from entropy_asr.trainers.stages.encoded_sft import share_of_machine

rank = int(sys.argv[1])
# Two processes of one machine, and the only one of another.
socket.gethostname = lambda: ("first", "second", "first")[rank]
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=3)
print(*share_of_machine(rank, 3))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_processes_whose_launcher_says_nothing_of_machines_find_their_neighbours(tmp_path, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    command = [sys.executable, "-c", SHARES]
    running = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
        for rank in range(3)
    ]
    assert [process.communicate(timeout=300)[0].split() for process in running] == [["0", "2"], ["0", "1"], ["1", "2"]]


def test_batches_say_how_long_frames_of_another_rate_last():
    # Whisper's frames are 20 ms long.
    collator = EncodedCollator(EntropyASRFeatureExtractor(), features_per_frame=2)
    rows = [{"frames": np.zeros((length, 3), dtype=np.float32)} for length in (50, 75)]
    batch = collator.features(rows)
    assert batch["durations"].tolist() == [1.0, 1.5]
    assert batch["attention_mask"].sum(-1).tolist() == [100, 150]


def test_context_puts_hints_into_prompts_of_recordings_and_texts(encoded, tmp_path):
    _, processor, rows, speech = encoded
    (tmp_path / "text.txt").write_text("open the red door\n", encoding="utf-8")
    text = {"path": str(tmp_path / "text.txt"), "language": "en"}
    data = EncodedDataSection(train=[{"path": "not read"}], text=[text])
    context = ContextConfig(no_hint_probability=0.3)
    hinted = with_keywords(encoded_rows(data, rows, speech, processor), context, processor)
    items = [hinted[(index, 5 * index)] for index in range(len(hinted))]
    batch = EncodedContextCollator(processor.feature_extractor, processor=processor, context=context)(items)
    given = [draw_hints(item, context, np.random.default_rng([item["draw"], 2])) for item in items]
    assert any(given[: len(speech)]) and given[-1] and not all(given)
    for item, hints, ids, labels in zip(items, given, batch["input_ids"], batch["labels"], strict=True):
        prompt = processor.tokenizer.decode(ids[labels == -100])
        assert (f"<|audio|>\nContextual hints: {', '.join(hints)}.<|im_end|>" in prompt) == bool(hints)
        assert processor.tokenizer.decode(labels[labels != -100]) == item["text"] + "<|im_end|>"


def stage_settings(components, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("we open the red door\nthe dog\n" * 3, encoding="utf-8")
    return {
        "data": {
            "train": [{"path": str(components / "rows")}],
            "text": [{"path": str(text), "language": "en", "max_units": 3}],
            "cache_dir": str(tmp_path / "cache"),
        },
        "augmentation": {"speed_factors": [0.9, 1.1]},
        "model": {"path": str(components / "full")},
        "context": {"max_keywords": 1, "no_hint_probability": 0.5},
        "training": {
            "max_batch_duration": 4.0,
            "num_buckets": 3,
            "learning_rate": 1e-2,
            "muon": True,
            "max_steps": 6,
            "save_steps": 2,
            "logging_steps": 1,
            "report_to": "none",
            "use_cpu": True,
        },
    }


def test_stage_trains_all_but_the_encoder_and_resumes_exactly(components, tmp_path, monkeypatch):
    section = stage_settings(components, tmp_path)
    run_section("encoded_sft", section, tmp_path / "whole", 7)
    before = EntropyASRForConditionalGeneration.from_pretrained(components / "full", dtype=torch.float32).state_dict()
    after = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "whole", dtype=torch.float32).state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"adaptor", "language_model", "weight"}  # "weight": lm_head's, tied to the embeddings
    # A checkpoint on the way is a whole model, with the encoder that did not run.
    checkpoint = tmp_path / "whole" / "checkpoints" / "checkpoint-2"
    on_the_way = EntropyASRForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).state_dict()
    encoder = [name for name in before if "audio_tower" in name]
    assert encoder and all(torch.equal(on_the_way[name], before[name]) for name in encoder)
    assert EntropyASRProcessor.from_pretrained(checkpoint).prompt("en")

    monkeypatch.setattr(Trainer, "training_step", die_at(3))
    with pytest.raises(KeyboardInterrupt):
        run_section("encoded_sft", section, tmp_path / "killed", 7)
    monkeypatch.undo()
    run_section("encoded_sft", section, tmp_path / "killed", 7)
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert same_tensors(*files)


def test_adapters_are_trained_merged_and_resumed_exactly(components, tmp_path, monkeypatch):
    section = stage_settings(components, tmp_path)
    section["training"]["muon"] = False
    section["lora"] = {"r": 4, "target_modules": ".*language_model.*(q|v)_proj", "modules_to_save": ["adaptor"]}
    run_section("encoded_sft", section, tmp_path / "whole", 7)
    before = EntropyASRForConditionalGeneration.from_pretrained(components / "full", dtype=torch.float32).state_dict()
    after = EntropyASRForConditionalGeneration.from_pretrained(tmp_path / "whole", dtype=torch.float32).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("adaptor" in name for name in changed) and any("q_proj" in name for name in changed)
    assert all("adaptor" in name or name.endswith(("q_proj.weight", "v_proj.weight")) for name in changed)

    monkeypatch.setattr(Trainer, "training_step", die_at(3))
    with pytest.raises(KeyboardInterrupt):
        run_section("encoded_sft", section, tmp_path / "killed", 7)
    monkeypatch.undo()
    run_section("encoded_sft", section, tmp_path / "killed", 7)
    assert same_tensors(*(load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")))


def test_a_style_is_learnt_from_text_as_adapters_that_requests_choose(components, tmp_path):
    section = stage_settings(components, tmp_path)
    (tmp_path / "text.txt").write_text("“The red dog!” The door, the dog.\n" * 2, encoding="utf-8")
    section["data"]["text"] = [{"path": str(tmp_path / "text.txt"), "language": "en", "style": "written"}]
    section["data"]["recordings_repeat"] = 0
    section["training"] |= {"muon": False, "save_adapters": True, "max_steps": 60, "save_steps": 60}
    section["training"] |= {"learning_rate": 3e-2, "language_prompt_probability": 0}
    section.pop("context")
    section["lora"] = {"r": 8, "target_modules": ".*language_model.*(q|k|v|o|gate|up|down)_proj"}
    run_section("encoded_sft", section, tmp_path / "written", 7)
    kept = {path.name for path in (tmp_path / "written").iterdir()}
    assert "adapter_model.safetensors" in kept and not kept & {"model.safetensors", "training_args.bin"}
    pipe = load_pipeline(components / "full", device="cpu", adapters={"written": str(tmp_path / "written")})
    recording = np.asarray(make_rows()[0]["samples"], dtype=np.float32) / 32768
    options = {"guards": False, "max_new_tokens": 12}
    plain, written = (pipe(recording, adapter=name, **options)["text"] for name in (None, "written"))
    assert written != plain and set(written) & set("!,.") and "T" in written
    # The folder is a model, too, and stays one from anywhere.
    assert load_pipeline(tmp_path / "written", device="cpu")(recording, **options)["text"] == written


def test_recordings_that_are_not_learnt_are_no_rows(encoded, tmp_path):
    _, processor, rows, speech = encoded
    (tmp_path / "text.txt").write_text("The dog.\n", encoding="utf-8")
    text = {"path": str(tmp_path / "text.txt"), "language": "en", "style": "written"}
    data = EncodedDataSection(train=[{"path": "not read"}], text=[text], recordings_repeat=0)
    assert encoded_rows(data, rows, speech, processor).rows.with_format(None)["text"][:] == ["The dog."]
    (tmp_path / "text.txt").write_text("Azure measure, vision.\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no recording has the phonemes of any piece"):
        encoded_rows(data, rows, speech, processor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora": None}, "there are no adapters: give `lora`"),
        ({"training": {"save_thin": True}}, "choose one of the two"),
        ({"model": {"encoder": "a", "language_model": "b"}}, "this one is put together here"),
    ],
)
def test_adapters_that_no_request_could_choose_are_refused_at_once(change, message, components, tmp_path):
    section = stage_settings(components, tmp_path)
    section["lora"] = {"r": 2, "target_modules": ".*language_model.*q_proj"}
    for name, value in change.items():
        section[name] = {**section[name], **value} if name == "training" else value
    section = {name: value for name, value in section.items() if value is not None}
    section["training"] |= {"save_adapters": True, "muon": False}
    section["data"]["train"] = [{"path": str(tmp_path / "nowhere")}]
    with pytest.raises(SettingsError, match=message):
        run_section("encoded_sft", section, tmp_path / "run", 7)


def test_what_cannot_be_done_is_refused(tmp_path):
    with pytest.raises(ValueError, match="eval"):
        EncodedDataSection(eval=[{"path": "somewhere"}])
    with pytest.raises(ValueError, match="phoneme_errors=0.1 are drawn into text: give text too"):
        EncodedDataSection(train=[{"path": "not read"}], phoneme_errors=0.1)
    with pytest.raises(ValueError, match="recordings_repeat must be at least 1 without text, got 0"):
        EncodedDataSection(train=[{"path": "not read"}], recordings_repeat=0)
    with pytest.raises(ValueError, match="passes must be at least 1, got 0"):
        EncodedDataSection(train=[{"path": "not read"}], passes=0)
    with pytest.raises(ValueError, match="eval_strategy"):
        EncodedSFTConfig(output_dir=str(tmp_path), eval_strategy="steps", eval_steps=1, use_cpu=True)
    with pytest.raises(ValueError, match="frozen"):
        EncodedSFTConfig(output_dir=str(tmp_path), freeze=[], use_cpu=True)


def test_text_is_not_heard_through_an_untrained_phoneme_head(components, tmp_path):
    model = EntropyASRForConditionalGeneration.from_pretrained(components / "full")
    model.config.phoneme_head_trained = False
    model.save_pretrained(tmp_path / "full")
    EntropyASRProcessor.from_pretrained(components / "full").save_pretrained(tmp_path / "full")
    section = stage_settings(components, tmp_path) | {"model": {"path": str(tmp_path / "full")}}
    with pytest.raises(SettingsError, match="phoneme head"):
        run_section("encoded_sft", section, tmp_path / "run", 7)
