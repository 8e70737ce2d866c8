# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""IA-SFT in one process: which encoder is trained on when, and that it is the published one, bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stage_trainers import publish, swap_trainer
from training_helpers import die_at, same_tensors, small_encoder, stage_section, trainer_arguments
from transformers import Trainer, TrainerCallback

from entropy_asr.trainers import IterativeAsyncSFTConfig, IterativeAsyncSFTTrainer
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages import sft
from entropy_asr.trainers.stages.sft import SFTModelSection
from entropy_asr.trainers.training import encoder_swaps, snapshots
from entropy_asr.trainers.training.encoder_swaps import PARTS, Swap, first_step_after_final_swap, paced_swaps
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


LORA = {
    "r": 2,
    "lora_alpha": 4,
    "lora_dropout": 0.1,
    "target_modules": ".*language_model.*(q|v)_proj",
    "modules_to_save": ["adaptor"],
}


def encoder_name(model, store: EncoderSnapshots) -> str | None:
    """Name of the snapshot whose encoder and phoneme head the full model has, all bits compared."""
    state = {}
    for part, place in PARTS.items():
        module = model.get_submodule(place).state_dict()
        state |= {f"{part}.{name}": tensor.clone() for name, tensor in module.items()}
    for manifest in store.folder.glob("*/manifest.json"):
        if same_tensors(load_file(manifest.with_name("model.safetensors")), state):
            return manifest.parent.name
    return None


class Watcher(TrainerCallback):
    """Publishes at given steps, and keeps which encoder each step was trained on."""

    def __init__(self, store: EncoderSnapshots, events: dict):
        self.store, self.events = store, events
        self.trained_on: list[str | None] = []

    def on_step_begin(self, args, state, control, model, **kwargs):
        self.trained_on.append(encoder_name(model, self.store))

    def on_optimizer_step(self, args, state, control, **kwargs):
        # Before on_step_end of the same step, at which the trainer looks at the store.
        if state.global_step + 1 in self.events:
            self.events[state.global_step + 1]()


def record(folder: Path) -> list[Swap]:
    return [Swap(**fields) for fields in json.loads((folder / "encoder_swaps.json").read_text())]


@pytest.fixture
def store(tmp_path) -> EncoderSnapshots:
    return EncoderSnapshots(tmp_path / "store")


# Live


def test_newest_encoder_comes_in_between_steps(components, tmp_path, store):
    """Every step trains on the newest encoder published before it, and the finished one is waited for and stays."""
    publish(store, 100)
    events = {2: lambda: publish(store, 200, cka=0.95), 4: lambda: publish(store, 300, "final")}
    watcher = Watcher(store, events)
    trainer = swap_trainer(components, tmp_path, callbacks=[watcher])
    trainer.train()
    first, second, last = "000000100-drift", "000000200-drift", "000000300-final"
    assert watcher.trained_on == [first, first, second, second, last, last]
    assert encoder_name(trainer.model, store) == last
    assert [(swap.step, swap.snapshot) for swap in record(tmp_path / "out")] == [(0, first), (2, second), (4, last)]
    logged = [entry for entry in trainer.state.log_history if "encoder_step" in entry]
    assert [(entry["step"], entry["encoder_step"]) for entry in logged] == [(0, 100), (2, 200), (4, 300)]
    assert logged[1]["encoder_cka"] == 0.95
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [1, 2, 3, 4, 5, 6]


