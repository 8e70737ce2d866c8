# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Stage 6: what the loss hears, how often speech is encoded, temperatures, the reference, and that it helps."""

import doctest
import json
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from stage_trainers import grpo_trainer
from training_helpers import FEATURES, make_rows, stage_section, trainer_arguments

from entropy_asr.modeling import EntropyASRPhonemeTokenizer
from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.data.batching import GroupBatchSampler
from entropy_asr.trainers.data.keywords import ContextConfig, KeywordChooser
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages import grpo
from entropy_asr.trainers.stages.grpo import (
    ASRGRPOConfig,
    ASRGRPOTrainer,
    RolloutDataSection,
    add_hints,
    annealed_temperature,
)
from entropy_asr.trainers.stages.sft import SFTModelSection


LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.3, "target_modules": ".*language_model.*(q|v)_proj"}
FROZEN_SPEECH = ["model.audio_tower", "model.adaptor", "phoneme_head"]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return make_rows("en zh none en zh en none en")


def record_scores(trainer, monkeypatch) -> list[dict]:
    """Arguments and results of every scoring that the loss does."""
    recorded = []
    score = trainer._get_per_token_logps_and_entropies

    def scoring(model, input_ids, attention_mask, logits_to_keep, **kwargs):
        result = score(model, input_ids, attention_mask, logits_to_keep, **kwargs)
        if torch.is_grad_enabled():
            recorded.append(
                {
                    "input_ids": input_ids,
                    "attention_mask": attention_mask,
                    "num_scored": logits_to_keep,
                    "log_probs": result[0].detach().clone(),
                    "entropies": result[1].detach().clone(),
                    "utterances": trainer._scored.tolist(),
                    "temperature": trainer.temperature,
                    "spoken": trainer._spoken,
                    "model": {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()},
                }
            )
        return result

    monkeypatch.setattr(trainer, "_get_per_token_logps_and_entropies", scoring)
    return recorded


def independent_scores(components, record, row: int, silent: bool = False) -> torch.Tensor:
    """Log-probabilities of one sequence alone, by the plain model with its own audio and without any padding."""
    model, processor = SFTModelSection(path=str(components / "full")).build()
    model.load_state_dict(record["model"])
    model.eval()
    kept = record["attention_mask"][row].bool()
    num_scored = int(record["attention_mask"][row, -record["num_scored"] :].sum())
    spoken, utterance = record["spoken"], record["utterances"][row]
    mask = spoken.mask[utterance].bool()
    features = spoken.features[utterance, mask][None]
    with torch.no_grad():
        logits = model(
            input_ids=record["input_ids"][row, kept][None],
            input_features=torch.zeros_like(features) if silent else features,
            input_features_mask=torch.ones(1, int(mask.sum()), dtype=torch.long),
        ).logits[0]
    logits[:, processor.audio_token_id] = -math.inf
    log_probs = (logits / record["temperature"]).log_softmax(-1)
    targets = record["input_ids"][row, kept][-num_scored:]
    return log_probs[-num_scored - 1 : -1].gather(-1, targets[:, None])[:, 0]


# The loss hears the audio


@pytest.mark.parametrize("frozen", [False, True])
def test_scores_equal_an_independent_computation_with_the_audio_and_not_without(
    components, rows, tmp_path, monkeypatch, frozen
):
    freeze = FROZEN_SPEECH if frozen else ["phoneme_head"]
    trainer = grpo_trainer(
        components, tmp_path, rows, sharper=30.0, freeze=freeze, temperature=0.8, final_temperature=0.6
    )
    recorded = record_scores(trainer, monkeypatch)
    trainer.train()
    [record] = recorded
    assert record["temperature"] == 0.8
    assert len(set(record["utterances"])) == 2
    for row in range(8):
        heard, silent = (independent_scores(components, record, row, silent) for silent in (False, True))
        scored = record["log_probs"][row, : len(heard)]
        torch.testing.assert_close(scored, heard, atol=1e-4, rtol=0)
        assert (scored - silent).abs().max() > 1e-2


