# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Options and fixtures that all tests share."""

import os
import random
import sys
from pathlib import Path


# Models here are so small that a second thread costs more than it brings, most of all beside other processes. Before
# torch is imported; commands that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import numpy as np
import pytest
import torch


# What several test files share.
sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("helpers", "trainers")]

# The same examples in every run: a suite that fails now and then is not believed.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

# No test may reach a network: what is not on disk is an error, not a download.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run_slow", action="store_true", help="also run tests marked slow")
    parser.addoption("--data_dir", type=Path, help="folder of the real recordings that some tests use")
    parser.addoption("--kokoro_dir", type=Path, help="folder of the weights of Kokoro-82M as ONNX, with its voices")
    parser.addoption("--whisper_dir", type=Path, help="folder of Whisper's weights: what hears synthetic speech")
    parser.addoption("--transformers_tests", type=Path, help="`tests` folder of the transformers source distribution")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """The whole suite runs in two processes, all tests of a file in one of them, unless `-n` says otherwise.

    Part of it runs in this process: a second one takes seconds to start. So does all of it without pytest-xdist.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    options = config.option
    if is_worker or not is_whole or not config.pluginmanager.hasplugin("xdist") or os.cpu_count() == 1:
        return
    if options.numprocesses is None and not options.usepdb and not options.collectonly:
        options.numprocesses, options.dist = 2, "loadfile"


def pytest_configure(config: pytest.Config) -> None:
    # tests/modeling/test_common.py builds its test classes from that folder's files, when it is imported.
    folder = config.getoption("--transformers_tests")
    if folder is not None:
        if not (folder / "test_modeling_common.py").is_file():
            raise pytest.UsageError(f"--transformers_tests {folder} has no test_modeling_common.py")
        os.environ["TRANSFORMERS_TESTS"] = str(folder.resolve())
        kinds = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test")
        for marker in kinds:
            config.addinivalue_line("markers", f"{marker}: a mark of transformers' own tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run_slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: runs with --run_slow"))


def _given_folder(request: pytest.FixtureRequest, option: str, what: str) -> Path:
    folder = request.config.getoption(option)
    if folder is None:
        pytest.skip(f"needs {what}: give their folder with {option}")
    if not folder.is_dir():
        raise pytest.UsageError(f"{option} {folder} is not a folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """Folder of real recordings, given with --data_dir; a test that needs it is skipped without."""
    return _given_folder(request, "--data_dir", "real recordings")


@pytest.fixture(scope="session")
def kokoro_dir(request: pytest.FixtureRequest) -> Path:
    """Folder of Kokoro's weights, given with --kokoro_dir; a test that needs it is skipped without."""
    return _given_folder(request, "--kokoro_dir", "the weights of Kokoro")


@pytest.fixture(scope="session")
def whisper_dir(request: pytest.FixtureRequest) -> Path:
    """Folder of Whisper's weights, given with --whisper_dir; a test that needs it is skipped without."""
    return _given_folder(request, "--whisper_dir", "the weights of Whisper")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
