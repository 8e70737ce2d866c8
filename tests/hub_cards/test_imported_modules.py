# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which modules something needs: those that are imported at any place, and no others."""

import pytest

from entropy_asr.hub_cards.imported_modules import modules_needed


def test_modules_are_followed_from_one_to_the_next():
    needed = modules_needed("entropy_asr.spaces.server.app")
    assert {"entropy_asr.spaces.server.server", "entropy_asr.spaces.environment", "entropy_asr.spaces"} <= set(needed)
    # Through the package's own imports, and through those inside functions.
    assert {"entropy_asr.modeling.pipeline_entropy_asr", "entropy_asr.modeling.ffmpeg_entropy_asr"} <= set(needed)
    assert not [name for name in needed if name.startswith(("entropy_asr.trainers", "entropy_asr.spaces.demo"))]
    assert all(path.is_file() and path.suffix == ".py" for path in needed.values())


def test_what_only_type_checkers_see_is_not_needed():
    needed = modules_needed("entropy_asr.spaces.demo.transcript_view")
    assert not [name for name in needed if name.startswith("entropy_asr.modeling")]


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match="entropy_asr.spaces.nothing"):
        modules_needed("entropy_asr.spaces.nothing")