def test_every_part_of_the_policy_learns(components, rows, tmp_path):
    """Encoder, adaptor and language model learn; the phoneme head, which no hypothesis depends on, does not."""
    trainer = grpo_trainer(components, tmp_path, rows, learning_rate=1e-2)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train()
    changed = {name for name, tensor in trainer.model.state_dict().items() if not torch.equal(before[name], tensor)}
    parts = {".".join(name.split(".")[: 2 if name.startswith("model.") else 1]) for name in changed}
    assert parts == {"model.audio_tower", "model.adaptor", "model.language_model", "lm_head"}


# Encoded once


def test_groups_are_not_torn_apart_between_slices(components, rows, tmp_path, monkeypatch):
    trainer = grpo_trainer(
        components, tmp_path, rows, per_device_train_batch_size=4, steps_per_generation=2, max_steps=2, save_steps=2
    )
    recorded = record_scores(trainer, monkeypatch)
    trainer.train()
    assert [record["utterances"] for record in recorded] == [[0] * 4, [1] * 4]


# Temperature


def test_temperature_falls_along_a_cosine():
    assert doctest.testmod(grpo).failed == 0
    course = [annealed_temperature(step, 100, 1.0, 0.7) for step in range(101)]
    assert course[0] == 1.0 and course[100] == pytest.approx(0.7) and course[50] == pytest.approx(0.85)
    assert course == sorted(course, reverse=True)
    assert annealed_temperature(3, 100, 0.9, 0.9) == pytest.approx(0.9)


def test_hypotheses_are_scored_at_the_temperature_they_were_sampled_at(components, rows, tmp_path, monkeypatch):
    """Every generation serves four optimizer steps here, and an evaluation comes in between."""
    trainer = grpo_trainer(
        components,
        tmp_path,
        rows,
        per_device_train_batch_size=4,
        steps_per_generation=2,
        num_iterations=2,
        max_steps=8,
        save_steps=4,
        eval_strategy="steps",
        eval_steps=1,
    )
    sampled = []
    generate = trainer.model.generate
    monkeypatch.setattr(
        trainer.model,
        "generate",
        lambda *args, generation_config=None, **kwargs: (
            sampled.append(generation_config.temperature) if generation_config else None,
            generate(*args, generation_config=generation_config, **kwargs),
        )[1],
    )
    recorded = record_scores(trainer, monkeypatch)
    trainer.train()
    sampled = [temperature for temperature in sampled if temperature is not None]
    assert sampled == pytest.approx([1.0, annealed_temperature(4, 8, 1.0, 0.7)])
    assert [record["temperature"] for record in recorded] == [sampled[0]] * 4 + [sampled[1]] * 4


def test_samples_follow_the_scored_distribution(components, rows, tmp_path, monkeypatch):
    """First tokens of many hypotheses: their mean log-probability is minus the entropy, at a temperature off 1."""
    trainer = grpo_trainer(
        components,
        tmp_path,
        rows,
        sharper=30.0,
        num_generations=400,
        per_device_train_batch_size=400,
        max_completion_length=1,
        temperature=0.5,
        final_temperature=0.5,
    )
    recorded = record_scores(trainer, monkeypatch)
    trainer.train()
    [record] = recorded
    log_probs, entropy = record["log_probs"][:, 0], record["entropies"][0, 0]
    spread = log_probs.std() / math.sqrt(400)
    assert abs(-log_probs.mean() - entropy) < 4 * spread
    assert (record["input_ids"][:, -1] != trainer.processing_class.audio_token_id).all()


# Reference


