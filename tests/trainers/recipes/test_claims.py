# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The experiment on the paper's claims: its arms are fair, and its page says what its files hold."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from audio_rows import encode, write_parquet
from small_models import small_whisper
from training_helpers import make_rows

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe, run_section


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECIPE = Path(recipe.__file__).parent / "claims.yaml"


@pytest.fixture
def claims(monkeypatch):
    """`tests/benchmarks/claims.py`, which imports its neighbour."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "claims", raising=False)
    import claims

    return claims


def stages(*options: str) -> dict:
    return load_recipe(RECIPE, "run", list(options))["stages"]


def test_recipe_is_valid_and_stages_start_from_what_was_made_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plans = check_recipe(load_recipe(RECIPE, "run"))
    made = {f"run/{plan.name}": place for place, plan in enumerate(plans)}
    lanes = {plan.name: plan.background for plan in plans}
    for place, plan in enumerate(plans):
        for path in plan.section.get("model", {}).values():
            if not str(path).startswith("run/") or str(path).endswith("snapshots"):
                continue
            source = "/".join(str(path).split("/")[:2])
            assert made[source] < place, f"{plan.name} starts from {path}"
            # The foreground waits for nothing behind it; what is in the background may start from what is in front.
            assert plan.background or not lanes[source.removeprefix("run/")]


def test_arms_differ_in_nothing_but_what_they_are_about(claims):
    found = stages()
    claims.check_steps(found)
    with pytest.raises(ValueError, match="all_sft_steps"):
        claims.check_steps(stages("--joint_sft_steps", "7"))
    speech = [section for section in found.values() if "training" in section and "text" not in section["data"]]
    assert len({json.dumps(section["data"]["train"]) for section in speech}) == 1
    # No phonemes for a language model, no joined units, no hints, no prompts that name the language.
    for name in ("language_model", "half_language_model"):
        assert not found[name]["data"]["transcripts_from_phonemes"]
        assert not any(source["from_phonemes"] for source in found[name]["data"]["text"])
    assert not any(section.get("stage") in ("encoded_sft", "context_sft") for section in found.values())
    supervised = [section["training"] for section in found.values() if "language_prompt_probability" in str(section)]
    for key in ("max_batch_duration", "max_batch_size", "learning_rate", "weight_decay", "chunk_sizes", "left_chunks"):
        assert len({json.dumps(training[key]) for training in supervised}) == 1, key
    last = [found[names[-1]]["training"] for names in claims.plan()["arms"].values()]
    assert len({json.dumps(training["lr_scheduler_kwargs"]) for training in last}) == 1
    encoders = [found[name]["training"] for name in ("phonemes", "characters", "attention")]
    for key in ("max_steps", "max_batch_duration", "learning_rate", "lr_scheduler_type", "warmup_steps"):
        assert len({training[key] for training in encoders}) == 1, key


def test_every_claim_is_about_stages_that_there_are(claims):
    found = stages()
    for claim in claims.plan()["claims"]:
        names = claim.get("terms", {}) or [f"{claim['first']}_results", f"{claim['second']}_results"]
        assert set(names) <= set(found) and ("low" in claim or "high" in claim), claim["says"]
        # A word that YAML reads as true would be no name.
        assert all(isinstance(key, str) for key in claim) and (claim["kind"] != "hallucinations" or "sounds" in claim)


def write_seed(claims, folder: Path, seed: int, wrong: dict[str, float]) -> None:
    """Result files of a seed: of 40 utterances each arm gets a share wrong, and writes on as many sounds of ten."""
    rng = np.random.default_rng(seed)
    names = list(dict.fromkeys(name for stages in claims.plan()["arms"].values() for name in stages))
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "stage.json").write_text(json.dumps({"steps": 5, "processor_seconds": 720.0}))
    for arm in claims.plan()["arms"]:
        rows = []
        for condition in claims.plan()["conditions"]:
            for index in range(40):
                hypothesis = "turn right" if index < 40 * wrong[arm] else "turn left"
                rows.append(("words", condition, "en", "turn left", hypothesis))
        for index in range(10):
            rows.append(("sounds", "guards off", "none", "", "hello there" if index < 10 * wrong[arm] else ""))
        keys = ("dataset", "condition", "language", "reference", "hypothesis")
        for kind in ("results", "guarded"):
            (folder / f"{arm}_{kind}").mkdir()
            (folder / f"{arm}_{kind}" / "stage.json").write_text("{}")
            lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
            text = "\n".join(lines).replace("guards off", "guards on" if kind == "guarded" else "guards off")
            (folder / f"{arm}_{kind}" / "transcripts.jsonl").write_text(text + "\n")
    models = {}
    for place, name in enumerate(names):
        pai = 5 + 0.001 * rng.normal() + (1 if name == "proposed_joint_sft" else 0)
        table = [{"pca_size": size, "ridge": 1e-3, "pai": pai * size, "chance": 0.1 * size} for size in (2, 4)]
        models[name] = {"nse": 0.9 - 0.01 * place, "pai": pai, "details": {"pai": {"ridge": 1e-3, "table": table}}}
    (folder / "allocation").mkdir()
    report = {"datasets": {"words": {"models": models}}}
    (folder / "allocation" / "report.json").write_text(json.dumps(report))


def test_page_says_what_the_files_hold(claims, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    wrong = dict.fromkeys(claims.plan()["arms"], 0.5) | {"proposed": 0.1}
    for seed in (1, 2, 3):
        write_seed(claims, tmp_path / "runs" / str(seed), seed, wrong)
    (tmp_path / "runs" / "4").mkdir()  # not whole
    assert claims.main(["page", str(tmp_path / "runs"), "--output_dir", str(tmp_path / "page")]) == 0
    content = json.loads((tmp_path / "page" / "claims.json").read_text())
    assert content["seeds"] == ["1", "2", "3"]
    found = {claim["says"]: claim for claim in content["claims"]}
    better = found["proposed makes fewer errors than conventional"]
    # A word of two: 5 % against 25 %.
    assert better["found"]["value"] == pytest.approx(-0.2) and better["verdict"] == "holds"
    same = found["a fixed encoder costs less than no IA-SFT (table 3)"]
    assert same["found"]["value"] == 0 and same["verdict"] == "not decided here"
    silent = found["on sounds without speech, text at most half as often as conventional"]
    assert silent["found"]["value"] == pytest.approx(0.1 - 0.5 * 0.5)
    assert found["joint SFT after IA-SFT leaves PAI within 2 %"]["verdict"] == "does not hold"
    assert found["phoneme pretraining raises CSAI"]["verdict"] == "not measured here"
    page = (tmp_path / "page" / "claims.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert sum(line.endswith(("holds |", "hold |", "here |")) for line in rows) == len(content["claims"])
    assert "| errors: guards off | 5.0 | 25.0 |" in page and "| hours of one processor | 1.00 | 0.80 |" in page
    pictures = sorted(path.name for path in (tmp_path / "page").glob("*.png"))
    assert len(pictures) == 4 and all(f"({name})" in page for name in pictures)


def test_page_without_a_whole_seed_says_so(claims, tmp_path):
    with pytest.raises(ValueError, match="no seed has been run to its end"):
        claims.main(["page", str(tmp_path)])


def test_run_ends_when_the_time_is_up(claims, tmp_path):
    marker = tmp_path / "ended"
    code = f"import time; open({str(marker)!r}, 'w'); time.sleep(60)"
    assert claims.run_until(claims.time.monotonic() - 1, [sys.executable, "-c", code]) == claims.NOT_DONE
    assert not marker.exists()
    assert claims.run_until(claims.time.monotonic() + 3, [sys.executable, "-c", code]) == claims.NOT_DONE
    assert claims.run_until(claims.time.monotonic() + 30, [sys.executable, "-c", "raise SystemExit(3)"]) == 3


def write_data(folder: Path) -> None:
    """Data sets by the names that the recipe has, of a few tones each, and texts."""
    names = ("librispeech_subset", "speechocean762", "fsdd_digits", "speech_commands_mini", "aishell_sample")
    for name in (*names, "audio_cmn_words", "esc10_noise"):
        language = {"aishell_sample": "zh", "audio_cmn_words": "zh", "esc10_noise": "none"}.get(name, "en")
        for split in ("train", "dev", "test", "extra"):
            rows = make_rows(" ".join([language] * 4), seed=len(name + split))
            rows = [
                {
                    "audio": {"bytes": encode(np.asarray(row["samples"]) / 32768), "path": f"{index}.ogg"},
                    **{key: row[key] for key in ("text", "language", "duration")},
                }
                for index, row in enumerate(rows)
            ]
            write_parquet(folder / name, split, rows=rows)
    (folder / "text_lm").mkdir(parents=True)
    for name in ("librispeech_train_clean_100_text.txt", "zh_tw_cc0_sentences.txt"):
        (folder / "text_lm" / name).write_text("go on then\n" * 600, encoding="utf-8")


@pytest.mark.slow
def test_all_arms_of_two_seeds_run_to_the_page(claims, tmp_path, monkeypatch):
    """With a public encoder of a few thousand parameters; a second call has nothing left to do."""
    pytest.importorskip("opencc")
    pytest.importorskip("matplotlib")
    write_data(tmp_path / "data")
    small_whisper("WhisperForConditionalGeneration").save_pretrained(tmp_path / "whisper")
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(tmp_path / "whisper")

    def run_here(until: float, command: list[str]) -> int:
        arguments = command[3:]
        if arguments[0] == "report":
            return cli.main(arguments)
        overrides = arguments[2:]
        position = overrides.index("--output_dir")
        loaded = load_recipe(Path(arguments[1]), overrides[position + 1], overrides[:position])
        for plan in check_recipe(loaded):
            run_section(plan.stage, plan.section, plan.output_dir, plan.seed)
        return 0

    monkeypatch.setattr(claims, "run_until", run_here)
    sizes = (
        "--encoder_layers 1 --language_model_layers 1 --half_language_model_layers 1 --head_steps 1 --encoder_steps 3"
    )
    sizes += " --drift_interval 1 --alignment_steps 1 --ia_sft_steps 3 --joint_sft_steps 1 --all_sft_steps 4"
    sizes += " --test_rows 1 --non_speech 1 --max_lines 600 --bf16 false"
    places = ["--data_dir", str(tmp_path / "data"), "--encoder", str(tmp_path / "whisper")]
    options = ["run", *places, "--output_dir", str(tmp_path / "runs"), "--seeds", "1", "2"]
    assert claims.main([*options, "--ledger_rows", "1", *sizes.split()]) == 0
    monkeypatch.setattr("entropy_asr.trainers.training.stage_run.run_trainer", lambda *_: pytest.fail("trained again"))
    assert claims.main([*options, "--ledger_rows", "1", *sizes.split()]) == 0
    assert claims.main(["page", str(tmp_path / "runs")]) == 0
    content = json.loads((tmp_path / "runs" / "claims.json").read_text())
    assert content["seeds"] == ["1", "2"]
    assert {claim["verdict"] for claim in content["claims"] if claim.get("metric") != "csai"} <= set(
        claims.VERDICTS[:3]
    )
    assert not list((tmp_path / "runs").glob("*/*/checkpoints/checkpoint-*"))
