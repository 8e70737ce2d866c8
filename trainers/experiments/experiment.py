# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The file of an experiment: which arms of which recipe, with which seeds, and what is claimed of them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from entropy_asr.modeling.languages_entropy_asr import language_code

from ..recipes import recipe as recipes
from ..recipes.places import VARIABLE, Places, read_yaml
from ..recipes.recipe import apply_override
from ..runs.errors import SettingsError, shown
from ..runs.settings import check_names, checked, from_mapping, typed
from .claims import CHECKS, CLAIMS, Number


SHIPPED = Path(__file__).parent
PLAIN = "guards off"
# What `entropy-asr experiment` takes for the file itself; all else goes to the recipe.
SECTION = "allocation"


@dataclass
@typed
class AllocationSet:
    """A data set that the entropy allocation is measured on, as `entropy-asr report` takes it.

    Args:
        path: Hub id, folder or parquet file; `{name}` stands for variables of the recipe.
        split: Its split.
        dataset_config: Configuration of a data set of the Hub that has several.
        text_column: Column with the transcript.
        language: Language of all rows, in any usual form. None: the data set's column.
    """

    path: str
    split: str = "test"
    dataset_config: str | None = None
    text_column: str = "text"
    language: str | None = None

    def __post_init__(self):
        if self.language is not None and not VARIABLE.search(self.language):
            self.language = language_code(self.language, optional=True)

    def options(self) -> dict[str, str]:
        """What the report is told beside the path."""
        return {name: value for name, value in asdict(self).items() if name != "path" and value is not None}


@dataclass
@typed
class AllocationPlan:
    """Section `allocation`: what `entropy-asr report` measures of each seed.

    Args:
        stages: Whose encoders.
        sets: Fields of [`AllocationSet`]s; all of the same split, configuration, column and language.
        steps: What the picture calls the stages of an arm; an arm's last one stands at the last.
        rows: Utterances of a set.
        ledger_rows: Of them in the ledger.
        embedder: Text embedder of CSAI; None: no CSAI.
    """

    stages: list[str]
    sets: list[dict[str, Any]]
    steps: list[str]
    rows: int = 1000
    ledger_rows: int = 50
    embedder: str | None = None

    def __post_init__(self):
        if not self.stages or not self.sets:
            name = "sets" if self.stages else "stages"
            raise SettingsError(f"{name}: at least one.", (name,))
        if self.rows < 1 or self.ledger_rows < 0:
            raise SettingsError("rows: at least one, and ledger_rows none or more.", ("rows",))
        sets = [from_mapping(AllocationSet, one, "sets", place) for place, one in enumerate(self.sets)]
        if other := next((place for place, one in enumerate(sets) if one.options() != sets[0].options()), None):
            raise SettingsError("sets: one split, dataset_config, text_column and language for all.", ("sets", other))


@dataclass
@typed
class Experiment:
    """What the file of an experiment holds.

    Args:
        title: The page's heading.
        about: What the claims are, for "Of 28 ...".
        recipe: Name of a shipped recipe, or a path relative to the file; it runs all arms of one seed.
        arms: Stages of each arm in their order, by its name; the stages ARM_results and ARM_guarded measure the last,
            and so does ARM_further, where the recipe has it, on test sets that no claim is about.
        allocation: Fields of [`AllocationPlan`].
        conditions: Under which test sets are heard, as evaluation names them.
        seconds: What each stage of the recipe is expected to take.
        report_seconds: What the entropy allocation report is expected to take.
        claims: Fields of [`~claims.RateClaim`] or [`~claims.AllocationClaim`], by `kind`.
        seeds: Those that are run.
        variables: Values in place of the recipe's own.
        summary_arms: Whose error rates README's summary tells.
        why: Fields of the [`~claims.Check`] of each kind.
        claimant: Who says what is claimed, "the paper" for one.
    """

    title: str
    about: str
    recipe: str
    arms: dict[str, list[str]]
    allocation: dict[str, Any]
    conditions: list[str]
    seconds: dict[str, Number]
    report_seconds: Number
    claims: list[dict[str, Any]]
    seeds: list[int] = field(default_factory=lambda: [1])
    variables: dict[str, Any] = field(default_factory=dict)
    summary_arms: list[str] = field(default_factory=list)
    why: list[dict[str, Any]] = field(default_factory=list)
    claimant: str = ""
    path: Path = field(init=False, default=Path())
    places: Places | None = field(init=False, default=None, repr=False)

    def __post_init__(self):
        self.measured = from_mapping(AllocationPlan, self.allocation, SECTION)
        for name in ("arms", "claims", "seeds"):
            if not getattr(self, name):
                raise SettingsError(f"{name}: at least one.", (name,))
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise SettingsError("seeds: whole numbers from 0 on, none of them twice.", ("seeds",))
        self.claims = _of_kinds(CLAIMS, self.claims, "claims")
        self.why = _of_kinds(CHECKS, self.why, "why")
        check_references(self)

    @property
    def name(self) -> str:
        """By which the command finds the file: its bare name where it is shipped."""
        return self.path.stem if self.path.parent == SHIPPED else self.path.name

    @property
    def recipe_path(self) -> Path:
        """The recipe's file."""
        beside, shipped = self.path.parent / self.recipe, Path(recipes.__file__).parent / f"{self.recipe}.yaml"
        return next((path for path in (beside, shipped) if path.is_file()), beside)

    @property
    def claim_column(self) -> str:
        """Heading of the column with what is claimed."""
        return f"{self.claimant} says" if self.claimant else "claim"

    @property
    def padded(self) -> str:
        """The condition with silence around; "" where there is none."""
        return next((name for name in self.conditions if " of silence around" in name), "")