def test_reference_is_the_model_as_it_was_given(components, rows, tmp_path):
    """Also with dropout in the configuration the divergence of the first step is exactly none; then it grows."""
    trainer = grpo_trainer(components, tmp_path, rows, max_steps=4, learning_rate=1e-2, beta=0.1)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train()
    divergences = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert divergences[0] == 0.0
    assert all(later > 1e-6 for later in divergences[1:])
    after = trainer.ref_model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_reference_of_a_model_that_another_trainer_had_before_is_its_own(components, rows, tmp_path):
    """TRL's trainers replace `forward` by one that a deep copy of the model would still share."""
    model, processor = SFTModelSection(path=str(components / "full")).build()
    JointSFTTrainer(model, trainer_arguments(JointSFTConfig, tmp_path), processing_class=processor, train_dataset=rows)
    trainer = grpo_trainer(components, tmp_path, rows, model=model, max_steps=2, learning_rate=1e-2, beta=0.1)
    trainer.train()
    divergences = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert divergences[0] == 0.0 and divergences[1] > 1e-6


def test_a_larger_weight_of_the_divergence_keeps_the_model_nearer_to_the_reference(components, rows, tmp_path):
    divergences = []
    for name, beta in (("a", 1e-6), ("b", 10.0)):
        trainer = grpo_trainer(components, tmp_path / name, rows, max_steps=10, learning_rate=3e-3, beta=beta)
        trainer.train()
        divergences.append(np.mean([entry["kl"] for entry in trainer.state.log_history if "kl" in entry]))
    assert divergences[1] < divergences[0] / 2


def test_without_divergence_there_is_no_reference(components, rows, tmp_path):
    trainer = grpo_trainer(components, tmp_path, rows, beta=0.0)
    trainer.train()
    assert trainer.ref_model is None
    assert "kl" not in trainer.state.log_history[0]


@pytest.mark.parametrize("saved", [None, ["audio_tower", "adaptor"]])
def test_adapters_are_trained_against_the_model_without_them(components, rows, tmp_path, saved):
    """With the encoder trained beside the adapters, the reference hears through the untrained encoder."""
    lora = LoraConfig(**LORA, modules_to_save=saved)
    trainer = grpo_trainer(components, tmp_path, rows, lora=lora, max_steps=3, learning_rate=1e-2, beta=0.1)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("lora_" in name or "modules_to_save" in name for name in changed)
    assert any("audio_tower" in name for name in changed) == bool(saved)
    divergences = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert divergences[0] == 0.0 and divergences[-1] > 1e-6


# Hints and rewards


def test_rewards_hear_of_prompted_and_of_important_keywords():
    rows = make_rows("en en en zh none en zh en")
    context = ContextConfig(important_keywords=["door"], no_hint_probability=0.5)
    chooser = KeywordChooser(rows, context, EntropyASRPhonemeTokenizer())
    hinted = add_hints(rows, chooser, context)
    assert "distractors" not in hinted.column_names
    assert any(hinted["hints"]) and not all(hinted["hints"])
    for row in hinted:
        important = ["door"] if "door" in row["text"] else []
        assert set(important) <= set(row["keywords"])
        assert all(keyword in row["hints"] or keyword in important for keyword in row["keywords"])
    unhinted = add_hints(rows, chooser, ContextConfig(important_keywords=["door"], no_hint_probability=1.0))
    assert not any(unhinted["hints"])
    assert unhinted["keywords"][:] == [["door"] if "door" in text else [] for text in rows["text"]]


def test_reward_is_the_weighted_sum_of_the_paper(components, tmp_path):
    rows = make_rows("en en en en")
    context = ContextConfig(no_hint_probability=0.0, distractors_only_probability=0.0)
    rows = add_hints(rows, KeywordChooser(rows, context, EntropyASRPhonemeTokenizer()), context)
    trainer = grpo_trainer(components, tmp_path, rows)
    trainer.train()
    entry = trainer.state.log_history[0]
    parts = [entry[f"rewards/{name}_reward/mean"] for name in ("accuracy", "hallucination", "context")]
    assert entry["reward"] == pytest.approx(parts[0] + 0.5 * parts[1] + 0.5 * parts[2], abs=1e-6)
    assert parts[2] == -0.5, "an untrained model misses all keywords"


