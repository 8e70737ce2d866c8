# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which modules something needs: those that are imported at any place, and no others."""

import pytest

from entropy_asr.hub_cards import imported_modules
from entropy_asr.hub_cards.imported_modules import modules_needed


def test_modules_are_followed_from_one_to_the_next():
    needed = modules_needed("entropy_asr.spaces.server.app")
    assert {"entropy_asr.spaces.server.server", "entropy_asr.spaces.environment", "entropy_asr.spaces"} <= set(needed)
    # Through the package's own imports, and through those inside functions.
    assert {"entropy_asr.modeling.pipeline_entropy_asr", "entropy_asr.modeling.ffmpeg_entropy_asr"} <= set(needed)
    assert not [name for name in needed if name.startswith(("entropy_asr.trainers", "entropy_asr.spaces.demo"))]
    assert all(path.is_file() and path.suffix == ".py" for path in needed.values())


def test_what_only_type_checkers_see_is_not_needed(tmp_path, monkeypatch):
    lines = ["from typing import TYPE_CHECKING", "if TYPE_CHECKING:", "    from . import seen"]
    code = "\n".join([*lines, "def f():", "    from . import run"])
    (tmp_path / "spaces").mkdir()
    for name, text in {"entry": code, "seen": "", "run": ""}.items():
        (tmp_path / "spaces" / f"{name}.py").write_text(text)
    monkeypatch.setattr(imported_modules, "package_folder", lambda name: tmp_path / name)
    needed = modules_needed("entropy_asr.spaces.entry")
    assert set(needed) == {"entropy_asr.spaces.entry", "entropy_asr.spaces.run"}


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match="entropy_asr.spaces.nothing"):
        modules_needed("entropy_asr.spaces.nothing")
