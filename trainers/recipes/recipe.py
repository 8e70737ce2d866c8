# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recipes: YAML files that run one stage after another, or several at once, skip what is finished, resume the rest.

Variables and overrides take some forty lines here. OmegaConf (2.4, tried) would have `{name}` written as `${name}` in
all recipes, lets an override below a value (`--training.learning_rate.x 4`) silently replace it by a section, and its
errors know neither the names that there are nor the line of the file.
"""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from transformers import AutoConfig

from ..runs.disk import named_disk_errors
from ..runs.errors import shown
from ..runs.locks import locked
from ..runs.records import finished
from ..runs.settings import SettingsError, check_names, checked_mapping
from ..stages import find_stage
from .ablations import OPTIONS, ablate
from .places import NOT_ITS_TAG, Places, YAMLLoader, check_anchors, read_yaml
from .schedule import PlannedStage, Schedule, plan_stages
from .stage_inputs import check_inputs
from .variables import resolve_variables, substitute


if TYPE_CHECKING:
    from .stage_reports import StageReports

logger = logging.getLogger(__name__)


@dataclass
class Recipe:
    """What a recipe file may hold at its top.

    Args:
        stages: Sections of each stage, by its name; with `makes` or `only_with`, see [`leave_out`].
        output_dir: Where everything goes, one folder a stage.
        seed: Seed of the stages that have none of their own.
        variables: Values that `{name}` stands for in `stages`, in `report`, and in other variables.
        without_data: Recipe that runs in this one's place where its variable `data_dir`, which its stages use, is no
            folder.
        without_encoder: Recipe that runs in this one's place where its variable `encoder`, a public one, is neither
            a folder nor can be had from the Hub.
        shared: Anything: a place for YAML anchors.
        report: Section of [`~stage_reports.ReportPlan`].
        no_ia_sft, no_hot_swap, no_joint_sft: The paper's ablations, see [`~ablations`].
        units: What the encoder learns to write, "phoneme" or, for another ablation, "character".
    """

    stages: dict[str, dict]
    output_dir: str | None = None
    seed: int = 0
    variables: dict[str, Any] = field(default_factory=dict)
    without_data: str | None = None
    without_encoder: str | None = None
    shared: Any = None
    report: dict | None = None
    no_ia_sft: bool = False
    no_hot_swap: bool = False
    no_joint_sft: bool = False
    units: str = "phoneme"


@dataclass
class StageFile:
    """What the file of one stage holds beside its sections.

    Args:
        output_dir: Its folder.
        seed: Its seed.
    """

    output_dir: str
    seed: int = 0


def parse_overrides(overrides: list[str]) -> list[tuple[list[str], Any]]:
    """`--a.b value` or `--a.b=value` pairs as (path, YAML value); a switch of [`~ablations`] may stand alone."""
    joined = []
    for position, item in enumerate(overrides):
        # A value may start with dashes only after `=`.
        joined += item.split("=", 1) if item.startswith("--") else [item]
        following = overrides[position + 1 : position + 2]
        if item in OPTIONS and not (following and not following[0].startswith("--")):
            joined.append("true")
    if len(joined) % 2 or any(not key.startswith("--") for key in joined[::2]):
        raise SettingsError(f"Overrides come as `--key value`, got {' '.join(overrides)}")
    keys = [key.removeprefix("--").split(".") for key in joined[::2]]
    return [(key, _yaml_value(key, value)) for key, value in zip(keys, joined[1::2], strict=True)]


def _yaml_value(key: list[str], value: str) -> Any:
    option = f"--{'.'.join(key)}"
    try:
        check_anchors(option, yaml.compose(value, Loader=YAMLLoader))
        return yaml.load(value, Loader=YAMLLoader)
    except SettingsError:
        raise
    except (yaml.YAMLError, RecursionError, *NOT_ITS_TAG) as error:
        raise SettingsError(f"{option}: {shown(value)} is no valid YAML value.") from error


def apply_override(content: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a nested field of a mapping; missing sections are made, and whoever reads them refuses unknown ones."""
    for position, key in enumerate(path[:-1]):
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise SettingsError(f"--{'.'.join(path)}: {'.'.join(path[: position + 1])!r} is no section.")
    content[path[-1]] = value


