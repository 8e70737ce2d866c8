# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paper's ablations (arXiv 2604.08003, table 3 and figure 3) of any recipe that has the stages they change.

They are fields of a recipe, `no_ia_sft: true` in its file or `--no_ia_sft` on the command line:

- `no_ia_sft`: no supervised stage under a frozen encoder. Joint SFT goes on from alignment with the finished encoder,
  for as many steps as both would have had.
- `no_hot_swap`: alignment and IA-SFT begin when pretraining has ended, and train on the finished encoder alone.
- `no_joint_sft`: the encoder stays as pretraining left it until the stages after joint SFT.
- `units: character`: the encoder learns to write characters, not phonemes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..runs.errors import SettingsError, shown


SWITCHES = ("no_ia_sft", "no_hot_swap", "no_joint_sft")
# Options of the command line that need no value.
OPTIONS = tuple(f"--{name}" for name in SWITCHES)
UNITS = ("phoneme", "character")
Stages = dict[str, dict[str, Any]]


def ablate(recipe: dict[str, Any]) -> None:
    """Change the stages of a loaded recipe as its switches say.

    Args:
        recipe: Its variables are replaced; changed in place.

    Raises:
        SettingsError: The recipe has no stage that a switch changes, or two switches leave nothing to train.
    """
    if recipe.get("units", "phoneme") not in UNITS:
        raise SettingsError(f"units: one of {', '.join(UNITS)}, not {shown(recipe['units'])}.", ("units",))
    if recipe.get("no_ia_sft") and (other := next((name for name in SWITCHES[1:] if recipe.get(name)), None)):
        raise SettingsError(f"no_ia_sft and {other} do not go together: the second changes what the first leaves out.")
    stages, output_dir = recipe["stages"], recipe["output_dir"]
    if recipe.get("units") == "character":
        write_characters(stages)
    for name, change in zip(SWITCHES, (without_ia_sft, without_hot_swap, without_joint_sft), strict=True):
        if recipe.get(name):
            change(stages, output_dir)


def without_ia_sft(stages: Stages, output_dir: str) -> None:
    """Give the steps of the supervised stages under a frozen encoder to joint SFT."""
    [joint, *_] = _named(_joint(stages), "no_ia_sft", "joint SFT (`joint_sft` that trains the encoder)")
    left_out = _named(_under_frozen_encoder(stages), "no_ia_sft", "IA-SFT (`iterative_async_sft`)")
    training = stages[joint].setdefault("training", {})
    training["max_steps"] = sum(_steps(stages, name, "no_ia_sft") for name in (*left_out, joint))
    for name in left_out:
        _leave_out(stages, name, output_dir)
    if encoders := list(_pretraining(stages)):
        # Alignment may have had an earlier one.
        stages[joint]["model"]["encoder"] = f"{output_dir}/{encoders[-1]}"
        _wait_for(stages, joint, encoders[-1])


def without_hot_swap(stages: Stages, output_dir: str) -> None:
    """Let all that trains on an encoder wait for the finished one."""
    swapped = _named(_of_kind(stages, "iterative_async_sft"), "no_hot_swap", "IA-SFT (`iterative_async_sft`)")
    *_, encoder = _named(_pretraining(stages), "no_hot_swap", "encoder pretraining (`encoder`)")
    for name in swapped:
        stages[name]["training"]["final_steps"] = _steps(stages, name, "no_hot_swap")
    for name, section in stages.items():
        if isinstance(section.get("model"), dict) and section["model"].pop("encoder_snapshots", None) is not None:
            section["model"]["encoder"] = f"{output_dir}/{encoder}"
            _wait_for(stages, name, encoder)


def without_joint_sft(stages: Stages, output_dir: str) -> None:
    """Leave joint SFT out."""
    for name in _named(_joint(stages), "no_joint_sft", "joint SFT (`joint_sft` that trains the encoder)"):
        _leave_out(stages, name, output_dir)


def write_characters(stages: Stages) -> None:
    """Pretrain on characters; text that nobody recorded needs phonemes, and is left out."""
    for name in _named(_of_kind(stages, "encoder"), "units", "encoder pretraining (`encoder`)"):
        stages[name]["stage"] = "character_encoder"
    for name in _of_kind(stages, "encoded_sft"):
        data = stages[name].get("data", {})
        stages[name]["data"] = {**{key: data[key] for key in data if key != "phoneme_errors"}, "text": []}


def _kind(name: str, section: dict[str, Any]) -> str:
    return section.get("stage") or name


def _of_kind(stages: Stages, *kinds: str) -> Iterator[str]:
    return (name for name, section in list(stages.items()) if _kind(name, section) in kinds)


def _pretraining(stages: Stages) -> Iterator[str]:
    return _of_kind(stages, "encoder", "character_encoder")


def _freezes(section: dict[str, Any], module: str) -> bool:
    return module in (section.get("training") or {}).get("freeze", [])


def _joint(stages: Stages) -> Iterator[str]:
    return (name for name in _of_kind(stages, "joint_sft") if not _freezes(stages[name], "model.audio_tower"))


def _under_frozen_encoder(stages: Stages) -> Iterator[str]:
    """Stages that train the language model while the encoder is frozen, and may be swapped."""
    for name in _of_kind(stages, "iterative_async_sft", "encoded_sft", "joint_sft"):
        frozen = _kind(name, stages[name]) != "joint_sft" or _freezes(stages[name], "model.audio_tower")
        if frozen and not _freezes(stages[name], "model.language_model"):
            yield name


def _named(names: Iterator[str], switch: str, what: str) -> list[str]:
    found = list(names)
    if not found:
        raise SettingsError(f"{switch}: this recipe has no {what}, so there is nothing to change.", (switch,))
    return found


def _steps(stages: Stages, name: str, switch: str) -> int:
    steps = (stages[name].get("training") or {}).get("max_steps")
    if not isinstance(steps, int) or steps < 1:
        key = ("stages", name, "training", "max_steps")
        raise SettingsError(f"{switch}: stages.{name}.training needs max_steps, to count its steps.", key)
    return steps


def _wait_for(stages: Stages, name: str, other: str) -> None:
    if stages[other].get("background"):
        stages[name]["after"] = list(dict.fromkeys([*stages[name].get("after", []), other]))


def _leave_out(stages: Stages, name: str, output_dir: str) -> None:
    """Take a stage away; those that went on from its model go on from what it started with."""
    left_out, folder = stages.pop(name), Path(output_dir) / name
    for other, section in stages.items():
        model = section.get("model")
        if not isinstance(model, dict) or not isinstance(model.get("path"), str) or Path(model["path"]) != folder:
            continue
        del model["path"]
        section["model"] = {**left_out["model"], **model}
        for awaited in left_out.get("after", []):
            _wait_for(stages, other, awaited)