def _of_kinds(kinds: dict[str, type], entries: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Claims or checks with values of the types that the dataclass of their kind has, without those that are null."""
    read = []
    for place, values in enumerate(entries):
        kind = values.get("kind")
        if kind not in kinds:
            reason = f"{name}[{place}].kind: one of {', '.join(kinds)}, not {shown(kind)}."
            raise SettingsError(reason, (name, place, "kind"))
        given = checked(kinds[kind], values, name, place)
        read.append({key: value for key, value in given.items() if value is not None})
    return read


def check_references(experiment: Experiment) -> None:
    """Refuse names of arms, stages and claims that the file does not have.

    Raises:
        SettingsError: names what is unknown, and where.
    """
    stages = experiment.measured.stages
    check_names(experiment.summary_arms, experiment.arms, "summary_arms: arms", ("summary_arms",))
    says = [claim["says"] for claim in experiment.claims]
    for place, claim in enumerate(experiment.claims):
        where, key = f"claims[{place}]", ("claims", place)
        if claim["kind"] == "allocation":
            check_names([*claim["terms"], *_given(claim, "over")], stages, f"{where}: allocation.stages", key)
        else:
            check_names([claim["first"], claim["second"]], experiment.arms, f"{where}: arms", key)
        if says.index(claim["says"]) != place:
            raise SettingsError(f"{where}: {shown(claim['says'])} is claimed twice.", key)
    for place, check in enumerate(experiment.why):
        where, key = f"why[{place}]", ("why", place)
        check_names(check["about"], says, f"{where}.about: claims", (*key, "about"))
        arms = [*_given(check, "arm"), *_given(check, "than"), *check.get("arms", [])]
        check_names(arms, experiment.arms, f"{where}: arms", key)
        # Text CKA too is told beside the one that was measured.
        check_names([*check.get("terms", {}), *check.get("stages", [])], stages, f"{where}: allocation.stages", key)


def _given(values: dict[str, Any], name: str) -> list[str]:
    """A name that may have been left out."""
    return [values[name]] if name in values else []


def load_experiment(path: Path, overrides: Iterable[tuple[list[str], Any]] = ()) -> Experiment:
    """Read an experiment's file.

    Args:
        path: YAML file.
        overrides: Of its section `allocation`: keys and values.

    Raises:
        SettingsError: an unknown or missing key, a value of another type, a claim about an arm that is not there;
            names the file, the line, the key and the reason.
    """
    content, places = read_yaml(path), Places(path)
    for key, value in overrides:
        apply_override(content, key, value)
        places.override(key, f"--{'.'.join(key)}")
    with places.named():
        experiment = from_mapping(Experiment, content)
        experiment.path, experiment.places = path.resolve(), places
        if not experiment.recipe_path.is_file():
            raise SettingsError(
                f"recipe: there is neither a file {experiment.recipe_path} nor a shipped recipe "
                f"{shown(experiment.recipe)}.",
                ("recipe",),
            )
    return experiment
