# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr publish`: a checkpoint or a Space to the Hub in one call, after it has loaded in a clean Python.

What is uploaded is put together in a folder first, and loaded from there by a Python in which this package is not
installed. `--dry_run` stops there and shows it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from huggingface_hub.constants import HF_HUB_CACHE

from .imported_modules import package_folder
from .model_card import is_recipes_checkpoint, model_card
from .space_files import DATA, copy_space
from .trained_card import licence_of, trained_card, training_of


# Beside what model and processor save.
MODEL_FILES = ("README.md", "results.json", "training.json", "data_sources.yaml")
CHECK_SECONDS = 600
# What an upload deletes where it does not bring it.
FORMER_FILES = {
    "model": ["*.safetensors", "*.bin", "*.index.json", "*_entropy_asr*.py", "adapter_config.json", "report/*"],
    "space": ["entropy_asr/*"],
}
# Settings of a Space, and which model it runs.
PREFIX = "ENTROPY_ASR_"
MODEL_VARIABLE = f"{PREFIX}MODEL"
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
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
# A Space with modules of this package must take those that lie beside it, not those that are installed here.
APP = """
import os, sys
folder = os.path.realpath(sys.argv[1])
sys.path.insert(0, folder)
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import app, entropy_asr.modeling
assert os.path.realpath(entropy_asr.modeling.__file__).startswith(folder), "another entropy_asr was imported"
"""
DEMO_CHECK = (
    APP
    + """
from entropy_asr.spaces.demo.settings import DemoSettings
from entropy_asr.spaces.demo.recognizer import Recognizer
settings = DemoSettings.from_environment()
Recognizer(settings).pipeline
app.build_page(settings)
"""
)
SERVER_CHECK = (
    APP
    + """
import json, threading, time
from websockets.sync.client import connect
from entropy_asr.spaces.environment import read_settings
from entropy_asr.spaces.server.server import make_server
from entropy_asr.spaces.server.settings import ServerSettings
server = make_server(app.load_app(read_settings(ServerSettings)), "127.0.0.1", 0)
thread = threading.Thread(target=server.run, daemon=True)
thread.start()
while thread.is_alive() and not server.started:
    time.sleep(0.05)
port = server.servers[0].sockets[0].getsockname()[1]
with connect(f"ws://127.0.0.1:{port}/v1/stream") as socket:
    socket.send(bytes(32000))
    socket.send(json.dumps({"type": "finish"}))
    kinds = [json.loads(message)["type"] for message in socket]
assert kinds[0] == "ready" and kinds[-1] == "done", kinds
"""
)
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
# The check of each Space.
SPACES = {
    "demo": DEMO_CHECK,
    "server": SERVER_CHECK,
    "entropy_allocation": METRIC_CHECK,
    "hallucination_rate": METRIC_CHECK,
}


def publish_model(source: Path, repo_id: str | None, for_vllm: bool = False, **options: Any) -> None:
    """Publish a checkpoint: model, processor, their code, card and results.

    Args:
        source: Folder of the checkpoint.
        repo_id: Repository on the Hub, made where it is not there. None: for a dry run only.
        for_vllm: As of [`stage_model`].
        **options: `is_dry_run`, `private` and `message`, of [`upload`].

    Raises:
        ValueError: it is no full checkpoint with a card, or does not load in a clean Python.
    """
    _publish(lambda folder: stage_model(source, folder, repo_id, for_vllm), MODEL_CHECK, repo_id, "model", **options)


def publish_space(name: str, repo_id: str | None, model: str | None = None, **options: Any) -> None:
    """Publish one of [`SPACES`]; arguments and errors as of [`publish_model`].

    Args:
        name: Which one.
        repo_id: Repository on the Hub.
        model: Hub id of what it runs, which it then loads from there; by default the bundled checkpoint, which comes
            along. A folder can only be tried (`is_dry_run`): the Space has not got it.
        **options: As of [`publish_model`].
    """
    if name not in SPACES:
        raise ValueError(f"there is no Space {name!r}: {', '.join(SPACES)}")
    if model is not None and os.path.isdir(model) and not options.get("is_dry_run"):
        raise ValueError(f"{model} is a folder of this machine: publish it first, and name it by its Hub id")
    if model is not None and os.path.isdir(model):
        model = os.path.abspath(model)  # it is tried from another folder
    variables = NO_VARIABLES if model is None else {MODEL_VARIABLE: model}
    _publish(lambda folder: stage_space(name, folder, model), SPACES[name], repo_id, "space", variables, **options)


