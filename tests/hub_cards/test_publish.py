# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr publish`: what would be uploaded, that it loads without the package, and the calls to the Hub.

The Hub itself is a stand-in that takes the client's calls by their real signatures: only the layout of the files is
real. No well-kept package serves the Hub's API for uploads (looked at in 2026: `huggingface_hub` and `transformers`
test against the Hub's own staging site; `olah` mirrors downloads only; the package `hf-local-hub` comes without its
server; KohakuHub is a service of several containers and no package).
"""

import ast
import json
import re
import shutil
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
from code_lines import code_lines
from huggingface_hub import HfApi
from huggingface_hub.utils import filter_repo_objects
from small_models import save_public_parts

import entropy_asr.spaces
from entropy_asr.hub_cards import publish
from entropy_asr.hub_cards.imported_modules import package_folder
from entropy_asr.hub_cards.space_files import space_modules
from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRModel
from entropy_asr.trainers.commands import cli


CHECKPOINT = Path(entropy_asr.spaces.__file__).parent / "demo" / "checkpoint"


class FakeHub:
    """Takes what the client of the Hub sends."""

    def __init__(self):
        self.calls: list[tuple] = []
        self.is_private, self.space_variables, self.files = False, {}, []

    def create_repo(self, repo_id, repo_type, private, exist_ok, **options):
        self.calls.append((repo_id, repo_type, private, options))

    def repo_info(self, repo_id, repo_type):
        return SimpleNamespace(private=self.is_private)

    def get_space_variables(self, repo_id):
        return self.space_variables

    def delete_space_variable(self, repo_id, key):
        self.calls.append((repo_id, key, None))

    def add_space_variable(self, repo_id, key, value):
        self.calls.append((repo_id, key, value))

    def upload_folder(self, repo_id, folder_path, repo_type, commit_message, ignore_patterns, delete_patterns):
        files = [path for path in folder_path.rglob("*") if path.is_file()]
        names = sorted(path.relative_to(folder_path).as_posix() for path in files)
        names = list(filter_repo_objects(names, ignore_patterns=ignore_patterns))
        self.calls.append((repo_id, repo_type, commit_message, names))
        former = filter_repo_objects(self.files, allow_patterns=delete_patterns)
        self.files = sorted(({*self.files} - {*former}) | {*names})

        class Commit:
            commit_url = f"https://example.org/{repo_id}/commit/1"

        return Commit()


@pytest.fixture
def hub(monkeypatch) -> FakeHub:
    hub = FakeHub()
    for name in [name for name in vars(FakeHub) if not name.startswith("_")]:
        call = getattr(hub, name)
        stand_in = create_autospec(getattr(HfApi, name))  # refuses arguments that the client does not have
        stand_in.side_effect = lambda api, *args, call=call, **kwargs: call(*args, **kwargs)
        monkeypatch.setattr(HfApi, name, stand_in)
    return hub


def printed_files(text: str) -> set[str]:
    return set(re.findall(r"^ *[\d,]+  (\S+)$", text, flags=re.MULTILINE))


def test_a_thin_checkpoint_with_parts_that_nobody_else_has_is_refused(tmp_path):
    model = EntropyASRForConditionalGeneration.from_components(*save_public_parts(tmp_path))
    model.save_pretrained(tmp_path / "thin", thin=True)
    shutil.copy(CHECKPOINT / "README.md", tmp_path / "thin")
    with pytest.raises(ValueError, match=f"encoder is {tmp_path / 'whisper'}, a folder of this machine"):
        publish.stage_model(tmp_path / "thin", tmp_path / "staged")


@pytest.mark.slow
def test_dry_run_shows_a_checkpoint_that_loads_by_its_own_code_and_sends_nothing(hub, capsys):
    assert cli.main(["publish", str(CHECKPOINT), "--dry_run"]) == 0
    output, messages = capsys.readouterr()
    assert messages == ""  # no bars of loading and saving
    files = printed_files(output)
    code = {path.name for path in package_folder("modeling").glob("*.py")} - {"__init__.py"}
    weights = {"config.json", "model.safetensors", "tokenizer.json", "processor_config.json", "chat_template.jinja"}
    assert files >= weights | {"README.md", "results.json", "phoneme_tokenizer/phonemes.json"}
    assert {file for file in files if file.endswith(".py") and "/" not in file} <= code
    assert "modeling_entropy_asr.py" in files and "pipeline_entropy_asr.py" in files
    assert "loads in a Python without this package" in output
    assert hub.calls == []


@pytest.mark.slow
def test_model_processor_code_and_card_are_one_commit(hub, capsys):
    hub.is_private = True
    assert cli.main(["publish", str(CHECKPOINT), "--repo_id", "me/tiny", "--private"]) == 0
    (repo, kind, private, _), (_, _, message, names) = hub.calls
    assert (repo, kind, private, message) == ("me/tiny", "model", True, "Upload with entropy-asr publish")
    assert {"README.md", "model.safetensors", "processor_config.json", "modeling_entropy_asr.py"} <= set(names)
    assert set(names) == printed_files(capsys.readouterr().out)


@pytest.mark.slow
def test_demo_space_runs_from_its_own_files(capsys):
    pytest.importorskip("gradio")
    assert cli.main(["publish", "--space", "demo", "--dry_run"]) == 0
    files = printed_files(capsys.readouterr().out)
    assert {"app.py", "README.md", "requirements.txt", "entropy_asr/modeling/__init__.py"} <= files
    assert "entropy_asr/spaces/demo/checkpoint/model.safetensors" in files


@pytest.mark.slow
def test_server_space_answers_from_its_own_files(hub, capsys):
    pytest.importorskip("uvicorn")
    assert cli.main(["publish", "--space", "server", "--repo_id", "me/server"]) == 0
    (repo, kind, _, options), (*_, names) = hub.calls
    assert (repo, kind, options) == ("me/server", "space", {"space_sdk": "docker"})
    assert {"app.py", "README.md", "Dockerfile", "requirements.txt", "entropy_asr/spaces/server/server.py"} <= set(
        names
    )
    assert "entropy_asr/spaces/demo/checkpoint/model.safetensors" in names
    assert not [name for name in names if name.startswith("entropy_asr/spaces/demo/") and name.endswith(".py")]


# What visitors ask for, each of which may import what did not come along.
VISITS = """
from entropy_asr.spaces.demo.settings import DemoSettings
from entropy_asr.spaces.demo.recognizer import Recognizer
from entropy_asr.spaces.demo.live import LiveSessions
import soundfile
recognizer = Recognizer(DemoSettings())
clip = folder + "/entropy_asr/spaces/demo/examples/english.flac"
result = recognizer.transcribe(clip, "auto", "Kaldi, New York")
assert result["text"] and result["chunks"] and not result["hotwords_found"], result
assert recognizer.explain(clip).ledger.tokens
samples, rate = soundfile.read(clip, dtype="int16")
sessions = LiveSessions(recognizer)
key = sessions.start(rate, "en", "Kaldi")
sessions.push(key, samples[: 5 * rate])
assert sessions.finish(key)
"""


@pytest.mark.slow
def test_demo_space_has_all_that_visitors_ask_for(tmp_path):
    for package in ("gradio", "daachorse", "phonemizer"):
        pytest.importorskip(package)
    publish.stage_space("demo", tmp_path / "space")
    publish.check(publish.APP + VISITS, tmp_path / "space")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["entropy_allocation", "hallucination_rate"])
def test_metric_space_opens_its_page_from_its_own_files(capsys, name):
    pytest.importorskip("gradio")
    assert cli.main(["publish", "--space", name, "--dry_run"]) == 0
    assert {"app.py", f"{name}.py", "requirements.txt"} <= printed_files(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("space", "extras"), [("demo", ("g2p", "hotwords", "report", "demo")), ("server", ("g2p", "hotwords", "serve"))]
)
def test_requirements_of_a_space_are_the_packages(tmp_path, space, extras):
    """What the Space installs is what the package asks for, in versions too."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    asked = set(project["dependencies"]).union(*(project["optional-dependencies"][extra] for extra in extras))
    publish.stage_space(space, tmp_path / "space")
    requirements = (tmp_path / "space" / "requirements.txt").read_text().split()
    assert set(requirements) <= asked


