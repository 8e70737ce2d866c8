# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recipes: YAML files that run one stage after another, skip what is finished and resume what is not."""

import importlib
import logging
import re
from pathlib import Path
from typing import Any

import yaml


logger = logging.getLogger(__name__)

# Stage name -> the module of this folder whose `run` does it.
STAGES = {
    "language_model": "lm_pretraining",
    "encoder": "encoder_pretraining",
    "alignment": "alignment",
    "joint_sft": "joint_sft",
    "evaluation": "evaluation_stage",
}
RECIPE_FIELDS = ("output_dir", "seed", "variables", "shared", "stages")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        ValueError: the file is not a mapping.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a YAML mapping, got {type(content).__name__}.")
    return content


def parse_overrides(overrides: list[str]) -> list[tuple[list[str], Any]]:
    """`--a.b value` or `--a.b=value` pairs as (path, YAML value)."""
    joined = [part for item in overrides for part in (item.split("=", 1) if item.startswith("--") else [item])]
    if len(joined) % 2 or any(not key.startswith("--") for key in joined[::2]):
        raise ValueError(f"Overrides come as `--key value`, got {' '.join(overrides)}")
    keys = [key.removeprefix("--").split(".") for key in joined[::2]]
    return list(zip(keys, map(yaml.safe_load, joined[1::2]), strict=True))


def apply_override(content: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a nested field of a mapping; every part of the path but the last must exist."""
    for position, key in enumerate(path[:-1]):
        if not isinstance(content.get(key), dict):
            raise ValueError(f"--{'.'.join(path)}: there is no section {'.'.join(path[: position + 1])!r}.")
        content = content[key]
    content[path[-1]] = value


def substitute(value: Any, variables: dict[str, Any]) -> Any:
    """Replace `{name}` in all strings of a nested value.

    Raises:
        ValueError: for a name that is no variable.
    """
    if isinstance(value, dict):
        return {key: substitute(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    unknown = sorted(set(re.findall(r"\{(\w+)\}", value)) - set(variables))
    if unknown:
        raise ValueError(f"{value!r}: unknown variables {unknown}; known are {sorted(variables)}.")
    # A whole value may be a number; inside a longer string a variable is text.
    if whole := re.fullmatch(r"\{(\w+)\}", value):
        return variables[whole[1]]
    return re.sub(r"\{(\w+)\}", lambda match: str(variables[match[1]]), value)


def load_recipe(path: Path, output_dir: str | None, overrides: list[str]) -> dict[str, Any]:
    """A recipe with its overrides applied and its variables replaced.

    Overrides go to `variables` or top-level fields by their bare names, to stages as `--stages.NAME.SECTION.KEY`.
    """
    recipe = read_yaml(path)
    unknown = sorted(set(recipe) - set(RECIPE_FIELDS))
    if unknown:
        raise ValueError(f"{path}: unknown fields {unknown}; known are {list(RECIPE_FIELDS)}.")
    variables = recipe.setdefault("variables", {})
    for key, value in parse_overrides(overrides):
        if len(key) == 1 and key[0] in variables:
            variables[key[0]] = value
        elif key[0] in RECIPE_FIELDS:
            apply_override(recipe, key, value)
        else:
            raise ValueError(f"--{'.'.join(key)}: {path} has no such field; variables are {sorted(variables)}.")
    recipe["output_dir"] = str(output_dir or recipe["output_dir"])
    recipe["stages"] = substitute(recipe["stages"], {**variables, "output_dir": recipe["output_dir"]})
    return recipe


def run_recipe(path: Path, output_dir: str | None = None, overrides: list[str] | None = None) -> None:
    """Run all stages of a recipe in the order they stand.

    Args:
        path: The recipe.
        output_dir: Where everything goes, one folder a stage; the recipe's own by default.
        overrides: `--key value` pairs, see [`load_recipe`].
    """
    recipe = load_recipe(Path(path), output_dir, overrides or [])
    for name, section in recipe["stages"].items():
        stage = section.pop("stage", name)
        run_section(stage, section, Path(recipe["output_dir"]) / name, recipe.get("seed", 0))


def run_stage(stage: str, config_path: Path, overrides: list[str] | None = None) -> None:
    """Run one stage from a YAML file that holds its sections, `output_dir` and, if wanted, `seed`.

    Args:
        stage: One of `STAGES`.
        config_path: The YAML file.
        overrides: `--key value` for fields of `training`, `--section.key value` for the others.
    """
    config = read_yaml(Path(config_path))
    for key, value in parse_overrides(overrides or []):
        bare = len(key) == 1 and key[0] not in config
        apply_override(config, ["training", *key] if bare else key, value)
    if "output_dir" not in config:
        raise ValueError(f"{config_path}: `output_dir` missing.")
    output_dir = Path(config.pop("output_dir"))
    run_section(stage, substitute(config, {"output_dir": str(output_dir)}), output_dir, config.pop("seed", 0))


def run_section(stage: str, section: dict[str, Any], output_dir: Path, seed: int) -> None:
    """Run one stage with its settings, unless it is finished already."""
    from .stage import finished

    if stage not in STAGES:
        raise ValueError(f"There is no stage {stage!r}; stages are {', '.join(STAGES)}.")
    if finished(output_dir, section):
        logger.warning(f"{output_dir}: stage {stage} is finished, nothing to do.")
        return
    logger.warning(f"{output_dir}: stage {stage} starts.")
    importlib.import_module(f".{STAGES[stage]}", __package__).run(section, output_dir, seed)
