# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recipes: YAML files that run one stage after another, or several at once, skip what is finished, resume the rest."""

import importlib
import logging
import os
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from .schedule import PlannedStage, Schedule, plan_stages
from .settings import SettingsError, check_names, read_sections
from .stage import finished, locked


if TYPE_CHECKING:
    from .stage_reports import StageReports

logger = logging.getLogger(__name__)

# Stage name -> the module of this folder whose `run` does it.
STAGES = {
    "language_model": "lm_pretraining",
    "encoder": "encoder_pretraining",
    "alignment": "alignment",
    "encoded_sft": "encoded_sft",
    "iterative_async_sft": "iterative_async_sft",
    "joint_sft": "joint_sft",
    "context_sft": "context_sft",
    "grpo": "grpo",
    "phoneme_head": "phoneme_head",
    "attention_pretraining": "attention_pretraining",
    "evaluation": "evaluation_stage",
}
VARIABLE = re.compile(r"\{([A-Za-z_]\w*)\}")
RECIPE_FIELDS = ("without_data", "output_dir", "seed", "variables", "shared", "report", "stages")


class YAMLLoader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where `1e-3` is text; here it is a number, as in YAML 1.2 and JSON."""


YAMLLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Parts that are shared by anchors become copies: a change of one leaves the others alone.

    Raises:
        ValueError: the file is not a mapping.
    """
    content = _copied(yaml.load(path.read_text(encoding="utf-8"), Loader=YAMLLoader))
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected a YAML mapping, got {type(content).__name__}.")
    return content


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def parse_overrides(overrides: list[str]) -> list[tuple[list[str], Any]]:
    """`--a.b value` or `--a.b=value` pairs as (path, YAML value)."""
    joined = []
    for item in overrides:
        # A value may start with dashes only after `=`.
        joined += item.split("=", 1) if item.startswith("--") else [item]
    if len(joined) % 2 or any(not key.startswith("--") for key in joined[::2]):
        raise SettingsError(f"Overrides come as `--key value`, got {' '.join(overrides)}")
    keys = [key.removeprefix("--").split(".") for key in joined[::2]]
    return [(key, yaml.load(value, Loader=YAMLLoader)) for key, value in zip(keys, joined[1::2], strict=True)]