def test_only_adaptor_and_language_model_are_optimised(components, tmp_path, store):
    publish(store, 100)
    watcher = Watcher(store, {2: lambda: publish(store, 200, "final")})
    trainer = swap_trainer(components, tmp_path, callbacks=[watcher])
    before = {name: tensor.clone() for name, tensor in trainer.model.named_parameters()}
    gradients = set()
    for name, tensor in trainer.model.named_parameters():
        if tensor.requires_grad:
            tensor.register_post_accumulate_grad_hook(lambda _, name=name: gradients.add(name))
    trainer.train()
    frozen = tuple(f"{place}." for place in PARTS.values())
    trainable = {name for name in before if not name.startswith(frozen)}
    assert gradients == trainable
    names = {id(tensor): name for name, tensor in trainer.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    assert {names[id(tensor)] for group in groups for tensor in group["params"]} == trainable
    assert {names[id(tensor)] for tensor in trainer.optimizer.optimizer.state} == trainable
    for name, tensor in trainer.model.named_parameters():
        assert tensor.grad is None or name in trainable
        assert name.startswith(frozen) or not torch.equal(tensor, before[name]), name


def test_store_is_looked_at_every_so_many_steps(components, tmp_path, store):
    watcher = Watcher(store, {1: lambda: publish(store, 200), 3: lambda: publish(store, 300, "final")})
    swap_trainer(components, tmp_path, callbacks=[watcher], swap_interval=2, final_steps=0.0).train()
    assert watcher.trained_on == [
        None,
        None,
        "000000200-drift",
        "000000200-drift",
        "000000300-final",
        "000000300-final",
    ]


def test_without_final_steps_pretraining_may_go_on(components, tmp_path, store, monkeypatch):
    monkeypatch.setattr(snapshots.time, "sleep", lambda seconds: pytest.fail("nothing is to be waited for"))
    watcher = Watcher(store, {1: lambda: publish(store, 200)})
    swap_trainer(components, tmp_path, callbacks=[watcher], final_steps=0).train()
    assert watcher.trained_on[-1] == "000000200-drift"


def test_finished_encoder_is_waited_for_though_nothing_else_is(components, tmp_path, store, monkeypatch, caplog):
    """Pretraining is slower here: the last two steps wait until it has ended."""
    looks = []

    def publish_at_the_third_look(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            publish(store, 900, "final")

    monkeypatch.setattr(snapshots.time, "sleep", publish_at_the_third_look)
    watcher = Watcher(store, {})
    swap_trainer(components, tmp_path, callbacks=[watcher]).train()
    assert looks == [0.02] * 3
    assert watcher.trained_on == [None] * 4 + ["000000900-final"] * 2
    assert "Waiting for the encoder of step 4" in caplog.text


def test_drifted_encoder_is_not_taken_for_the_finished_one(components, tmp_path, store, monkeypatch):
    """At the step that wants the finished encoder another new one is there."""
    publish(store, 100)
    monkeypatch.setattr(snapshots.time, "sleep", lambda seconds: publish(store, 300, "final"))
    watcher = Watcher(store, {3: lambda: publish(store, 200)})
    swap_trainer(components, tmp_path, callbacks=[watcher], swap_interval=100).train()
    assert watcher.trained_on == ["000000100-drift"] * 4 + ["000000300-final"] * 2


@pytest.mark.parametrize(("share", "steps", "expected"), [(0.5, 6, 3), (0.4, 6, 3), (2, 6, 4), (0, 6, 7), (6, 6, 0)])
def test_steps_on_the_finished_encoder_are_a_number_or_a_share(share, steps, expected):
    assert first_step_after_final_swap(share, steps) == expected


def test_more_final_steps_than_steps_are_refused(components, tmp_path, store):
    publish(store, 1, "final")
    with pytest.raises(ValueError, match="more than all 6 steps"):
        swap_trainer(components, tmp_path, final_steps=7).train()


# Damage


def damage(snapshot) -> None:
    path = snapshot.folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def test_damaged_encoder_is_left_out_and_reported_until_it_is_written_anew(components, tmp_path, store, caplog):
    def spoil():
        damage(publish(store, 200))
        (publish(store, 201).folder / "manifest.json").unlink()

    events = {2: spoil, 3: lambda: publish(store, 200), 4: lambda: publish(store, 300, "final")}
    publish(store, 100)
    watcher = Watcher(store, events)
    swap_trainer(components, tmp_path, callbacks=[watcher]).train()
    first, second, last = "000000100-drift", "000000200-drift", "000000300-final"
    assert watcher.trained_on == [first, first, first, second, last, last]
    reports = [message for message in caplog.messages if message.startswith("Snapshot left out")]
    assert sum("000000200-drift: model.safetensors is damaged" in message for message in reports) == 1
    assert sum("000000201-drift: no manifest.json" in message for message in reports) == 1


def test_encoder_whose_weights_are_seen_after_its_manifest_is_taken_later(components, tmp_path, store, monkeypatch):
    """As on a share that another machine writes."""
    publish(store, 100)
    late = publish(store, 300, "final")
    whole = (late.folder / "model.safetensors").read_bytes()
    damage(late)
    monkeypatch.setattr(encoder_swaps, "REJECTED_SECONDS", 0.0)
    watcher = Watcher(store, {2: lambda: (late.folder / "model.safetensors").write_bytes(whole)})
    swap_trainer(components, tmp_path, callbacks=[watcher]).train()
    first, last = "000000100-drift", "000000300-final"
    assert watcher.trained_on == [first, first, last, last, last, last]


def test_encoder_of_another_shape_is_refused_by_name(components, tmp_path, store):
    def save(folder):
        model = small_encoder()
        model.audio_tower.layers[0].conv.norm = torch.nn.LayerNorm(7)
        save_file(dict(model.state_dict()), folder / "model.safetensors")

    store.publish(1, "final", save)
    with pytest.raises(ValueError, match="000000001-final does not fit into the model's model.audio_tower.*conv.norm"):
        swap_trainer(components, tmp_path).train()


# Replay and resume


@pytest.fixture(scope="module")
def live_run(components, tmp_path_factory) -> Path:
    """Folder of a run with three swaps: its store, its record in `out`, its final weights."""
    folder = tmp_path_factory.mktemp("live")
    store = EncoderSnapshots(folder / "store")
    publish(store, 100)
    watcher = Watcher(store, {3: lambda: publish(store, 200), 4: lambda: publish(store, 300, "final")})
    trainer = swap_trainer(components, folder, callbacks=[watcher])
    trainer.train()
    torch.save(trainer.model.state_dict(), folder / "weights.pt")
    return folder


def replay(components, folder: Path, live_run: Path, **kwargs) -> IterativeAsyncSFTTrainer:
    plan = str(live_run / "out" / "encoder_swaps.json")
    trainer = swap_trainer(components, folder, swap_policy="replay", **{"swap_plan": plan, **kwargs})
    trainer.train()
    return trainer


def test_replay_repeats_a_live_run_though_newer_encoders_are_there(components, tmp_path, live_run):
    trainer = replay(components, tmp_path, live_run, snapshot_dir=str(live_run / "store"))
    assert same_tensors(trainer.model.state_dict(), torch.load(live_run / "weights.pt"))
    assert record(tmp_path / "out") == record(live_run / "out")
    assert len(record(tmp_path / "out")) == 3


def test_replay_waits_for_the_encoders_of_its_plan(components, tmp_path, live_run, store, monkeypatch):
    publish(store, 100)
    left = [(200, "drift"), (300, "final")]
    monkeypatch.setattr(snapshots.time, "sleep", lambda seconds: publish(store, *left.pop(0)))
    trainer = replay(components, tmp_path, live_run)
    assert not left
    assert same_tensors(trainer.model.state_dict(), torch.load(live_run / "weights.pt"))


def test_replay_refuses_other_encoders_than_those_of_its_plan(components, tmp_path, live_run, store):
    publish(store, 100, seed=1)
    with pytest.raises(RuntimeError, match="Pretraining went another way"):
        replay(components, tmp_path, live_run)


def test_plans_that_cannot_be_replayed_are_refused(components, tmp_path, live_run):
    plan = tmp_path / "plan.json"
    plan.write_text('[{"step": 0}]')
    with pytest.raises(ValueError, match="no record of encoder swaps"):
        replay(components, tmp_path, live_run, swap_plan=str(plan))
    plan.write_text("[]")
    (tmp_path / "out" / "encoder_swaps.json").write_text((live_run / "out" / "encoder_swaps.json").read_text())
    with pytest.raises(ValueError, match="not in the plan"):
        replay(components, tmp_path, live_run, swap_plan=str(plan))


def section(components, folder, lora: bool, **kwargs) -> dict:
    """Swaps at steps 0, 3 and 5, checkpoints at 2 and 4."""
    training = {"snapshot_dir": str(folder / "store"), "final_steps": 1, "swap_interval": 1, "swap_poll_seconds": 0.02}
    made = stage_section("iterative_async_sft", components, **training, **kwargs)
    return made | ({"lora": LORA} if lora else {})


PLAN = {0: (100, "drift"), 3: (200, "drift"), 5: (300, "final")}


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Path:
    """A plan and, beside it, the store it belongs to."""
    folder = tmp_path_factory.mktemp("plan")
    store = EncoderSnapshots(folder / "store")
    swaps = [
        {"step": at, "snapshot": (s := publish(store, *what)).name, "sha256": s.sha256} for at, what in PLAN.items()
    ]
    (folder / "plan.json").write_text(json.dumps(swaps))
    return folder / "plan.json"


@pytest.mark.parametrize("lora", [False, True])
def test_resumed_run_ends_with_the_same_weights(components, plan, tmp_path, monkeypatch, lora):
    """Killed behind a swap that no checkpoint has yet, and behind a checkpoint; adapters do not hold the encoder."""
    settings = section(components, plan.parent, lora, swap_policy="replay", swap_plan=str(plan))
    run_section("iterative_async_sft", settings, tmp_path / "whole", 7)
    folder = tmp_path / "killed"
    for step in (3, 4):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "training_step", die_at(step))
            with pytest.raises(KeyboardInterrupt):
                run_section("iterative_async_sft", settings, folder, 7)
    run_section("iterative_async_sft", settings, folder, 7)
    finished = [load_file(path / "model.safetensors") for path in (folder, tmp_path / "whole")]
    assert same_tensors(*finished)
    before = load_file(components / "full" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], finished[0][name])}
    assert {"model.adaptor.linear1.weight", "model.language_model.layers.0.self_attn.q_proj.weight"} < changed
    final = load_file(plan.parent / "store" / "000000300-final" / "model.safetensors")
    assert all(torch.equal(finished[0][f"model.{name}"], final[name]) for name in final if "audio_tower" in name)


