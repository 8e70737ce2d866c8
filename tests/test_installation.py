# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What people install: ranges, the locked versions and the Spaces' lists say the same."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LISTED = [*PROJECT["dependencies"], *(line for lines in PROJECT["optional-dependencies"].values() for line in lines)]
RANGES = {canonicalize_name((found := Requirement(line)).name): found for line in LISTED}
RANGES.pop("entropy-asr")  # extras of our own
LOWEST = {name: min(found.specifier, key=lambda part: part.operator != ">=").version for name, found in RANGES.items()}
LOCK = ROOT / "requirements-lock.txt"


def locked_versions() -> dict[str, str]:
    lines = (line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("name", sorted(RANGES))
def test_locked_version_lies_in_the_range(name):
    assert locked_versions()[name] in RANGES[name].specifier


@pytest.mark.parametrize("path", sorted(ROOT.glob("spaces/*/requirements.txt")), ids=lambda path: path.parent.name)
def test_spaces_install_what_was_tested(path):
    for line in path.read_text(encoding="utf-8").split():
        wanted = Requirement(line)
        assert wanted.specifier == RANGES[canonicalize_name(wanted.name)].specifier, line


def test_torch_and_torchaudio_are_a_pair_that_loads():
    # torchaudio 2.11.1 needs a symbol that torch has since 2.13; 2.11.0 was built for torch 2.11 alone.
    assert "2.12.1" not in RANGES["torch"].specifier and "2.13.0" in RANGES["torch"].specifier
    assert "2.11.0" not in RANGES["torchaudio"].specifier


@pytest.mark.parametrize("page", ["README.md", "modeling/README.md", "trainers/README.md"])
def test_readme_installs_the_locked_versions(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = re.findall(r"^(?:uv )?pip install .*$", text, flags=re.MULTILINE)
    assert commands
    assert all("-c requirements-lock.txt" in command for command in commands), commands


@pytest.mark.parametrize(("row", "wanted"), [("locked", locked_versions), ("lowest", lambda: LOWEST)])
def test_readme_names_the_versions_that_were_run(row, wanted):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    header, values = (re.search(rf"^\| {name}.*$", readme, flags=re.MULTILINE)[0] for name in (r"\| torch", row))
    cells = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in (header, values)]
    for name, version in zip(*cells, strict=True):
        assert wanted()[name].startswith(version.removesuffix(".0")), (name, version)