def test_evaluation_transcribes_greedily(components, rows, tmp_path):
    trainer = grpo_trainer(components, tmp_path, rows)
    metrics = trainer.evaluate()
    assert metrics == trainer.evaluate() | {
        name: value for name, value in metrics.items() if "runtime" in name or "per_second" in name
    }
    assert {"eval_loss", "eval_wer", "eval_cer"} <= metrics.keys()
    assert "eval_clean_wer" in trainer.evaluate({"clean": trainer.eval_dataset})


# Batches


def test_batches_repeat_utterances_in_groups_and_generations():
    sampler = GroupBatchSampler(num_rows=7, group_size=3, batch_size=6, repeats=2, seed=1)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 6
    assert all(first == second for first, second in zip(batches[::2], batches[1::2], strict=True))
    heard = [row for batch in batches[::2] for row, _ in batch[::3]]
    assert len(set(heard)) == len(heard) == 6, "every utterance at most once an epoch, one is left over"
    assert all(batch[0] == batch[1] == batch[2] and batch[3] == batch[4] == batch[5] for batch in batches)
    draws = [{draw for _, draw in batch} for batch in batches[::2]]
    assert all(len(drawn) == 1 for drawn in draws) and len(set.union(*draws)) == 3, "one a generation batch"
    sampler.set_epoch(1)
    assert list(sampler) != batches and not set.union(*draws) & {draw for batch in sampler for _, draw in batch}


def test_a_group_may_be_shared_by_processes():
    sampler = GroupBatchSampler(num_rows=4, group_size=4, batch_size=2, num_processes=2, shuffle=False)
    batches = list(sampler)
    assert [[row for row, _ in batch] for batch in batches] == [[row, row] for row in range(4) for _ in range(2)]
    assert batches[0] == batches[1], "processes draw alike"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"group_size": 4, "batch_size": 6}, "no whole number"), ({"group_size": 2, "batch_size": 20}, "there are 7")],
)
def test_batches_that_cannot_be_filled_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        GroupBatchSampler(num_rows=7, **arguments)


# It helps


COMMANDS = ("红狗", "白马", "绿鱼", "黑猫")


