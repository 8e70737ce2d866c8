# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Code that imports from where things were before goes on working."""

import importlib

import pytest

from entropy_asr.trainers.former_paths import FORMER_PATHS


@pytest.mark.parametrize("name", sorted(FORMER_PATHS))
def test_a_former_module_gives_what_it_became(name: str) -> None:
    module = importlib.import_module(f"entropy_asr.trainers.{name}")
    for place in FORMER_PATHS[name]:
        place = place if place.startswith("entropy_asr.") else f"entropy_asr.trainers.{place}"
        new = pytest.importorskip(place)
        public = [key for key, value in vars(new).items() if getattr(value, "__module__", None) == place]
        assert all(getattr(module, key) is not None for key in public)


def test_names_that_users_imported_are_where_they_were():
    from entropy_asr.modeling.ledger_entropy_asr import utterance_ledger
    from entropy_asr.trainers.evaluation import score_transcripts
    from entropy_asr.trainers.ledger import utterance_ledger as former_ledger
    from entropy_asr.trainers.sft import SFTModelSection, join_components
    from entropy_asr.trainers.sources import DataSource, SpeechDataset, load_source, load_sources, read_samples
    from entropy_asr.trainers.synthesis import Voice, build_synthetic_dataset, synthesize

    found = (SFTModelSection, join_components, DataSource, SpeechDataset, load_source, load_sources, read_samples)
    assert all(map(callable, (*found, Voice, build_synthetic_dataset, synthesize, score_transcripts)))
    assert former_ledger is utterance_ledger


def test_a_name_that_was_nowhere_is_an_error_that_says_where_things_are():
    with pytest.raises(ImportError, match="nothing_of_this_name"):
        from entropy_asr.trainers.sources import nothing_of_this_name  # noqa: F401
    with pytest.raises(AttributeError, match=r"trainers\.data\.sources"):
        _ = importlib.import_module("entropy_asr.trainers.sources").nothing_of_this_name
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("entropy_asr.trainers.no_such_module")