def load_recipe(
    path: Path, output_dir: str | None = None, overrides: list[str] | None = None, places: Places | None = None
) -> dict[str, Any]:
    """A recipe with its overrides applied and its variables replaced.

    Overrides go to `variables` or top-level fields by their bare names, to stages as `--stages.NAME.SECTION.KEY`.

    Args:
        path: The recipe.
        output_dir: Where everything goes; the recipe's own by default.
        overrides: `--key value` pairs.
        places: Learns which settings they set.
    """
    recipe = read_yaml(path)
    places = places or Places(path)
    with places.named():
        recipe = checked_mapping(Recipe, recipe, ())
    variables = recipe.setdefault("variables", {})
    given = parse_overrides(overrides or [])
    for key, value in given:
        option = f"--{'.'.join(key)}"
        if key[0] == "variables":
            raise SettingsError(f"{option}: variables are given by their names, --{key[1] if key[1:] else 'NAME'}.")
        check_names(key[:1], {*variables, *Recipe.__dataclass_fields__}, option)
        if key[0] == "shared" and key[0] not in variables:
            raise SettingsError(
                f"{option}: anchors are already written out, so this would change nothing: give --stages.NAME..., or "
                "make it a variable of the recipe."
            )
        if key[0] == "stages":
            check_names(key[1:2], recipe["stages"], option)
        apply_override(variables if key[0] in variables else recipe, key, value)
        places.override(["variables", *key] if key[0] in variables else key, option)
    with places.named():
        recipe = checked_mapping(Recipe, recipe, ())
        if not (output_dir or recipe.get("output_dir")):
            raise SettingsError("`output_dir` missing.")
        recipe["output_dir"] = str(output_dir or recipe["output_dir"])
        known = resolve_variables(recipe["variables"], recipe["output_dir"])
        recipe["variables"] = {name: known[name] for name in recipe["variables"]}
        for name in {"stages", "report"} & set(recipe):
            recipe[name] = substitute(recipe[name], known, (name,))
        left_out = leave_out(recipe)
        ablate(recipe)
    if lost := [key for key, _ in given if key[0] == "stages" and key[1:2] and key[1] in left_out]:
        raise SettingsError(f"--{'.'.join(lost[0])}: the stage is left out, since {left_out[lost[0][1]]}.")
    return recipe


def leave_out(recipe: dict[str, Any]) -> dict[str, str]:
    """Leave out stages of a loaded recipe that have nothing to do.

    What `makes` of a stage names, such as the variable `language_model`, is by default the stage's folder; where it
    is a public model, nothing is to be made. `only_with` of a stage is what it cannot do without, such as data; it may
    be null or empty.

    Args:
        recipe: Its variables are replaced; changed in place. Nothing waits for what is left out.

    Returns:
        Why, for each stage that is left out.

    Raises:
        SettingsError: `makes` is no text.
    """
    left_out = {}
    for name, section in list(recipe["stages"].items()):
        made, needed = section.pop("makes", None), section.pop("only_with", True)
        if made is not None and not isinstance(made, str):
            raise SettingsError(f"makes: expected text, got {shown(made)}.", ("stages", name, "makes"))
        if made is not None and Path(made) != Path(recipe["output_dir"]) / name:
            left_out[name] = f"{made} is taken"
        elif not needed:
            left_out[name] = "there is nothing for it"
    for name in left_out:
        del recipe["stages"][name]
    for section in recipe["stages"].values():
        if isinstance(section.get("after"), list):
            section["after"] = [name for name in section["after"] if name not in left_out]
    return left_out


def run_recipe(path: Path, output_dir: str | None = None, overrides: list[str] | None = None) -> None:
    """Run all stages of a recipe: in the order they stand, those in the background at the same time.

    Args:
        path: The recipe.
        output_dir: Where everything goes, one folder a stage; the recipe's own by default.
        overrides: `--key value` pairs, see [`load_recipe`].

    Raises:
        ValueError: for anything unknown in any stage, or data that are not there, before the first one starts.
    """
    places = Places(Path(path))
    recipe = load_recipe(Path(path), output_dir, overrides, places)
    if other := other_recipe(Path(path), recipe, overrides or []):
        run_recipe(other, output_dir, overrides)
        return
    with places.named():
        plans = check_recipe(recipe)
        check_inputs([plan for plan in plans if not plan.is_finished()], Path(recipe["output_dir"]))
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


def lacks_data(recipe: dict[str, Any]) -> bool:
    """Whether stages of a loaded recipe read from its variable `data_dir`, and that is no folder."""
    folder = str(recipe["variables"].get("data_dir", ""))
    return not Path(folder).is_dir() and folder in yaml.safe_dump(recipe["stages"], width=float("inf"))


def plan_reports(recipe: dict[str, Any], plans: list[PlannedStage]) -> "StageReports | None":
    """Reports that a recipe's section `report` asks for."""
    if recipe.get("report") is None:
        return None
    from .stage_reports import ReportPlan, StageReports  # needs the extra report

    return StageReports(ReportPlan.from_section(recipe["report"]), plans, Path(recipe["output_dir"]))


def check_recipe(recipe: dict[str, Any]) -> list[PlannedStage]:
    """The stages of a loaded recipe, all their settings read once.

    Raises:
        ValueError: for anything unknown.
    """
    plans = plan_stages(recipe)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and any(plan.background or plan.launch for plan in plans):
        raise SettingsError(
            "A recipe with stages in the background is one process that starts the others: run it without a launcher "
            "and give its stages `launch`, or start each stage by itself with `entropy-asr train`."
        )
    for plan in plans:
        check_section(plan.stage, plan.section, plan.output_dir, plan.seed, "stages", plan.name)
    return plans