def spoken_tones(num_rows: int, seed: int, careless: bool = False) -> Dataset:
    """Noisy tones of four pitches; each stands for a transcript of two characters.

    `careless`: three in five transcripts of two of the pitches are those of another pitch.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(num_rows):
        num_samples = int(rng.integers(4800, 8000))
        pitch = (0.12 + 0.16 * (index % 4)) * rng.uniform(0.95, 1.05)
        wave = 2500 * np.sin(np.arange(num_samples) * pitch) + rng.normal(0, 900, num_samples)
        wrong = careless and index % 4 >= 2 and index // 4 % 5 < 3
        text = COMMANDS[(index + 1 if wrong else index) % 4]
        row = {"text": text, "language": "zh", "duration": num_samples / 16000, "source": "tones"}
        rows.append({"samples": wave.astype(np.int16), **row})
    return Dataset.from_list(rows, features=FEATURES)


@pytest.fixture(scope="module")
def half_trained(components, tmp_path_factory):
    """A model that learnt from careless transcripts: for half of the tones more often wrong than right."""
    model, processor = SFTModelSection(path=str(components / "full")).build()
    with torch.no_grad():
        # Untrained networks are nearly indifferent to what they hear.
        model.model.adaptor.linear2.weight.mul_(30)
        model.model.audio_tower.subsampling.projection.weight.mul_(3)
    folder = tmp_path_factory.mktemp("half_trained")
    settings = {"max_steps": 400, "max_batch_size": 16, "learning_rate": 1e-2, "lr_scheduler_type": "linear"}
    arguments = trainer_arguments(JointSFTConfig, folder, **settings)
    JointSFTTrainer(
        model, arguments, processing_class=processor, train_dataset=spoken_tones(960, seed=0, careless=True)
    ).train()
    model.config.use_cache = model.config.get_text_config().use_cache = True
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fifty_steps_raise_the_reward_and_lower_the_error_rate(half_trained, tmp_path, seed):
    """At one temperature throughout, since colder sampling alone is rewarded too; errors on tones never heard."""
    model, processor = SFTModelSection(path=str(half_trained)).build()
    settings = {"temperature": 1.0, "final_temperature": 1.0, "beta": 0.01, "learning_rate": 2e-3, "max_steps": 50}
    trainer = ASRGRPOTrainer(
        model,
        trainer_arguments(
            ASRGRPOConfig,
            tmp_path,
            per_device_train_batch_size=64,
            num_generations=8,
            max_completion_length=8,
            seed=seed,
            **settings,
        ),
        processing_class=processor,
        train_dataset=spoken_tones(64, seed=2),
        eval_dataset=spoken_tones(96, seed=1),
    )
    before = trainer.evaluate()["eval_cer"]
    trainer.train()
    after = trainer.evaluate()["eval_cer"]
    rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert np.mean(rewards[-10:]) > np.mean(rewards[:10]) + 0.05
    print(f"reward {np.mean(rewards[:10]):.3f} -> {np.mean(rewards[-10:]):.3f}, CER {before:.3f} -> {after:.3f}")
    assert after < before


# Settings


@pytest.mark.parametrize(
    "arguments",
    [
        {"use_vllm": True},
        {"disable_dropout": False},
        {"sync_ref_model": True, "beta": 0.1},
        {"num_generations_eval": 4},
        {"cast_lm_head_to_fp32": True},
        {"final_temperature": 0.0},
        {"generation_kwargs": {"temperature": 0.3}},
        {"save_strategy": "steps", "save_steps": 5, "steps_per_generation": 4},
        {"save_strategy": "steps", "save_steps": 3, "num_iterations": 2},
    ],
)
def test_arguments_that_cannot_be_honoured_are_refused(arguments, tmp_path):
    with pytest.raises(ValueError, match="save_steps" if "save_steps" in arguments else next(iter(arguments))):
        trainer_arguments(ASRGRPOConfig, tmp_path, **arguments)


def test_models_that_are_not_loaded_and_noise_are_refused(components, rows, tmp_path):
    _, processor = SFTModelSection(path=str(components / "full")).build()
    with pytest.raises(TypeError, match="model is a str"):
        ASRGRPOTrainer(
            "path", trainer_arguments(ASRGRPOConfig, tmp_path), processing_class=processor, train_dataset=rows
        )
    model, _ = SFTModelSection(path=str(components / "full")).build()
    arguments = trainer_arguments(ASRGRPOConfig, tmp_path)
    with pytest.raises(ValueError, match="cannot be streamed"):
        ASRGRPOTrainer(model, arguments, processing_class=processor, train_dataset=rows.to_iterable_dataset())
    with pytest.raises(ValueError, match="noise"):
        RolloutDataSection(noise=[{"path": "x"}])


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 2, 4])
def test_checkpoints_between_generations_are_accepted(gradient_accumulation_steps, tmp_path):
    kwargs = {"save_strategy": "steps", "steps_per_generation": 4, "save_steps": 4 // gradient_accumulation_steps}
    trainer_arguments(ASRGRPOConfig, tmp_path, gradient_accumulation_steps=gradient_accumulation_steps, **kwargs)


def test_stage_runs_from_settings_and_merges_adapters(components, tmp_path):
    section = stage_section("grpo", components, max_steps=2)
    section |= {"lora": LORA, "context": {"important_keywords": ["dog"]}}
    section["data"]["eval"] = section["data"]["train"]
    section["training"] |= {"eval_strategy": "steps", "eval_steps": 2}
    run_section("grpo", section, tmp_path, 7)
    record = json.loads((tmp_path / "stage.json").read_text())
    assert record["steps"] == 2
    assert any("eval_wer" in entry for entry in record["history"])
    merged, _ = SFTModelSection(path=str(tmp_path)).build()
    before = SFTModelSection(path=str(components / "full")).build()[0].state_dict()
    changed = {name for name, tensor in merged.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed == {f"model.language_model.layers.0.self_attn.{name}_proj.weight" for name in ("q", "v")}
    assert merged.generation_config.use_cache