# Imported, and not asked for: they come with transformers or Gradio, are there on a Space with a shared GPU only, or
# for checkpoints that are adapters only, or for a style of text that no Space asks for.
NOT_ASKED_FOR = {"PIL", "huggingface_hub", "packaging", "peft", "spaces", "tqdm", "wetext"}


@pytest.mark.parametrize("space", ["demo", "server"])
def test_a_space_asks_for_what_its_modules_import(space):
    imported = set()
    for path in space_modules(space).values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    text = (package_folder("spaces") / space / "requirements.txt").read_text()
    asked = {re.split(r"[<>=]", line)[0].replace("_", "-").lower() for line in text.split()}
    names = packages_distributions()
    missing = {
        name
        for name in imported - set(sys.stdlib_module_names) - NOT_ASKED_FOR - {"entropy_asr"}
        if not asked & {package.replace("_", "-").lower() for package in names.get(name, [name])}
    }
    assert not missing


@pytest.mark.parametrize("space", ["demo", "server"])
def test_a_space_takes_along_what_it_imports_and_no_training(tmp_path, space):
    publish.stage_space(space, tmp_path / "space")
    files = list((tmp_path / "space").rglob("*.py"))
    top, package = tmp_path / "space", tmp_path / "space" / "entropy_asr"
    assert {path for path in files if package not in path.parents} == {top / "app.py"}
    assert {path.name for path in package.iterdir()} == {"modeling", "spaces"}
    assert not (package / "spaces" / "hallucination_rate").exists()
    assert sum(map(code_lines, files)) < 9_000


