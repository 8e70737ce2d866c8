# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr publish`: a checkpoint or a Space to the Hub in one call, after it has loaded in a clean Python.

What is uploaded is put together in a folder first, and loaded from there by a Python in which this package is not
installed. `--dry_run` stops there and shows it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from entropy_asr.hub_cards.model_card import is_recipes_checkpoint, model_card
from entropy_asr.hub_cards.trained_card import licence_of, trained_card, training_of


# Beside what model and processor save.
MODEL_FILES = ("README.md", "results.json", "training.json", "data_sources.yaml")
SPACES = ("demo", "entropy_allocation", "hallucination_rate")
# Packages whose sources a demo Space takes along: the demo imports them, and they are on no index.
DEMO_PACKAGES = ("modeling", "spaces/demo")
DEMO_ENTRY = ("app.py", "README.md", "requirements.txt")
CHECK_SECONDS = 600
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "entropy_asr":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""
MODEL_CHECK = (
    BLOCK
    + """
import numpy, transformers
folder = sys.argv[1]
for name in ("AutoConfig", "AutoModel", "AutoProcessor"):
    getattr(transformers, name).from_pretrained(folder, trust_remote_code=True)
asr = transformers.pipeline("automatic-speech-recognition", folder, trust_remote_code=True)
noise = numpy.random.default_rng(0).normal(0, 0.1, 16000).astype("float32")
assert isinstance(asr(noise, guards=False, max_new_tokens=4)["text"], str)
"""
)
DEMO_CHECK = """
import os, sys
folder = os.path.realpath(sys.argv[1])
sys.path.insert(0, folder)
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import app
from entropy_asr.spaces.demo.settings import DemoSettings
assert os.path.realpath(app.build_page.__code__.co_filename).startswith(folder), "another entropy_asr was imported"
from entropy_asr.spaces.demo.recognizer import Recognizer
Recognizer(DemoSettings()).pipeline
app.build_page(DemoSettings())
"""
# What loaded is whole by then; a thread of some library that outlives Python's own end would abort the process.
LEAVE = """
import os
os._exit(0)
"""
METRIC_CHECK = """
import sys, runpy
folder = sys.argv[1]
sys.path.insert(0, folder)
runpy.run_path(folder + "/app.py", run_name="app")["build_page"]()
"""


def run(args: argparse.Namespace) -> int:
    """Put together, check, and upload unless it is a dry run.

    Args:
        args: `model` or `space` (one of them), `repo_id`, `private`, `dry_run`, `commit_message`.

    Raises:
        ValueError: nothing to publish, or it does not load in a clean Python.
    """
    if (args.model is None) == (args.space is None):
        raise ValueError("name a checkpoint's folder, or a Space with --space, one of them")
    if args.repo_id is None and not args.dry_run:
        raise ValueError("--repo_id USER/NAME is missing (or --dry_run)")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "repository"
        if args.space is None:
            stage_model(Path(args.model), folder, args.repo_id)
            check(MODEL_CHECK, folder)
        else:
            stage_space(args.space, folder)
            check(DEMO_CHECK if args.space == "demo" else METRIC_CHECK, folder)
        print(describe(folder))
        print("loads in a Python without this package")
        if not args.dry_run:
            print(upload(folder, args.repo_id, args.space is not None, args.private, args.commit_message))
    return 0


def stage_model(source: Path, folder: Path, repo_id: str | None = None) -> None:
    """Model, processor, their code, card and results of a checkpoint, as they will lie on the Hub.

    Args:
        source: Folder of the checkpoint.
        folder: Where they are put together.
        repo_id: What the card's examples load; None: what they name now.

    Raises:
        ValueError: not a full checkpoint of this project, or it has no card.
    """
    from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor

    if not (source / "README.md").is_file():
        raise ValueError(f"{source} has no card (README.md): write one with `entropy-asr card {source}`")
    check_card(source / "README.md", "model")
    try:
        model = EntropyASRForConditionalGeneration.from_pretrained(source, dtype="auto")
        processor = EntropyASRProcessor.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"cannot load {source}: {error}") from error
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for name in MODEL_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    if (source / "report").is_dir():
        shutil.copytree(source / "report", folder / "report")
    address_card(folder, repo_id, source)


