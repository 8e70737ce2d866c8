# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files that not every checkpoint or request needs: they are there, and where one is missing its user is told."""

import inspect
from pathlib import Path

import pytest

import entropy_asr.modeling
from entropy_asr.modeling import EntropyASRPipeline, optional_parts_entropy_asr
from entropy_asr.modeling.components_entropy_asr import ENCODER_CLASSES, EXTRACTOR_CLASSES, own_class
from entropy_asr.modeling.optional_parts_entropy_asr import MAKING, REQUESTED, is_here, needed_for


FOLDER = Path(optional_parts_entropy_asr.__file__).parent


def test_what_is_named_is_there():
    classes = [*ENCODER_CLASSES.values(), *EXTRACTOR_CLASSES.values()]
    for file in (*MAKING, *REQUESTED, *(place.partition(".")[0] for place in classes)):
        assert is_here(file) and (FOLDER / f"{file}.py").is_file(), file
    for kind, place in ENCODER_CLASSES.items():
        assert own_class(place).config_class.model_type == kind
    assert not is_here("nothing_entropy_asr")


@pytest.mark.parametrize("argument", sorted(set(REQUESTED.values())))
def test_what_asks_for_files_is_an_argument_of_the_pipeline_or_a_public_name(argument):
    assert argument in inspect.getsource(EntropyASRPipeline) or hasattr(entropy_asr.modeling, argument)


def test_a_missing_file_is_named_with_the_remedy():
    remedy = r"EntropyASRNothing needs nothing_entropy_asr\.py, .* `entropy-asr publish --space NAME --model MODEL`"
    with pytest.raises(ImportError, match=remedy):
        own_class("nothing_entropy_asr.EntropyASRNothing")
    another = "^No module named 'package_that_is_not_there'$"
    with pytest.raises(ModuleNotFoundError, match=another), needed_for("a rainbow"):
        import package_that_is_not_there  # noqa: F401
