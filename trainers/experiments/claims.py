# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What an experiment's file may claim, and which checks of likely causes it may name: a dataclass for each kind."""

from dataclasses import dataclass
from typing import Any, Literal

from ..runs.errors import SettingsError
from ..runs.settings import typed


# Whole numbers stay what they are.
Number = int | float
EQUAL_TIME = "equal time"
Metric = Literal["nse", "pai", "csai", "text_cka"]


@dataclass
@typed
class RateClaim:
    """That one arm makes fewer errors, or hallucinates less, than another.

    Args:
        says: The claim in words.
        kind: "errors", or "hallucinations".
        first, second: Arms; the statistic is the first's rate minus `factor` times the second's.
        low, high: Bounds of the statistic; one of them at least.
        factor: Of the second's rate.
        sounds: Of hallucinations, on which sounds: without speech, with silence around speech, or on the test sets by
            the paper's rule.
    """

    says: str
    kind: Literal["errors", "hallucinations"]
    first: str
    second: str
    low: Number | None = None
    high: Number | None = None
    factor: Number = 1
    sounds: Literal["non-speech", "padded", "paper"] | None = None

    def __post_init__(self):
        need_bound(self)
        if (self.kind == "hallucinations") is (self.sounds is None):
            raise SettingsError("sounds: hallucinations are on some sounds, and errors are not.", ("sounds",))


@dataclass
@typed
class AllocationClaim:
    """That a sum of figures of stages lies within bounds.

    Args:
        says: The claim in words.
        kind: "allocation".
        metric: Which figure; of text CKA what the adaptor adds.
        terms: Factor of each stage.
        over: Stage whose figure the sum is divided by.
        low, high: Bounds; one of them at least.
    """

    says: str
    kind: Literal["allocation"]
    metric: Metric
    terms: dict[str, Number]
    over: str | None = None
    low: Number | None = None
    high: Number | None = None

    def __post_init__(self):
        need_bound(self)


def need_bound(claim: RateClaim | AllocationClaim) -> None:
    """Refuse a claim that anything would fulfil."""
    if claim.low is None and claim.high is None:
        raise SettingsError("low or high missing: nothing could speak against the claim.")


CLAIMS = {"errors": RateClaim, "hallucinations": RateClaim, "allocation": AllocationClaim}


@dataclass(kw_only=True)
class Check:
    """A check of a likely cause of claims that do not hold.

    Args:
        name: Of what it found.
        kind: Which check it is, one of `CHECKS`.
        cause: The likely cause in words.
        check: What is done in words.
        about: What the claims say.
    """

    name: str
    kind: str
    cause: str
    check: str
    about: list[str]


@dataclass(kw_only=True)
class TrainedAgain(Check):
    """A stage is trained again with something changed.

    Args:
        arm: Whose stage it is.
        stage: The one that is trained.
        results: The one that evaluates it.
        set: Values of settings of the stage, by their dotted names; as `training.max_steps` "equal time" makes the arm
            take no longer than the arm `than`.
        than: Another arm, told beside it.
    """

    arm: str
    stage: str
    results: str
    set: dict[str, Any]
    than: str | None = None

    def __post_init__(self):
        if EQUAL_TIME in self.set.values() and self.than is None:
            raise SettingsError(f"than: which arm {EQUAL_TIME} is equal to.", ("than",))


@dataclass(kw_only=True)
class TextCKA(Check):
    """Text CKA of stages with an embedder's vectors, of the first `rows` utterances of the first set."""

    embedder: str
    rows: int
    stages: list[str]


@dataclass(kw_only=True)
class Sizes(Check):
    """The sign of a sum of figures of stages at all sizes of the PCA and ridges."""

    metric: Metric
    terms: dict[str, Number]


@dataclass(kw_only=True)
class Figures(Check):
    """A figure of several stages."""

    metric: Metric
    stages: list[str]


@dataclass(kw_only=True)
class TextInSilence(Check):
    """Shares of utterances with any text where silence is around them."""

    arms: list[str]


CHECKS = {
    "trained again": TrainedAgain,
    "text CKA": TextCKA,
    "sizes": Sizes,
    "figures": Figures,
    "text in silence": TextInSilence,
}