def test_a_space_is_told_its_model_before_it_starts(hub, tmp_path):
    publish.stage_space("server", tmp_path / "space")
    publish.upload(tmp_path / "space", "me/server", "space", variables={publish.MODEL_VARIABLE: "me/tiny"})
    assert hub.calls[1] == ("me/server", "ENTROPY_ASR_MODEL", "me/tiny") and len(hub.calls) == 3


def test_a_space_without_a_model_of_its_own_forgets_the_former(hub, tmp_path):
    publish.stage_space("server", tmp_path / "space")
    hub.space_variables = {"OTHER": "1", publish.MODEL_VARIABLE: "me/big"}
    publish.upload(tmp_path / "space", "me/server", "space")
    assert hub.calls[1] == ("me/server", "ENTROPY_ASR_MODEL", None) and len(hub.calls) == 3


def test_who_sees_the_repository_is_its_owners_choice(hub, tmp_path):
    """Of one that is there nothing is changed, and what is to be private does not go into a public one."""
    (tmp_path / "__pycache__").mkdir()
    for name in ("README.md", "__pycache__/app.pyc"):
        (tmp_path / name).write_text("")
    publish.upload(tmp_path, "me/tiny", "model")
    assert hub.calls[0][2] is None and hub.calls[-1][-1] == ["README.md"]
    with pytest.raises(ValueError, match="me/tiny is public: make it private"):
        publish.upload(tmp_path, "me/tiny", "model", private=True)
    assert len(hub.calls) == 3
    hub.is_private = True
    publish.upload(tmp_path, "me/tiny", "model", private=True)
    assert hub.calls[-1][-1] == ["README.md"]


def test_what_an_earlier_upload_left_is_not_loaded_in_place_of_this_one(hub, tmp_path):
    """Adapters, for one, beside the model that they were merged into."""
    hub.files = [".gitattributes", "adapter_config.json", "adapter_model.safetensors", "notes.md", "report/old.png"]
    for name in ("README.md", "model.safetensors"):
        (tmp_path / name).write_text("")
    publish.upload(tmp_path, "me/tiny", "model")
    assert hub.files == [".gitattributes", "README.md", "model.safetensors", "notes.md"]


def test_a_card_of_data_that_nobody_described_is_somebodys_own(tmp_path):
    shutil.copyfile(CHECKPOINT / "config.json", tmp_path / "config.json")
    report = json.loads((CHECKPOINT / "results.json").read_text(encoding="utf-8"))
    (tmp_path / "results.json").write_text(json.dumps({**report, "data": ["my-speech"]}))
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nMy own card.\n")
    publish.address_card(tmp_path, "me/tiny")
    assert (tmp_path / "README.md").read_text().endswith("My own card.\n")