@pytest.mark.parametrize("lora", [pytest.param(False, marks=pytest.mark.slow), True])
def test_live_run_that_is_resumed_repeats_its_own_swaps(components, tmp_path, monkeypatch, lora):
    """Killed at step 3, behind a swap; meanwhile a newer encoder has come, which had not been there at step 3."""
    store = EncoderSnapshots(tmp_path / "store")
    publish(store, 100)
    settings = section(components, tmp_path, lora)
    real = Trainer.training_step

    def publish_and_die(trainer, *args, **kwargs):
        step = trainer.state.global_step
        if step == 2:
            publish(store, 200)
        if step == 3:
            raise KeyboardInterrupt
        return real(trainer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", publish_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_section("iterative_async_sft", settings, tmp_path / "run", 7)
    publish(store, 300, "final")
    run_section("iterative_async_sft", settings, tmp_path / "run", 7)
    swaps = record(tmp_path / "run" / "checkpoints")
    assert [(swap.step, swap.snapshot) for swap in swaps] == [
        (0, "000000100-drift"),
        (3, "000000200-drift"),
        (4, "000000300-final"),
    ]
    replayed = section(
        components,
        tmp_path,
        lora,
        swap_policy="replay",
        swap_plan=str(tmp_path / "run" / "checkpoints" / "encoder_swaps.json"),
    )
    run_section("iterative_async_sft", replayed, tmp_path / "replay", 7)
    assert same_tensors(*(load_file(tmp_path / name / "model.safetensors") for name in ("run", "replay")))


def test_adapters_are_merged_into_the_right_encoder_when_only_the_saving_was_lost(
    components, plan, tmp_path, monkeypatch
):
    settings = section(components, plan.parent, True, swap_policy="replay", swap_plan=str(plan))
    run_section("iterative_async_sft", settings, tmp_path / "whole", 7)

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sft, "save_trained", die)
        with pytest.raises(KeyboardInterrupt):
            run_section("iterative_async_sft", settings, tmp_path / "killed", 7)
    run_section("iterative_async_sft", settings, tmp_path / "killed", 7)
    assert same_tensors(*(load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")))


# Paced


def test_paced_swaps_depend_on_no_clock(components, tmp_path, store):
    """Encoders of 100, 130 and 200 steps, the last for two of ten steps: after 0, round(.3 * 8) and 8 of them."""
    for step, kind in ((50, "reference"), (100, "drift"), (130, "drift"), (200, "final")):
        publish(store, step, kind)
    watcher = Watcher(store, {})
    swap_trainer(components, tmp_path, callbacks=[watcher], max_steps=10, swap_policy="paced").train()
    first, second, last = "000000100-drift", "000000130-drift", "000000200-final"
    assert watcher.trained_on == [first] * 2 + [second] * 6 + [last] * 2
    assert [(swap.step, swap.snapshot) for swap in record(tmp_path / "out")] == [(0, first), (2, second), (8, last)]


def test_an_encoder_that_never_drifted_comes_in_once_and_pacing_needs_a_finished_one(components, tmp_path, store):
    publish(store, 100)
    with pytest.raises(ValueError, match="pretraining must have ended"):
        swap_trainer(components, tmp_path, swap_policy="paced")
    alone = EncoderSnapshots(tmp_path / "alone")
    last = publish(alone, 200, "final")
    assert paced_swaps(alone, 8) == [Swap(0, last.name, last.sha256)]


# Arguments


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"snapshot_dir": None}, "snapshot_dir"),
        ({"save_adapters": True}, "encoder that swaps bring in would not be saved"),
        ({"swap_policy": "lively"}, "lively"),
        ({"swap_policy": "replay"}, "replay needs a plan"),
        ({"swap_policy": "paced", "max_steps": 4, "final_steps": 0}, "final_steps above 0"),
        ({"swap_policy": "paced"}, "needs max_steps"),
        ({"swap_plan": "x"}, "replay needs a plan"),
        ({"swap_interval": 0}, "swap_interval"),
        ({"final_steps": -1}, "final_steps"),
        ({"freeze": ["phoneme_head"]}, "model.audio_tower must be frozen"),
        ({"load_best_model_at_end": True, "eval_strategy": "no", "save_strategy": "no"}, "load_best_model_at_end"),
    ],
)
def test_arguments_that_cannot_be_honoured_are_refused(argument, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trainer_arguments(IterativeAsyncSFTConfig, tmp_path, **{"snapshot_dir": "store", **argument})


# Alignment


def test_alignment_starts_from_the_first_published_encoder(components, tmp_path, store, monkeypatch):
    publish(store, 50, "reference")
    looks = []

    def publish_instead_of_sleeping(seconds):
        looks.append(seconds)
        publish(store, 100)
        publish(store, 200)

    monkeypatch.setattr(snapshots.time, "sleep", publish_instead_of_sleeping)
    settings = stage_section("alignment", components, max_steps=2)
    settings["model"] = {
        "encoder_snapshots": str(tmp_path / "store"),
        "language_model": str(components / "language_model"),
    }
    run_section("alignment", settings, tmp_path / "run", 7)
    assert looks == [10.0]
    model, _ = SFTModelSection(path=str(tmp_path / "run")).build()
    assert encoder_name(model, store) == "000000100-drift"