def address_card(folder: Path, repo_id: str | None, source: Path | None = None) -> None:
    """Let a card tell of the repository it lies in: its id, its code, adapters that were merged.

    A card that was edited by hand stays as it is.

    Args:
        folder: What is uploaded.
        repo_id: What the card's examples load; None: what they name now.
        source: Where it comes from, whose card was copied.
    """
    source = source or folder
    written, licence = (folder / "README.md").read_text(encoding="utf-8"), licence_of(source)
    write = model_card if is_recipes_checkpoint(source) else trained_card
    if write(source, licence=licence) == written:
        merged = {} if write is model_card else {"merged": True, "training": training_of(source)}
        card = write(folder, address=repo_id, licence=licence, **merged)
        (folder / "README.md").write_text(card, encoding="utf-8")


def stage_space(name: str, folder: Path) -> None:
    """One of the project's Spaces; the demo with the sources of the package, which is on no index.

    Raises:
        ValueError: there is no such Space.
    """
    if name not in SPACES:
        raise ValueError(f"there is no Space {name!r}: {', '.join(SPACES)}")
    source = _package_folder("spaces") / name
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    if name != "demo":
        shutil.copytree(source, folder, ignore=ignore)
    else:
        folder.mkdir(parents=True)
        for file in DEMO_ENTRY:
            shutil.copyfile(source / file, folder / file)
        for package in DEMO_PACKAGES:
            parent, _, rest = package.partition("/")
            shutil.copytree(_package_folder(parent) / rest, folder / "entropy_asr" / package, ignore=ignore)
        parent = folder / "entropy_asr" / "spaces"
        shutil.copyfile(_package_folder("spaces") / "__init__.py", parent / "__init__.py")
    check_card(folder / "README.md", "space")


def check_card(path: Path, kind: str) -> None:
    """Refuse metadata that cannot be read or lacks what the Hub needs; nothing is sent anywhere.

    Raises:
        ValueError: naming the card.
    """
    from huggingface_hub import ModelCard, RepoCard

    try:
        card = (ModelCard if kind == "model" else RepoCard).load(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    needed = ("license", "pipeline_tag") if kind == "model" else ("title", "sdk", "app_file")
    missing = [name for name in needed if not card.data.to_dict().get(name)]
    if missing:
        hint = f"; `entropy-asr card {path.parent} --license NAME` writes it" if "license" in missing else ""
        raise ValueError(f"{path}: the metadata lacks {', '.join(missing)}{hint}")


def check(script: str, folder: Path) -> None:
    """Run a script on the folder in a Python of its own, offline and with empty caches.

    Raises:
        ValueError: it failed; the message has its last lines.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"HF_HOME": home, "HF_MODULES_CACHE": f"{home}/modules", "HF_HUB_OFFLINE": "1"}
        finished = subprocess.run(
            [sys.executable, "-c", script + LEAVE, str(folder)],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    if finished.returncode:
        raise ValueError("what would be uploaded does not load:\n" + "\n".join(finished.stderr.splitlines()[-8:]))


def list_files(folder: Path) -> list[Path]:
    """Files of the folder, sorted, without what Python left behind while they were checked."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def describe(folder: Path) -> str:
    """Name and size in bytes of each file, and their sum."""
    files = list_files(folder)
    sizes = [path.stat().st_size for path in files]
    lines = [f"{size:>12,}  {path.relative_to(folder)}" for path, size in zip(files, sizes, strict=True)]
    return "\n".join([*lines, f"{sum(sizes):>12,}  bytes in {len(files)} files"])


def upload(folder: Path, repo_id: str, is_space: bool, private: bool, message: str | None) -> str:
    """Create the repository where it is not there, and upload the folder in one commit.

    Returns:
        Address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    kind = "space" if is_space else "model"
    options: dict[str, Any] = {"space_sdk": "gradio"} if is_space else {}
    api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True, **options)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        repo_type=kind,
        commit_message=message or "Upload with entropy-asr publish",
        ignore_patterns=["**/__pycache__/**"],
    )
    return commit.commit_url


def _package_folder(name: str) -> Path:
    return Path(str(resources.files(f"entropy_asr.{name}")))