def test_a_check_that_takes_too_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "CHECK_SECONDS", 0.5)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"did not load within 0.5 seconds"):
        publish.check("import time; time.sleep(60)", tmp_path)


def test_a_space_is_tried_with_a_model_that_is_named_from_here(monkeypatch):
    monkeypatch.chdir(CHECKPOINT.parent)
    told = f"import os; assert os.path.isfile(os.environ['{publish.MODEL_VARIABLE}'] + '/config.json')"
    monkeypatch.setitem(publish.SPACES, "server", told)
    publish.publish_space("server", None, model=CHECKPOINT.name, is_dry_run=True)


def test_examples_of_the_card_load_the_repository(tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path, dirs_exist_ok=True)
    publish.address_card(tmp_path, "me/tiny")
    card = (tmp_path / "README.md").read_text()
    assert 'load_pipeline("me/tiny")' in card and "stands for this folder" not in card
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nmy own words about entropy-asr-tiny\n")
    publish.address_card(tmp_path, "me/tiny")
    assert "my own words about entropy-asr-tiny" in (tmp_path / "README.md").read_text()


def test_for_vllm_auto_model_is_the_backbone_and_the_card_loads_the_model_that_generates(tmp_path):
    publish.stage_model(CHECKPOINT, tmp_path / "staged", for_vllm=True)
    classes = json.loads((tmp_path / "staged" / "config.json").read_text(encoding="utf-8"))["auto_map"]
    assert classes["AutoModel"] == "modeling_entropy_asr.EntropyASRModel"
    assert classes["AutoModelForMultimodalLM"].endswith("EntropyASRForConditionalGeneration")
    card = (tmp_path / "staged" / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForMultimodalLM.from_pretrained(" in card and "AutoModel.from_pretrained(" not in card
    # What vLLM's Transformers backend asks of the class, and of the weights, all of which it wants to place.
    backbone, info = EntropyASRModel.from_pretrained(tmp_path / "staged", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert backbone.is_backend_compatible()
    assert backbone.get_decoder() is backbone.language_model and backbone.get_encoder("audio") is backbone.audio_tower


@pytest.mark.slow
def test_for_vllm_the_published_code_gives_the_backbone(tmp_path):
    publish.stage_model(CHECKPOINT, tmp_path / "staged", for_vllm=True)
    script = """
import transformers
model = transformers.AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True)
assert type(model).__name__ == "EntropyASRModel", type(model)
"""
    publish.check(publish.BLOCK + script, tmp_path / "staged")
    publish.check(publish.MODEL_CHECK, tmp_path / "staged")


def test_a_thin_checkpoint_is_not_for_vllm(tmp_path):
    (tmp_path / "model.thin.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="this checkpoint is thin: save it whole"):
        publish.map_backbone(tmp_path)


def test_a_checkpoint_that_does_not_load_is_not_uploaded(hub, tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / "app.py").write_text("import package_that_is_not_there\n")
    with pytest.raises(ValueError, match="package_that_is_not_there"):
        publish.check(publish.METRIC_CHECK, folder)


def test_what_cannot_be_published_is_refused(hub, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copyfile(CHECKPOINT / "config.json", bare / "config.json")
    for arguments, reason in (
        ([], "one of them"),
        ([str(bare), "--space", "demo"], "one of them"),
        ([str(bare)], "--repo_id"),
        ([str(bare), "--dry_run"], "no card"),
        (["--space", "nothing", "--dry_run"], "no Space 'nothing'"),
        (["--space", "demo", "--for_vllm", "--dry_run"], "--for_vllm belongs to a checkpoint"),
        ([str(bare), "--model", str(bare), "--dry_run"], "--model belongs to a Space"),
        (["--space", "demo", "--model", str(bare), "--repo_id", "me/demo"], "publish it first"),
        (["--space", "hallucination_rate", "--model", str(bare), "--dry_run"], "runs no model"),
    ):
        assert cli.main(["publish", *arguments]) == 2
        assert reason in capsys.readouterr().err
    assert hub.calls == []