def other_recipe(path: Path, recipe: dict[str, Any], overrides: list[str]) -> Path | None:
    """The recipe that this one names for machines without its data or its public encoder, where that is one.

    Args:
        path: The recipe.
        recipe: What it holds, overrides among it.
        overrides: `--key value` pairs.

    Raises:
        FileNotFoundError: an override asked for what is missing, or is for this recipe alone.
    """
    variables = recipe.get("variables", {})
    missing = {
        "data_dir": recipe.get("without_data") and lacks_data(recipe),
        "encoder": recipe.get("without_encoder") and not can_be_had(variables["encoder"]),
    }
    name = next((name for name, is_missing in missing.items() if is_missing), None)
    if name is None:
        return None
    what = f"there is no folder {variables[name]}"
    if name == "encoder":
        what += ", nor can it be had from the Hub now"
    given = [key[0] for key, _ in parse_overrides(overrides)]
    if name in given:
        raise FileNotFoundError(f"--{name}: {what}")
    other = recipe["without_data" if name == "data_dir" else "without_encoder"]
    known = yaml.safe_load(path.with_name(other).read_text(encoding="utf-8")).get("variables", {})
    if lost := [key for key in given if key in variables and key not in known]:
        raise FileNotFoundError(
            f"--{lost[0]}: {what}, and {other}, which would run instead of {path.name}, knows no {lost[0]}: give "
            f"--{name}, or what else {path.name} reads from there."
        )
    logger.warning(f"{what[0].upper()}{what[1:]}: {other} runs instead of {path.name}. Give it as --{name}.")
    return path.with_name(other)


def can_be_had(model: str) -> bool:
    """Whether a model is a folder, or the Hub (or its cache) gives its configuration."""
    if Path(model).is_dir():
        return True
    try:
        AutoConfig.from_pretrained(model)
    except (OSError, ValueError):
        return False
    return True


def run_stage(stage: str, config_path: Path, overrides: list[str] | None = None) -> None:
    """Run one stage from a YAML file that holds its sections, `output_dir` and, if wanted, `seed`.

    Args:
        stage: One of `stages.STAGES`; of a recipe, the name of one of its stages: that one alone is run, in the
            recipe's way.
        config_path: The YAML file.
        overrides: `--key value` for fields of `training`, `--section.key value` for the others; for a recipe as in
            [`run_recipe`].
    """
    config, places = read_yaml(Path(config_path)), Places(Path(config_path))
    if "stages" in config:
        recipe = load_recipe(Path(config_path), overrides=overrides, places=places)
        with places.named():
            check_names([stage], recipe["stages"], "stages")
            plan = next(plan for plan in plan_stages(recipe) if plan.name == stage)
            check_section(plan.stage, plan.section, plan.output_dir, plan.seed, "stages", plan.name)
        run_section(plan.stage, plan.section, plan.output_dir, plan.seed)
        return
    for key, value in parse_overrides(overrides or []):
        option = f"--{'.'.join(key)}"
        key = ["training", *key] if len(key) == 1 and key[0] not in ("output_dir", "seed") else key
        apply_override(config, key, value)
        places.override(key, option)
    with places.named():
        if "output_dir" not in config:
            raise SettingsError("`output_dir` missing.")
        own = checked_mapping(StageFile, {key: config.pop(key) for key in ("output_dir", "seed") if key in config}, ())
        output_dir, seed = Path(own["output_dir"]), own.get("seed", 0)
        section = substitute(config, {"output_dir": own["output_dir"]})
        check_section(stage, section, output_dir, seed)
    run_section(stage, section, output_dir, seed)


def check_section(stage: str, section: dict[str, Any], output_dir: Path, seed: int, *key: str) -> None:
    """Read all settings of a stage once, before anything is made or loaded.

    Args:
        stage: Which stage it is.
        section: Its settings.
        output_dir: Its folder.
        seed: Its seed.
        key: Leads to its settings in their file.

    Raises:
        SettingsError: for anything unknown, missing or of another type.
    """
    find_stage(stage).read(section, output_dir, seed, *key)


def run_section(stage: str, section: dict[str, Any], output_dir: Path, seed: int) -> None:
    """Run one stage with its settings, unless it is finished already."""
    found = find_stage(stage)
    if finished(output_dir, section, seed):
        logger.warning(f"{output_dir}: stage {stage} is finished, nothing to do.")
        return
    logger.warning(f"{output_dir}: stage {stage} starts.")
    with locked(output_dir), named_disk_errors(output_dir, others_are_written=True):
        found.run(stage, section, output_dir, seed)
