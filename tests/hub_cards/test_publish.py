# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr publish`: what would be uploaded, that it loads without the package, and the calls to the Hub.

The Hub itself is a stand-in that takes the client's calls by their real signatures: only the layout of the files is
real. No well-kept package serves the Hub's API for uploads (looked at in 2026: `huggingface_hub` and `transformers`
test against the Hub's own staging site; `olah` mirrors downloads only; the package `hf-local-hub` comes without its
server; KohakuHub is a service of several containers and no package).
"""

import ast
import re
import shutil
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from code_lines import code_lines
from huggingface_hub import HfApi
from small_models import save_public_parts

import entropy_asr.spaces
from entropy_asr.hub_cards import publish
from entropy_asr.hub_cards.imported_modules import modules_needed, package_folder
from entropy_asr.modeling import EntropyASRForConditionalGeneration
from entropy_asr.trainers.commands import cli


CHECKPOINT = Path(entropy_asr.spaces.__file__).parent / "demo" / "checkpoint"


class FakeHub:
    """Takes what the client of the Hub sends."""

    def __init__(self):
        self.calls: list[tuple] = []

    def create_repo(self, repo_id, repo_type, private, exist_ok, **options):
        self.calls.append((repo_id, repo_type, private, options))

    def upload_folder(self, repo_id, folder_path, repo_type, commit_message, ignore_patterns):
        names = [path.relative_to(folder_path).as_posix() for path in publish.list_files(folder_path)]
        self.calls.append((repo_id, repo_type, commit_message, names))

        class Commit:
            commit_url = f"https://example.org/{repo_id}/commit/1"

        return Commit()


@pytest.fixture
def hub(monkeypatch) -> FakeHub:
    hub = FakeHub()
    for name, call in (("create_repo", hub.create_repo), ("upload_folder", hub.upload_folder)):
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
# for checkpoints that are adapters only.
NOT_ASKED_FOR = {"PIL", "huggingface_hub", "packaging", "peft", "spaces", "tqdm"}


@pytest.mark.parametrize("space", ["demo", "server"])
def test_a_space_asks_for_what_its_modules_import(space):
    imported = set()
    for path in modules_needed(f"entropy_asr.spaces.{space}.app").values():
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
    assert sum(map(code_lines, files)) < 11_000


def test_examples_of_the_card_load_the_repository(tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path, dirs_exist_ok=True)
    publish.address_card(tmp_path, "me/tiny")
    card = (tmp_path / "README.md").read_text()
    assert 'load_pipeline("me/tiny")' in card and "stands for this folder" not in card
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nmy own words about entropy-asr-tiny\n")
    publish.address_card(tmp_path, "me/tiny")
    assert "my own words about entropy-asr-tiny" in (tmp_path / "README.md").read_text()


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
    ):
        assert cli.main(["publish", *arguments]) == 2
        assert reason in capsys.readouterr().err
    assert hub.calls == []
