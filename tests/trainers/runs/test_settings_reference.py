# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The reference of settings tells all that a stage takes."""

from dataclasses import dataclass, field, fields

import pytest
from transformers import TrainingArguments

from entropy_asr.trainers.runs.settings_reference import foreign_bases, reference, settings_of
from entropy_asr.trainers.stages import STAGES, find_stage


@dataclass
class Source:
    """Where rows come from.

    Args:
        path: Folder or Hub id, over
            two lines.
    """

    path: str


@dataclass
class Base:
    """What others are made from.

    Args:
        rate: Peak rate, see [`~other.Thing`].
    """

    rate: float = 0.5


@dataclass
class Section(Base):
    """What a stage reads. A second sentence.

    Args:
        sources: Fields of [`~place.Source`].
        steps: How many.
    """

    sources: list[dict] = field(default_factory=list)
    steps: int | None = None
    rate: float = 1e-5


@pytest.fixture(autouse=True)
def as_if_our_own(monkeypatch):
    monkeypatch.setattr("entropy_asr.trainers.runs.settings_reference.OWN", ("entropy_asr", __name__))


def test_fields_have_types_defaults_and_what_is_said_of_them():
    found = {one.name: one for one in settings_of(Section)}
    assert (found["steps"].kind, found["steps"].default, found["steps"].text) == (
        "a whole number or null",
        "null",
        "How many.",
    )
    assert found["rate"].default == "1e-05" and found["rate"].text == "Peak rate, see Thing."
    assert found["sources"].nested is Source


def test_entries_with_fields_of_their_own_are_told_once_and_last():
    lines = list(reference({"data": Section, "more": Section}))
    assert lines[0] == "data: What a stage reads. A second sentence."
    assert sum(line.startswith("Source: ") for line in lines) == 1
    place = lines.index("Source: Where rows come from.")
    assert lines[place + 1 : place + 3] == ["  path (text; needed)", "      Folder or Hub id, over two lines."]


@pytest.mark.parametrize("stage", STAGES)
def test_of_every_stage_every_setting_is_told(stage):
    sections = find_stage(stage).sections
    text = "\n".join(reference(sections))
    for cls in sections.values():
        own = settings_of(cls)
        assert not [one.name for one in own if not one.text], "say in the docstring what it does"
        foreign = {item.name for base in foreign_bases(cls) for item in fields(base)}
        told = {one.name for one in own} | foreign
        assert told >= {item.name for item in fields(cls) if item.init}
        assert all(f"  {one.name} ({one.kind}; " in text for one in own)


def test_arguments_of_other_libraries_are_named_not_told():
    training = find_stage("joint_sft").sections["training"]
    assert [base.__name__ for base in foreign_bases(training)] == ["SFTConfig"]
    assert issubclass(training, TrainingArguments)
    assert "adam_beta1" not in {one.name for one in settings_of(training)}