def _publish(
    stage: Callable[[Path], None],
    script: str,
    repo_id: str | None,
    kind: str,
    variables: Mapping[str, str] = NO_VARIABLES,
    is_dry_run: bool = False,
    **options: Any,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "repository"
        stage(folder)
        check(script, folder, variables)
        print(list_sizes(folder))
        print("loads in a Python without this package")
        if not is_dry_run:
            print(upload(folder, repo_id, kind, variables=variables, **options))


def stage_model(source: Path, folder: Path, repo_id: str | None = None, for_vllm: bool = False) -> None:
    """Model, processor, their code, card and results of a checkpoint, as they will lie on the Hub.

    Args:
        source: Folder of the checkpoint.
        folder: Where they are put together.
        repo_id: What the card's examples load; None: what they name now.
        for_vllm: Whether `AutoModel` gives the model without its head, as vLLM's Transformers backend expects.

    Raises:
        ValueError: not a full checkpoint of this project, or it has no card.
    """
    from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor

    if not (source / "README.md").is_file():
        raise ValueError(f"{source} has no card (README.md): write one with `entropy-asr card {source}`")
    check_card(source / "README.md", "model")
    check_parts(source)
    try:
        model = EntropyASRForConditionalGeneration.from_pretrained(source, dtype="auto")
        processor = EntropyASRProcessor.from_pretrained(source)
    except OSError as error:
        raise ValueError(f"cannot load {source}: {error}") from error
    model.save_pretrained(folder, thin=is_thin(source))
    processor.save_pretrained(folder)
    for name in MODEL_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    if (source / "report").is_dir():
        shutil.copytree(source / "report", folder / "report")
    address_card(folder, repo_id, source)
    if for_vllm:
        map_backbone(folder)


def map_backbone(folder: Path) -> None:
    """Let `AutoModel` give the model without its head, and the card load the one that generates by another name.

    Raises:
        ValueError: the checkpoint is thin: only the whole model finds the weights that it lacks.
    """
    if is_thin(folder):
        raise ValueError("vLLM reads whole weights, and this checkpoint is thin: save it whole")
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["auto_map"]["AutoModel"] = "modeling_entropy_asr.EntropyASRModel"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    card = folder / "README.md"
    text = re.sub(r"\bAutoModel\b", "AutoModelForMultimodalLM", card.read_text(encoding="utf-8"))
    card.write_text(text, encoding="utf-8")


def is_thin(folder: Path) -> bool:
    """Whether a folder lacks the weights of the public models that its model was joined from."""
    from entropy_asr.modeling.components_entropy_asr import THIN_WEIGHTS

    return (folder / THIN_WEIGHTS).is_file()


def check_parts(folder: Path) -> None:
    """Refuse a thin checkpoint whose parts nobody else has.

    Raises:
        ValueError: naming the folder of this machine that it needs.
    """
    parts = json.loads((folder / "config.json").read_text("utf-8")).get("public_parts") if is_thin(folder) else None
    for kind, part in (parts or {}).items():
        if os.path.isabs(part["path"]):
            raise ValueError(
                f"{folder} is thin, and its {kind.replace('_', ' ')} is {part['path']}, a folder of this machine: "
                f"write its Hub id into config.json as `path` of `public_parts.{kind}`, or save the model whole."
            )


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
    try:
        is_as_written = write(source, licence=licence) == written
    except KeyError:  # data that nobody described: the card must be somebody's own
        is_as_written = False
    if is_as_written:
        merged = {} if write is model_card else {"merged": True, "training": training_of(source)}
        card = write(folder, address=repo_id, licence=licence, **merged)
        (folder / "README.md").write_text(card, encoding="utf-8")


def stage_space(name: str, folder: Path, model: str | None = None) -> None:
    """One of [`SPACES`]; one that runs a model, with the modules of this package that it needs.

    Args:
        name: Which one.
        folder: Where it is put together.
        model: Hub id of what it runs, by default the bundled checkpoint.

    Raises:
        ValueError: a model for a Space that runs none, or one that cannot be read.
    """
    if name in DATA:
        copy_space(name, folder, model)
    elif model is not None:
        raise ValueError(f"the Space {name} runs no model")
    else:
        shutil.copytree(package_folder("spaces") / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
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
    given = card.data.to_dict()
    entry = "app_port" if given.get("sdk") == "docker" else "app_file"
    needed = ("license", "pipeline_tag") if kind == "model" else ("title", "sdk", entry)
    missing = [name for name in needed if not given.get(name)]
    if missing:
        hint = f"; `entropy-asr card {path.parent} --license NAME` writes it" if "license" in missing else ""
        raise ValueError(f"{path}: the metadata lacks {', '.join(missing)}{hint}")


def check(script: str, folder: Path, variables: Mapping[str, str] = NO_VARIABLES) -> None:
    """Run a script on the folder in a Python of its own, offline and with empty caches.

    Args:
        script: What loads it; the folder is its argument.
        folder: What is uploaded.
        variables: Of a Space: with some, public models are loaded as it will load them.

    Raises:
        ValueError: it failed; the message has its last lines.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment = {name: value for name, value in environment.items() if not name.startswith(PREFIX)}
        environment |= {"HF_HOME": home, "HF_MODULES_CACHE": f"{home}/modules", **variables}
        if not variables:
            environment["HF_HUB_OFFLINE"] = "1"
        if variables or is_thin(folder):  # the public models are where they were loaded from
            environment["HF_HUB_CACHE"] = HF_HUB_CACHE
        command = [sys.executable, "-c", script + LEAVE, str(folder)]
        options = {"cwd": home, "env": environment, "timeout": CHECK_SECONDS}
        try:
            finished = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        except subprocess.TimeoutExpired:
            raise ValueError(f"what would be uploaded did not load within {CHECK_SECONDS} seconds") from None
    if finished.returncode:
        raise ValueError("what would be uploaded does not load:\n" + "\n".join(finished.stderr.splitlines()[-8:]))


def list_files(folder: Path) -> list[Path]:
    """Files of the folder, sorted, without what Python left behind while they were checked."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def list_sizes(folder: Path) -> str:
    """Name and size in bytes of each file, and their sum."""
    files = list_files(folder)
    sizes = [path.stat().st_size for path in files]
    lines = [f"{size:>12,}  {path.relative_to(folder)}" for path, size in zip(files, sizes, strict=True)]
    return "\n".join([*lines, f"{sum(sizes):>12,}  bytes in {len(files)} files"])


def upload(
    folder: Path,
    repo_id: str,
    kind: str,
    private: bool | None = None,
    message: str | None = None,
    variables: Mapping[str, str] = NO_VARIABLES,
) -> str:
    """Create the repository where it is not there, and upload the folder in one commit.

    Args:
        folder: What is uploaded.
        repo_id: `USER/NAME`.
        kind: "model" or "space"; of a Space, its card says with which SDK it runs.
        private: Whether a repository that is made is a private one; None: as its owner has it by default.
        message: Of the commit.
        variables: Of a Space, set before its files are there.

    Returns:
        Address of the commit.

    Raises:
        ValueError: it is to be private, and has been public before.
    """
    from huggingface_hub import HfApi, RepoCard

    api = HfApi()
    options: dict[str, Any] = {}
    if kind == "space":
        options["space_sdk"] = RepoCard.load(folder / "README.md").data.to_dict()["sdk"]
    api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True, **options)
    # One that is there stays as it is.
    if private and not api.repo_info(repo_id, repo_type=kind).private:
        raise ValueError(f"{repo_id} is public: make it private on the Hub, or leave --private out")
    if kind == "space" and MODEL_VARIABLE not in variables and MODEL_VARIABLE in api.get_space_variables(repo_id):
        api.delete_space_variable(repo_id, MODEL_VARIABLE)  # it had another model, and now has the bundled one
    for name, value in variables.items():
        api.add_space_variable(repo_id, name, value)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        repo_type=kind,
        commit_message=message or "Upload with entropy-asr publish",
        ignore_patterns=["__pycache__/**", "**/__pycache__/**"],
        # Of an earlier upload, which this one takes the place of: it would be loaded in place of what was checked.
        delete_patterns=FORMER_FILES[kind],
    )
    return commit.commit_url
