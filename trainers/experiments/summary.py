# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An experiment's summary: its verdicts in some lines, between two marks of a README."""

import re
import textwrap
from typing import Any

import numpy as np

from ..runs.errors import SettingsError
from .experiment import PLAIN, Experiment
from .results import Results
from .verdicts import VERDICTS, leaning, tally


SUMMARY_LINES = 10


def summary(results: Results, decided: list[dict[str, Any]], page: str) -> str:
    """The verdicts in at most `SUMMARY_LINES` lines, the last with a link to the page."""
    seeds = f"{len(results.seeds)} seed{'s' if len(results.seeds) > 1 else ''}"
    text = f"Of {len(decided)} claims, with {seeds}: {tally(decided)}."
    for word in VERDICTS[:2]:
        if said := [claim["says"] for claim in decided if claim["verdict"] == word]:
            text += f" {word.capitalize()}: {'; '.join(said)}."
    rates = {arm: 100 * np.mean(results.rate(arm, PLAIN, "errors")) for arm in results.experiment.summary_arms}
    if rates:
        text += f" Errors: {', '.join(f'{arm} {rate:.1f} %' for arm, rate in rates.items())}."
    if len(results.seeds) < 2:
        text += f" One seed cannot say how seeds differ, so nothing is decided yet: {leaning(decided)}."
    lines = textwrap.wrap(text, 119, break_on_hyphens=False)
    link = f"[All of it]({page})."
    if len(lines) >= SUMMARY_LINES:
        return "\n".join([*lines[: SUMMARY_LINES - 1], f"... {link}"])
    return "\n".join([*lines, link])


def marks(experiment: Experiment) -> tuple[str, str]:
    """Lines of a README that an experiment's summary goes between."""
    name = experiment.name
    return f"<!-- {name}: entropy-asr experiment {name} --aggregate writes this -->", f"<!-- end of {name} -->"


def with_summary(readme: str, said: str, experiment: Experiment) -> str:
    """README with a fresh summary between its marks.

    Raises:
        SettingsError: it has no such marks.
    """
    begin, end = map(re.escape, marks(experiment))
    found, count = re.subn(f"(?<={begin}\n).*?(?={end})", lambda _: said + "\n", readme, flags=re.DOTALL)
    if not count:
        first, last = marks(experiment)
        raise SettingsError(f"README lacks the lines {first} and {last} that its summary goes between.")
    return found
