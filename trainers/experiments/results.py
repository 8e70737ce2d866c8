# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What was kept of all seeds that are whole, as rates and figures of arms and stages; of this the page is made."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.paired_bootstrap import CountedSet
from ..runs.errors import SettingsError, shown
from ..runs.records import differing_settings
from .experiment import PLAIN, Experiment
from .kept import further
from .run import ExperimentRun, own_settings, without_folders


# What is either so or not of an utterance.
EVENTS = ("nonempty", "hallucinated", "paper")


def as_arrays(counted: dict[str, Any]) -> dict[str, np.ndarray]:
    """What [`~kept.count`] gave as arrays `(N,)`, with "ones", which shares are divided by."""
    arrays = {name: np.array(values, float) for name, values in counted.items() if name not in EVENTS}
    arrays["ones"] = np.ones(len(arrays["units"]))
    for name in EVENTS:
        arrays[name] = np.zeros(len(arrays["units"]))
        arrays[name][counted[name]] = 1
    return arrays


class Results:
    """What was kept of all seeds that are whole.

    Args:
        folder: With a folder a seed.
        experiment: Whose arms they are.

    Raises:
        SettingsError: no seed is whole, or two were run with other settings.
    """

    def __init__(self, folder: Path, experiment: Experiment):
        self.experiment = experiment
        numbered = [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
        files = ["allocation.json", *(f"{arm}.json" for arm in experiment.arms)]
        self.seeds = [
            seed
            for seed in sorted(numbered, key=lambda path: int(path.name))
            if all((seed / file).exists() for file in files)
        ]
        if not self.seeds:
            raise SettingsError(f"{folder}: no seed has been run to its end.")
        self._read = cache(lambda path: json.loads(path.read_text(encoding="utf-8")))
        self._arrays = cache(as_arrays_of(self._read))
        self.settings = self._settings(own_settings(experiment.recipe_path))
        first, *others = self.seeds
        for seed in others:
            one, other = (measured_with(self.report(which)) for which in (first, seed))
            refuse_differing({f"seed {first.name}": one, f"seed {seed.name}": other}, "entropy allocation options")

    def _settings(self, default: dict[str, Any]) -> dict[str, Any]:
        """Those that all were made with; of a variable that the recipe did not have yet, what it has now."""
        found = {}
        for seed in self.seeds:
            for arm in self.experiment.arms:
                settings = dict(self._read(seed / f"{arm}.json")["settings"])
                settings.pop("seed", None)
                found[f"{seed.name}/{arm}"] = settings
        first, *others = found
        for name in others:
            refuse_differing({which: {**default, **found[which]} for which in (first, name)}, "settings")
        return found[first]

    def of_arm(self, seed: Path, arm: str) -> dict[str, Any]:
        """What is kept of an arm."""
        return self._read(seed / f"{arm}.json")

    def both(
        self, arms: tuple[str, str], condition: str, what: str, spoken: bool = True, stage: str = ""
    ) -> list[CountedSet]:
        """Counts of two arms' results on each test set, with speech or without, of all seeds.

        Args:
            arms: Their names; twice the same for one arm's rates.
            condition: How test sets were heard; "guards on" is measured apart.
            what: A name of [`~kept.count`].
            spoken: Test sets of speech, or of sounds without.
            stage: What was measured, where not the last stages.
        """
        found = [[self._counts(seed, arm, condition, stage) for seed in self.seeds] for arm in arms]
        self._check_paired(found, arms, condition)
        return [
            CountedSet(
                *(np.stack([counts[name][what] for counts in arm]) for arm in found),
                found[0][0][name]["units" if what == "errors" else "ones"],
            )
            for name in self.sets(arms[0], condition, spoken, stage)
        ]

    def _check_paired(self, found: list[list[dict]], arms: tuple[str, str], condition: str) -> None:
        """Refuse what was not measured on the same utterances, of which some may not have been readable."""
        first = found[0][0]
        for arm, of_seeds in zip(arms, found, strict=True):
            for seed, counts in zip(self.seeds, of_seeds, strict=True):
                for name in counts.keys() & first.keys():
                    if not np.array_equal(counts[name]["units"], first[name]["units"]):
                        raise SettingsError(
                            f"{seed.name}/{arm}: under {condition!r} it was measured on other utterances of {name} "
                            f"than {self.seeds[0].name}/{arms[0]}, perhaps since some could not be read: remove its "
                            "stages of evaluation and run the experiment again."
                        )

    def sets(self, arm: str, condition: str, spoken: bool = True, stage: str = "") -> list[str]:
        """Test sets of speech, or of sounds without, that were heard under a condition; see [`both`]."""
        found = self._counts(self.seeds[0], arm, condition, stage)
        return [name for name, counts in found.items() if bool(counts["units"].sum()) == spoken]

    def _counts(self, seed: Path, arm: str, condition: str, stage: str) -> dict[str, dict[str, np.ndarray]]:
        stage = stage or f"{arm}_{'guarded' if condition.endswith('guards on') else 'results'}"
        return self._arrays(seed / f"{arm}.json", stage, condition)

    def rates(self, arm: str, condition: str, what: str, spoken: bool = True, stage: str = "") -> dict[str, list]:
        """An arm's rate on each test set, of each seed."""
        counted = self.both((arm, arm), condition, what, spoken, stage)
        names = self.sets(arm, condition, spoken, stage)
        return {name: (one.first.sum(1) / one.units.sum()).tolist() for name, one in zip(names, counted, strict=True)}

    def rate(self, arm: str, condition: str, what: str, spoken: bool = True, stage: str = "") -> list[float]:
        """Mean over test sets of an arm's rate, of each seed."""
        rates = list(self.rates(arm, condition, what, spoken, stage).values())
        return np.mean(rates, axis=0).tolist() if rates else []

    def further_rates(self, arm: str) -> dict[str, list[float]]:
        """An arm's error rate on each test set that no claim is about, of those seeds that were measured on them."""
        stage = further(arm)
        measured = [seed for seed in self.seeds if stage in self.of_arm(seed, arm)["results"]]
        counts = [self._counts(seed, arm, PLAIN, stage) for seed in measured]
        return {
            name: [float(found[name]["errors"].sum() / found[name]["units"].sum()) for found in counts]
            for name in (counts[0] if counts else [])
            if counts[0][name]["units"].any()
        }

    def report(self, seed: Path) -> dict[str, Any]:
        """The entropy allocation report of a seed."""
        return self._read(seed / "allocation.json")

    def allocation(self, seed: Path, stage: str, metric: str) -> float | None:
        """Mean over data sets of a figure; of text CKA what the adaptor adds. None where no set has it."""
        datasets = self.report(seed)["datasets"].values()
        found = [data["models"].get(stage, {}).get(metric) for data in datasets]
        if metric == "text_cka":
            found = [cka and cka["adaptor"] - cka["layers"][-1] for cka in found]
        found = [value for value in found if value is not None]
        return float(np.mean(found)) if found else None

    def earlier_rates(self, arm: str) -> dict[str, list[float]]:
        """Error rates after those earlier stages of an arm that were measured too, of each seed."""
        measured = self.of_arm(self.seeds[0], arm)["results"]
        # An encoder may be called as its arm is, whose results those are then.
        names = [name for name in self.experiment.arms[arm][:-1] if name != arm and f"{name}_results" in measured]
        return {name: self.rate(arm, PLAIN, "errors", stage=f"{name}_results") for name in names}

    def training(self, arm: str) -> dict[str, float]:
        """Steps, and hours of one processor, of an arm's own and shared stages, on average over seeds."""
        records = [record for seed in self.seeds for record in self.of_arm(seed, arm)["training"].values()]
        seconds = sum(record["processor_seconds"] for record in records)
        return {
            "steps": sum(record["steps"] for record in records) / len(self.seeds),
            "hours": seconds / 3600 / len(self.seeds),
        }


def check_kept(run: ExperimentRun, seed: int) -> None:
    """Refuse to add results to others that were made in another way: no page could be made of them.

    Args:
        run: What is to be run; its folder of results need not be there yet.
        seed: Of what is to be run.

    Raises:
        SettingsError: names a file and the settings that differ.
    """
    default, settings = own_settings(run.experiment.recipe_path), run.settings(seed)
    planned, advice = "what is to be run", " Choose another --results_dir."
    for arm in run.experiment.arms:
        for file in sorted(run.results_dir.glob(f"*/{arm}.json")):
            kept = json.loads(file.read_text(encoding="utf-8"))["settings"]
            one, other = ({**default, **found, "seed": None} for found in (kept, settings))
            refuse_differing({str(file): one, planned: other}, "settings", advice)
    measured = planned_measures(run, seed)
    for file in sorted(run.results_dir.glob("*/allocation.json")):
        kept = measured_with(json.loads(file.read_text(encoding="utf-8")))
        one = {name: kept.get(name) for name in measured}
        refuse_differing({str(file): one, planned: measured}, "entropy allocation options", advice)


def measured_with(report: dict[str, Any]) -> dict[str, Any]:
    """What an entropy allocation report was made with: its options, and the names of its data sets as `sets`."""
    return without_folders({**report["options"], "sets": list(report["datasets"])})


def planned_measures(run: ExperimentRun, seed: int) -> dict[str, Any]:
    """What [`measured_with`] will give of a seed's report, as far as the experiment says it."""
    plan, sets = run.experiment.measured, run.allocation_sets(seed)
    options = {name: value for name, value in asdict(sets[0]).items() if name != "path"}
    options |= {"max_rows": plan.rows, "ledger_rows": plan.ledger_rows, "embedder": plan.embedder}
    return without_folders({**options, "sets": [Path(one.path).name for one in sets]})


def refuse_differing(named: dict[str, dict[str, Any]], what: str, advice: str = "") -> None:
    """Refuse results that were not made in the same way.

    Args:
        named: What two of them were made with, by what messages call them.
        what: What that is.
        advice: What a message ends with.

    Raises:
        SettingsError: names both, and all that differs.
    """
    (first, one), (second, other) = named.items()
    differing = [key for key in differing_settings(one, other) if not is_end(one.get(key), other.get(key))]
    if differing:
        said = ", ".join(f"{key} {shown(one.get(key))} and {shown(other.get(key))}" for key in differing)
        raise SettingsError(f"{first} and {second} have different {what}: {said}.{advice}")


def is_end(one: Any, other: Any) -> bool:
    """Whether one of two names is the last part of the other: a folder may hold the model that the Hub has."""
    return isinstance(one, str) and isinstance(other, str) and (one == Path(other).name or other == Path(one).name)


def as_arrays_of(read: Callable[[Path], dict[str, Any]]) -> Callable[..., dict[str, dict[str, np.ndarray]]]:
    """Reads counts of a file's stage under a condition, by test set; of none where the stage or condition lacks."""

    def arrays(path: Path, stage: str, condition: str) -> dict[str, dict[str, np.ndarray]]:
        found = read(path)["results"][stage].get(condition, {})
        return {name: as_arrays(counted) for name, counted in found.items()}

    return arrays