def apply_override(content: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a nested field of a mapping; missing sections are made, and whoever reads them refuses unknown ones."""
    for position, key in enumerate(path[:-1]):
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise SettingsError(f"--{'.'.join(path)}: {'.'.join(path[: position + 1])!r} is no section.")
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
    check_names(VARIABLE.findall(value), variables, f"variable in {value!r}")
    # A whole value may be a number; inside a longer string a variable is text.
    if whole := VARIABLE.fullmatch(value):
        return variables[whole[1]]
    return VARIABLE.sub(lambda match: str(variables[match[1]]), value)


def load_recipe(path: Path, output_dir: str | None = None, overrides: list[str] | None = None) -> dict[str, Any]:
    """A recipe with its overrides applied and its variables replaced.

    Overrides go to `variables` or top-level fields by their bare names, to stages as `--stages.NAME.SECTION.KEY`.
    """
    recipe = read_yaml(path)
    check_names(recipe, RECIPE_FIELDS, str(path))
    variables = recipe.setdefault("variables", {})
    for key, value in parse_overrides(overrides or []):
        check_names(key[:1], {*variables, *RECIPE_FIELDS}, f"--{'.'.join(key)}")
        if key[0] == "stages":
            check_names(key[1:2], recipe["stages"], f"--{'.'.join(key)}")
        apply_override(variables if key[0] in variables else recipe, key, value)
    recipe["output_dir"] = str(output_dir or recipe["output_dir"])
    for name in {"stages", "report"} & set(recipe):
        recipe[name] = substitute(recipe[name], {**variables, "output_dir": recipe["output_dir"]})
    return recipe


def run_recipe(path: Path, output_dir: str | None = None, overrides: list[str] | None = None) -> None:
    """Run all stages of a recipe: in the order they stand, those in the background at the same time.

    Args:
        path: The recipe.
        output_dir: Where everything goes, one folder a stage; the recipe's own by default.
        overrides: `--key value` pairs, see [`load_recipe`].

    Raises:
        ValueError: for anything unknown in any stage, before the first one starts.
    """
    recipe = load_recipe(Path(path), output_dir, overrides)
    if "without_data" in recipe and not Path(recipe["variables"]["data_dir"]).is_dir():
        run_without_data(Path(path), recipe, output_dir, overrides or [])
        return
    plans = check_recipe(recipe)
    reports = plan_reports(recipe, plans)
    alone = ["--config", str(path), *(overrides or []), "--output_dir", recipe["output_dir"]]
    Schedule(
        Path(recipe["output_dir"]),
        plans,
        arguments=lambda plan: ["train", plan.name, *alone],
        run_here=lambda plan: run_section(plan.stage, plan.section, plan.output_dir, plan.seed),
        on_finish=lambda plan: reports and reports.after(plan),
    ).run()
    if reports:
        reports.at_the_end()


def plan_reports(recipe: dict[str, Any], plans: list[PlannedStage]) -> "StageReports | None":
    """Reports that a recipe's section `report` asks for."""
    if "report" not in recipe:
        return None
    from .stage_reports import ReportPlan, StageReports  # needs the extra report

    return StageReports(ReportPlan.from_section(recipe["report"]), plans, Path(recipe["output_dir"]))


def check_recipe(recipe: dict[str, Any]) -> list[PlannedStage]:
    """The stages of a loaded recipe, all their settings read once.

    Raises:
        ValueError: for anything unknown.
    """
    plans = plan_stages(recipe)
    for plan in plans:
        sections = stage_module(plan.stage).SECTIONS
        read_sections(plan.section, sections, plan.output_dir, plan.seed, f"stages.{plan.name}")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and any(plan.background or plan.launch for plan in plans):
        raise SettingsError(
            "A recipe with stages in the background is one process that starts the others: run it without a launcher "
            "and give its stages `launch`, or start each stage by itself with `entropy-asr train`."
        )
    return plans


def run_without_data(path: Path, recipe: dict[str, Any], output_dir: str | None, overrides: list[str]) -> None:
    """Run the recipe that this one names for machines without its data.

    Raises:
        FileNotFoundError: the missing folder was asked for by an override.
    """
    data_dir, other = recipe["variables"]["data_dir"], recipe["without_data"]
    if any(key == ["data_dir"] for key, _ in parse_overrides(overrides)):
        raise FileNotFoundError(f"--data_dir: there is no folder {data_dir}")
    logger.warning(f"There is no folder {data_dir}: {other} runs instead of {path.name}. Give the data as --data_dir.")
    run_recipe(path.with_name(other), output_dir, overrides)


def run_stage(stage: str, config_path: Path, overrides: list[str] | None = None) -> None:
    """Run one stage from a YAML file that holds its sections, `output_dir` and, if wanted, `seed`.

    Args:
        stage: One of `STAGES`; of a recipe, the name of one of its stages: that one alone is run, in the recipe's way.
        config_path: The YAML file.
        overrides: `--key value` for fields of `training`, `--section.key value` for the others; for a recipe as in
            [`run_recipe`].
    """
    config = read_yaml(Path(config_path))
    if "stages" in config:
        recipe = load_recipe(Path(config_path), overrides=overrides)
        check_names([stage], recipe["stages"], str(config_path))
        plan = next(plan for plan in plan_stages(recipe) if plan.name == stage)
        run_section(plan.stage, plan.section, plan.output_dir, plan.seed)
        return
    for key, value in parse_overrides(overrides or []):
        bare = len(key) == 1 and key[0] not in ("output_dir", "seed")
        apply_override(config.setdefault("training", {}) if bare else config, key, value)
    if "output_dir" not in config:
        raise SettingsError(f"{config_path}: `output_dir` missing.")
    output_dir, seed = Path(config.pop("output_dir")), config.pop("seed", 0)
    run_section(stage, substitute(config, {"output_dir": str(output_dir)}), output_dir, seed)


def stage_module(stage: str) -> ModuleType:
    """Module of a stage: its `SECTIONS` and its `run`.

    Raises:
        ValueError: there is no such stage.
    """
    check_names([stage], STAGES, "stage")
    return importlib.import_module(f".{STAGES[stage]}", __package__)


def run_section(stage: str, section: dict[str, Any], output_dir: Path, seed: int) -> None:
    """Run one stage with its settings, unless it is finished already."""
    module = stage_module(stage)
    if finished(output_dir, section, seed):
        logger.warning(f"{output_dir}: stage {stage} is finished, nothing to do.")
        return
    logger.warning(f"{output_dir}: stage {stage} starts.")
    with locked(output_dir):
        module.run(section, output_dir, seed)
