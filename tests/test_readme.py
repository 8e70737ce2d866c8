# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The blocks of README.md and its three pages run as they are printed, in a folder where all that they name lies.

Where a page names a public model, a tiny one of the same classes lies under that name; training stops after
two steps; installing is left out (the extras are checked), and so are servers, which have tests of their own; for a
block that asks one, the one that it asks is there. Commands are processes of seconds each, so that their blocks run
with --run_slow; that all options exist is always checked.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
import soundfile
import torch
import transformers
from small_models import save_adapters

from entropy_asr.modeling import EntropyASRForConditionalGeneration, load_pipeline
from entropy_asr.modeling.languages_entropy_asr import LANGUAGES
from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.commands.recipe_files import resolve_experiment
from entropy_asr.trainers.evaluation import conditions
from entropy_asr.trainers.experiments.run import read_run
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe, read_yaml
from entropy_asr.trainers.runs.settings import read_sections
from entropy_asr.trainers.stages import find_stage


ROOT = Path(__file__).parents[1]
PAGES = {
    page: (ROOT / page).read_text(encoding="utf-8")
    for page in ("README.md", "modeling/README.md", "trainers/README.md", "trainers/evaluation/README.md")
}
CHECKPOINT = ROOT / "spaces" / "demo" / "checkpoint"
SERVERS = ("entropy-asr demo", "entropy-asr serve")
LOCAL_SERVER = "localhost:8765"
SENTENCES = ("we go to the house", "the old man went home", "open the door", "one two three four", "he was here again")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: After the fence.
        text: What is in it.
        page: In which of PAGES it is.
        line: Number of its first line there.
    """

    language: str
    text: str
    page: str
    line: int

    @property
    def place(self) -> str:
        """What errors call it."""
        return f"{self.page}, line {self.line}"

    @property
    def file(self) -> str | None:
        """Name of the file that a first line such as `# alignment.yaml: ...` says it is."""
        named = re.match(r"# (\S+\.yaml):", self.text)
        return named and named[1]

    @property
    def commands(self) -> list[list[str]]:
        """Words of each command of a shell block; what it pipes in and where it writes to are left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        commands = [shlex.split(re.sub(r"^.*\| |> \S+", "", line), comments=True) for line in lines]
        return [words for words in commands if words]


def blocks(*languages: str) -> list[Block]:
    found = [
        Block(match[1], match[2], page, text[: match.start()].count("\n") + 2)
        for page, text in PAGES.items()
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    ]
    return [block for block in found if not languages or block.language in languages]


def each(chosen: list[Block]) -> pytest.MarkDecorator:
    """Parameter `block`, named by its place."""
    return pytest.mark.parametrize("block", chosen, ids=[block.place for block in chosen])


