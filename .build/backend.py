# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""setuptools, with all packages of the four folders found: they are installed below `entropy_asr`.

`[tool.setuptools.packages.find]` cannot add a prefix to what it finds, and a list by hand forgets the next folder.
"""

from setuptools import Distribution, find_packages
from setuptools.build_meta import *  # noqa: F403


FOLDERS = ("modeling", "trainers", "hub_cards", "spaces")
_parse_config_files = Distribution.parse_config_files


def _parse_with_packages(self: Distribution, *args, **kwargs) -> None:
    found = find_packages(".", include=[pattern for name in FOLDERS for pattern in (name, f"{name}.*")])
    # Before the files are read: where they name no packages, setuptools would guess.
    self.packages = [f"entropy_asr.{name}" for name in found]
    _parse_config_files(self, *args, **kwargs)


Distribution.parse_config_files = _parse_with_packages