class StopAfterTwoSteps(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the blocks find: recordings, a data set, models under their public names, the YAML files."""
    synthesis = pytest.importorskip("entropy_asr.trainers.data.synthesis")
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("readme")
    # A copy: one of the blocks writes a card.
    shutil.copytree(ROOT / "spaces", folder / "spaces", ignore=shutil.ignore_patterns("__pycache__"))
    voices = [synthesis.Voice("en", "gmw/en-US", name) for name in ("m3", "f2", "m1", "f4")]
    speech = [(text, synthesis.synthesize(text, voice)) for voice in voices for text in SENTENCES]
    for name in ("talk.wav", "a.flac", "b.ogg"):
        soundfile.write(folder / name, speech[0][1], 16000)
    (folder / "talk.raw").write_bytes((speech[0][1] * 32767).astype(np.int16).tobytes())
    (folder / "talk.rttm").write_text("SPEAKER talk 1 0.0 0.6 <NA> <NA> Anna <NA> <NA>\n", encoding="utf-8")
    (folder / "million_places.txt").write_text("New York\n北京\nthe house\n", encoding="utf-8")
    (folder / "novels.txt").write_text("“Open the door!” He was here again.\n", encoding="utf-8")
    save_dataset(folder / "my-org" / "my-speech", speech)
    save_public_models(folder)
    tiny = EntropyASRForConditionalGeneration.from_pretrained(CHECKPOINT)
    for name in ("law", "medicine"):
        save_adapters(tiny, "spaces/demo/checkpoint", folder / "runs" / name)
    for block in blocks("yaml"):
        (folder / block.file).write_text(block.text, encoding="utf-8")
    return folder


def save_dataset(target: Path, speech: list[tuple[str, np.ndarray]]) -> None:
    """Parquet files of three splits, as they lie on the Hub."""
    target.mkdir(parents=True)
    rows = []
    for index, (text, samples) in enumerate(speech):
        path = target.parent / f"{index}.flac"
        soundfile.write(path, samples, 16000)
        rows.append({"audio": {"bytes": path.read_bytes(), "path": path.name}, "text": text})
        path.unlink()
    for split in ("train", "validation", "test"):
        datasets.Dataset.from_list(rows).to_parquet(target / f"{split}-00000-of-00001.parquet")


def save_public_models(folder: Path) -> None:
    """A Parakeet and a Qwen3 of a few thousand parameters, with their preprocessors, where the pages name them."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    encoder = transformers.ParakeetEncoderConfig(**sizes, num_mel_bins=80, subsampling_conv_channels=8)
    ctc = transformers.ParakeetCTCConfig(encoder_config=encoder.to_dict(), vocab_size=20, pad_token_id=0)
    parakeet = folder / "nvidia" / "parakeet-ctc-0.6b"
    transformers.ParakeetForCTC(ctc).save_pretrained(parakeet)
    transformers.ParakeetFeatureExtractor(feature_size=80).save_pretrained(parakeet)
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    config = transformers.Qwen3Config(**sizes, num_key_value_heads=1, head_dim=16, vocab_size=len(tokenizer))
    qwen = folder / "Qwen" / "Qwen3-0.6B"
    transformers.Qwen3ForCausalLM(config).save_pretrained(qwen)
    tokenizer.save_pretrained(qwen)


@pytest.fixture(autouse=True)
def _no_language_stays() -> Iterator[None]:
    """A block registers one."""
    before = dict(LANGUAGES)
    yield
    for code in set(LANGUAGES) - set(before):
        del LANGUAGES[code]


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    """The folder as the current one; training and evaluation end early, and bfloat16 is taken without a GPU too."""
    monkeypatch.chdir(folder)
    evaluate = conditions.evaluate_recognition

    # What was trained for two steps knows no end, and is asked under every condition.
    def few(pipeline, rows, *args, **kwargs):
        return evaluate(pipeline, rows.select(range(min(2, len(rows)))), *args, **kwargs)

    monkeypatch.setattr(conditions, "evaluate_recognition", few)
    stopping = [*transformers.trainer.DEFAULT_CALLBACKS, StopAfterTwoSteps]
    monkeypatch.setattr("transformers.trainer.DEFAULT_CALLBACKS", stopping)
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    return folder


def test_every_block_is_of_a_kind_that_is_tested():
    assert {block.language for block in blocks()} == {"bash", "python", "yaml"}


@pytest.fixture
def local_server(block) -> Iterator[str]:
    """Address of the server that a block asks: on a port that is free, which no block can know."""
    if LOCAL_SERVER not in block.text:
        yield LOCAL_SERVER
        return
    for name in ("openai", "uvicorn", "python_multipart"):
        pytest.importorskip(name)
    from running_app import RunningApp

    from entropy_asr.spaces.server import openai_server, settings

    pipeline = load_pipeline(CHECKPOINT, device="cpu")
    running = RunningApp(openai_server.build_app(pipeline, settings.OpenAISettings()))
    yield f"127.0.0.1:{running.port}"
    running.stop()


@each(blocks("python"))
def test_python_block_runs(block, here, local_server, capsys):
    text = block.text.replace(LOCAL_SERVER, local_server)
    exec(compile(text, block.place, "exec"), {"__name__": "__main__"})
    assert "print(" not in block.text or capsys.readouterr().out.strip()


def trained_folders(block: Block) -> list[str]:
    """Where a block leaves models: what a trainer saves, and what it saves itself."""
    saved = re.findall(r'save_pretrained\("([^"]+)"\)', block.text)
    return saved + re.findall(r'SFTConfig\("([^"]+)"', block.text) * ("trainer.save_model()" in block.text)


TRAINING = [block for block in blocks("python") if trained_folders(block)]


@each(TRAINING)
def test_trained_models_transcribe_and_get_a_card(block, here, capsys):
    exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
    capsys.readouterr()
    for folder in trained_folders(block):
        assert cli.main(["transcribe", "--model", folder, "talk.wav"]) == 0
        assert capsys.readouterr().out.startswith("talk.wav\t")
        assert cli.main(["card", folder]) == 0
        card = huggingface_hub.ModelCard.load(here / folder / "README.md")
        goes_on = "spaces/demo/checkpoint" in block.text
        start = huggingface_hub.ModelCard.load(CHECKPOINT / "README.md")
        # Of public parts, whose licences the trainer does not know, the card says none.
        assert card.data.license == (start.data.license if goes_on else "other")
        assert f"`JointSFTTrainer`, 2 steps{' from checkpoint' * goes_on}" in card.text and "my-speech" in card.text
        assert transformers.pipeline("automatic-speech-recognition", folder, device="cpu")("talk.wav").keys() == {
            "text"
        }


@pytest.mark.slow
@each(TRAINING)
def test_trained_models_can_be_published(block, here, capsys):
    exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
    for folder in trained_folders(block):
        assert cli.main(["card", folder]) == 0
        assert cli.main(["publish", folder, "--dry_run"]) == 0
        assert "loads in a Python without this package" in capsys.readouterr().out


@each(blocks("yaml"))
def test_yaml_block_is_valid(block, here):
    content = read_yaml(here / block.file)
    if "stages" in content:
        assert check_recipe(load_recipe(here / block.file))
    else:
        output_dir, stage = Path(content.pop("output_dir")), block.file.removesuffix(".yaml")
        read_sections(content, find_stage(stage).sections, output_dir, 0, stage)


@each(blocks("bash"))
def test_commands_have_the_options_and_files_they_name(block):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for program, *words in block.commands:
        if program == "entropy-asr":
            args, rest = cli.build_parser().parse_known_args(words)
            assert args.is_training or not rest
        elif program == "pip":
            wanted = re.findall(r"\[(\w+)\]", words[-1])
            assert words[0] == "install" and words[-1].startswith(".") and set(wanted) <= set(extras)
        elif program == "python":  # what an export brings along
            assert (ROOT / "hub_cards" / Path(words[0]).name).is_file()
        else:
            assert program in ("pytest", "curl")


def test_first_command_prints_what_the_readme_says(capsys, monkeypatch):
    pytest.importorskip("entropy_asr.spaces")
    monkeypatch.chdir(ROOT)
    first = blocks("bash")[0].text
    command = next(words for words in blocks("bash")[0].commands if words[0] == "entropy-asr")
    assert cli.main(command[1:]) == 0
    assert f"# {capsys.readouterr().out}" in first


def test_every_feature_that_is_compared_has_a_test_that_is_there():
    page = (ROOT / "hub_cards" / "features.md").read_text(encoding="utf-8")
    tables = [re.findall(r"^\| ([^|-][^|]*) \|(.*)$", part, re.MULTILINE) for part in page.split("How each line")]
    compared, checked = (dict(table) for table in tables)
    assert list(compared) == list(checked)
    for feature, tests in checked.items():
        named = re.findall(r"`(tests/[^`]+)`", tests)
        assert named and all((ROOT / name).is_file() for name in named), feature


@pytest.mark.parametrize("page", PAGES)
def test_links_between_files_lead_somewhere(page):
    linked = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", PAGES[page])
    assert linked
    for link in linked:
        assert ((ROOT / page).parent / link).exists(), link


def test_the_first_page_leads_to_the_others_before_its_first_command():
    first_screen = PAGES["README.md"].split("## Start")[0]
    assert all(f"]({page})" in first_screen for page in PAGES if page != "README.md")
    assert first_screen.count("![") == 1


def test_options_of_inline_commands_exist():
    text = re.sub(r"```.*?```", "", "\n".join(PAGES.values()), flags=re.DOTALL)
    spans = re.findall(r"`(entropy-asr [^`]+)`", text)
    assert spans
    for span in spans:
        _, command, *words = span.split()
        parser = cli.build_parser()._subparsers._group_actions[0].choices[command]
        known = {option for action in parser._actions for option in action.option_strings}
        takes_any = parser.get_default("is_training")
        assert takes_any or {word for word in words if word.startswith("--")} <= known, span


EXPERIMENTS = [block for block in blocks("bash") if "entropy-asr experiment" in block.text]


@each(EXPERIMENTS)
def test_experiments_are_valid_with_the_parts_and_data_they_name(block, here):
    for _, _, name, *words in block.commands:
        args, overrides = cli.build_parser().parse_known_args(["experiment", name, *words])
        run = read_run(
            resolve_experiment(name), args.output_dir, args.results_dir, [*overrides, "--allocation.embedder=null"]
        )
        stages = run.check(run.experiment.seeds[0])
        assert not {"language_model", "half_language_model"} & {stage.name for stage in stages}
        assert "speechocean762" not in json.dumps([stage.section for stage in stages])


RUN_HERE = [block for block in blocks("bash") if "entropy-asr train" in block.text or "recipe" in block.text]
RUN_BY_BASH = [
    block
    for block in blocks("bash")
    if block not in RUN_HERE and not any(name in block.text for name in ("pytest", "entropy-asr experiment", *SERVERS))
]


@pytest.mark.slow
@each(RUN_HERE)
def test_training_commands_run(block, here):
    for program, *words in block.commands:
        assert program == "pip" or cli.main(words) == 0, words


@pytest.mark.slow
@each(RUN_BY_BASH)
def test_commands_run(block, folder):
    # A model that a block before has trained; each block runs alone too.
    tuned = folder / "runs" / "tuned"
    if "runs/tuned" in block.text and not (tuned / "config.json").is_file():
        shutil.copytree(CHECKPOINT, tuned, dirs_exist_ok=True)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = f"set -eo pipefail\npip() {{ :; }}\n{block.text}"
    run = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
