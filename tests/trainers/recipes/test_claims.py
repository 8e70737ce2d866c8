# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The experiment on the paper's claims: its arms are fair, and its page says what its files hold."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from claims_script import BENCHMARKS, SIZES, run_here, write_data

from entropy_asr.trainers.recipes import recipe
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe


RECIPE = Path(recipe.__file__).parent / "claims.yaml"
SCRIPT = Path(__file__).parents[1] / "claims_script.py"


@pytest.fixture
def claims(monkeypatch):
    """`tests/benchmarks/claims.py`, which imports its neighbours."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in (
        "claims",
        "claims_causes",
        "claims_why",
        "claims_page",
        "claims_plots",
        "claims_progress",
        "claims_results",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
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
    assert set(claims.plan()["allocation_stages"]) <= set(found)
    for claim in claims.plan()["claims"]:
        names = claim.get("terms", {}) or [f"{claim['first']}_results", f"{claim['second']}_results"]
        assert set(claim.get("terms", {})) <= set(claims.plan()["allocation_stages"]), claim["says"]
        assert set(names) <= set(found) and ("low" in claim or "high" in claim), claim["says"]
        # A word that YAML reads as true would be no name.
        assert all(isinstance(key, str) for key in claim) and (claim["kind"] != "hallucinations" or "sounds" in claim)


def test_what_each_stage_is_expected_to_take_fits_into_two_hours(claims):
    plans = check_recipe(load_recipe(RECIPE, "run"))
    lanes = claims.lanes_of(plans, claims.plan()["seconds"])
    assert sorted(name for lane in lanes for name in lane.seconds) == sorted(claims.plan()["seconds"])
    assert max(lane.remaining() for lane in lanes) + claims.plan()["report_seconds"] < 110 * 60
    # Neither core waits long for the other.
    assert abs(lanes[0].remaining() - lanes[1].remaining()) < 0.15 * lanes[0].remaining()
    with pytest.raises(ValueError, match="lacks phonemes_head"):
        claims.lanes_of([plan for plan in plans if plan.name == "phonemes_head"], {})


def test_progress_says_when_a_seed_will_have_ended(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from claims_progress import Lane, Progress

    moment = [1e9]
    lanes = [Lane(tmp_path, {"long": 3000, "longer": 3000}), Lane(tmp_path, {"short": 1000})]
    progress = Progress(lanes, 600, now=lambda: moment[0])
    progress.write(tmp_path)
    assert json.loads((tmp_path / "progress.json").read_text())["minutes_left"] == 110
    # Half of a stage, which should have taken 25 minutes, took 50.
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "clock.json").write_text(json.dumps({"seconds": 9, "step": 5, "max_steps": 10}))
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "stage.json").write_text("{}")
    moment[0] += 3000
    progress.write(tmp_path)
    found = json.loads((tmp_path / "progress.json").read_text())
    assert found["stages_done"] == 1 and found["stages"] == 3 and found["running"] == ["long 50 %"]
    assert found["pace"] == round(3600 / 2100, 2) and found["minutes_left"] == round(85 * 3600 / 2100)
    assert found["estimated_end"] == "2001-09-09 05:02 UTC"
    assert capsys.readouterr().out.splitlines()[-1].endswith("2001-09-09 05:02 UTC.")


def write_seed(claims, folder: Path, seed: int, wrong: dict[str, float]) -> None:
    """A seed's run, of which the rest is kept: of 40 utterances each arm gets a share wrong, and of ten sounds it
    writes on as many."""
    rng, run = np.random.default_rng(seed), folder / f"run-{seed}"
    plan, kept = claims.plan(), folder / "kept" / str(seed)
    record = {"steps": 5, "seconds": 800.0, "processor_seconds": 720.0, "history": [{"step": 5, "loss": 2.5}]}
    for name in {name for stages in plan["arms"].values() for name in stages}:
        (run / name).mkdir(parents=True)
        (run / name / "stage.json").write_text(json.dumps(record))
    for arm in plan["arms"]:
        rows = []
        for condition in plan["conditions"]:
            for index in range(40):
                hypothesis = "turn right" if index < 40 * wrong[arm] else "turn left"
                rows.append(("words", condition, "en", "turn left", hypothesis))
        for index in range(10):
            rows.append(("sounds", "guards off", "none", "", "hello there" if index < 10 * wrong[arm] else ""))
        keys = ("dataset", "condition", "language", "reference", "hypothesis")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
        for kind in ("results", "guarded"):
            assert not claims.keep_arm(run, kept, arm, {"seed": seed})
            (run / f"{arm}_{kind}").mkdir()
            (run / f"{arm}_{kind}" / "stage.json").write_text("{}")
            text = "\n".join(lines).replace("guards off", "guards on" if kind == "guarded" else "guards off")
            (run / f"{arm}_{kind}" / "transcripts.jsonl").write_text(text + "\n")
        assert claims.keep_arm(run, kept, arm, {"seed": seed, "encoder_steps": 5})
    models = {}
    for place, name in enumerate(plan["allocation_stages"]):
        pai = 5 + 0.001 * rng.normal() + (1 if name == "proposed_joint_sft" else 0)
        table = [{"pca_size": size, "ridge": 1e-3, "pai": pai * size, "chance": 0.1 * size} for size in (2, 4)]
        models[name] = {"nse": 0.9 - 0.01 * place, "pai": pai, "details": {"pai": {"ridge": 1e-3, "table": table}}}
    (run / "allocation").mkdir()
    report = {"options": {}, "versions": {}, "command": "ours alone", "datasets": {"words": {"models": models}}}
    (run / "allocation" / "report.json").write_text(json.dumps(report))
    claims.keep_allocation(run / "allocation", kept)
    shutil.rmtree(run)


def write_page(claims, folder: Path) -> tuple[dict, dict]:
    """The page of what was kept, in a README too: what `claims.json` holds, and its claims by what they say."""
    import claims_page

    readme = folder / "README.md"
    readme.write_text("\n".join(["Before.", *claims_page.MARKS, "After."]))
    assert claims.main(["page", "--results_dir", str(folder / "kept"), "--readme", str(readme)]) == 0
    content = json.loads((folder / "kept" / "claims.json").read_text())
    return content, {claim["says"]: claim for claim in content["claims"]}


def test_page_says_what_the_files_hold(claims, tmp_path):
    pytest.importorskip("matplotlib")
    wrong = dict.fromkeys(claims.plan()["arms"], 0.5) | {"proposed": 0.1}
    for seed in (1, 2, 3):
        write_seed(claims, tmp_path, seed, wrong)
    (tmp_path / "kept" / "4").mkdir()  # not whole
    content, found = write_page(claims, tmp_path)
    assert content["seeds"] == ["1", "2", "3"] and content["settings"] == {"encoder_steps": 5}
    better = found["proposed makes fewer errors than conventional"]
    # A word of two: 5 % against 25 %.
    assert better["found"]["value"] == pytest.approx(-0.2) and better["verdict"] == "holds"
    same = found["a fixed encoder costs less than no IA-SFT (table 3)"]
    assert same["found"]["value"] == 0 and same["verdict"] == "not decided here"
    silent = found["on sounds without speech, text at most half as often as conventional"]
    assert silent["found"]["value"] == pytest.approx(0.1 - 0.5 * 0.5)
    assert found["joint SFT after IA-SFT leaves PAI within 2 %"]["verdict"] == "does not hold"
    assert found["phoneme pretraining raises CSAI"]["verdict"] == "not measured here"
    page = (tmp_path / "kept" / "claims.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert sum(line.endswith(("holds |", "hold |", "here |")) for line in rows) == len(content["claims"])
    assert "utterances:" not in page and not any("value_alone" in claim for claim in content["claims"])
    assert "| errors: guards off | 5.0 | 25.0 |" in page and "| errors on words | 5.0 | 25.0 |" in page
    assert "| hours of one processor | 1.00 | 0.80 |" in page
    assert "PAI of phonemes - phonemes_head below 0" in page and " -1 " not in page
    assert "| text without speech, guards on | 10.0 | 50.0 |" in page
    # Nothing was measured earlier; the encoder `characters` is no result of the arm `characters`.
    assert not any(arm["error rates before the last stage"] for arm in content["arms"].values())
    pictures = sorted(path.name for path in (tmp_path / "kept").glob("*.png"))
    assert len(pictures) == 4 and all(f"({name})" in page for name in pictures)
    summary = (tmp_path / "README.md").read_text().splitlines()[2:-2]
    assert len(summary) <= 10 and all(len(line) <= 120 for line in summary)
    assert summary[-1].endswith("[All of it](kept/claims.md).")  # as README's reader follows it
    assert "with 3 seeds" in summary[0] and "proposed makes fewer errors than conventional" in " ".join(summary)


def test_the_page_that_is_shown_is_of_the_results_beside_it(claims):
    import claims_page
    from claims_results import RESULTS, Results

    results = Results(RESULTS)
    shown = json.loads((RESULTS / "claims.json").read_text(encoding="utf-8"))
    assert shown["seeds"] == [seed.name for seed in results.seeds], "run claims.py page"
    decided = claims_page.decide(results)
    assert [claim["verdict"] for claim in shown["claims"]] == [claim["verdict"] for claim in decided]
    rows = [*claims_page.claim_table(decided), *claims_page.arm_table(claims_page.arm_figures(results))]
    assert set(rows) <= set((RESULTS / "claims.md").read_text(encoding="utf-8").splitlines())


def test_page_says_what_checks_of_causes_found(claims, tmp_path):
    """Of claims whose value is on the wrong side: those of the results always, others where they were made."""
    pytest.importorskip("matplotlib")
    cka, figures = {"layers": [0.1, 0.3], "adaptor": 0.2}, ("proposed_joint_sft", "conventional_joint_sft")
    for seed in (1, 2):
        write_seed(claims, tmp_path, seed, dict.fromkeys(claims.plan()["arms"], 0.5) | {"proposed": 0.9})
        path = tmp_path / "kept" / str(seed) / "allocation.json"
        report = json.loads(path.read_text())
        models = report["datasets"]["words"]["models"]
        for name in figures:
            models[name]["text_cka"] = cka
        models["phonemes"]["pai"] += 1
        for row in models["phonemes"]["details"]["pai"]["table"]:
            row["pai"] += 1
        path.write_text(json.dumps(report))
    write_page(claims, tmp_path)
    page = (tmp_path / "kept" / "claims.md").read_text()
    assert "| phoneme pretraining lowers PAI |" in page and "above 0 at 4 of 4 sizes, ridges and seeds" in page
    assert "joint SFT trains the encoder too" not in page
    arm = json.loads((tmp_path / "kept" / "2" / "no_ia_sft.json").read_text())
    again = {"changed": {}, "training": {"steps": 3}, "results": arm["results"]["no_ia_sft_results"]}
    values = {"values": [0.1, 0.2, 0.25], "chance": {"mean": 0.01}}
    checks = {"equal_time": again, "embedder": dict.fromkeys(figures, values)}
    (tmp_path / "kept" / "2" / "why.json").write_text(json.dumps(checks))
    write_page(claims, tmp_path)
    page = (tmp_path / "kept" / "claims.md").read_text()
    assert "seed 2: 3 steps, errors 25.0 % (no_ia_sft 25.0 %, proposed 45.0 %); errors in silence" in page
    assert "proposed_joint_sft +0.050 (0.200 to 0.250, chance 0.010; own -0.100)" in page
    assert "silence around it, half a second" not in page
    # NSE falls by .01 from a stage to the next, and conventional joint training was to lower it.
    assert "attention pretraining has lowered NSE" not in page


def test_causes_are_given_of_what_does_not_hold_alone(claims, tmp_path):
    pytest.importorskip("matplotlib")
    write_seed(claims, tmp_path, 1, dict.fromkeys(claims.plan()["arms"], 0.5) | {"proposed": 0.1})
    checks = {"equal_time": {"changed": {}, "training": {"steps": 3}, "results": {}}}
    (tmp_path / "kept" / "1" / "why.json").write_text(json.dumps(checks))
    write_page(claims, tmp_path)
    assert "joint SFT trains the encoder too" not in (tmp_path / "kept" / "claims.md").read_text()


def test_a_stage_that_is_trained_again_starts_from_the_arms_own(claims, tmp_path, monkeypatch):
    """Also where folders are relative, as the command has them."""
    import claims_why

    monkeypatch.chdir(tmp_path)
    arms = claims.plan()["arms"]
    for name in {*arms["no_ia_sft"], *arms["proposed"]}:
        (tmp_path / "runs" / "2" / name).mkdir(parents=True)
        seconds = {"no_ia_sft_joint_sft": 80.0, "proposed_ia_sft": 30.0, "proposed_joint_sft": 10.0}.get(name, 10.0)
        record = {"steps": 400, "seconds": 9.0, "processor_seconds": seconds, "history": []}
        (tmp_path / "runs" / "2" / name / "stage.json").write_text(json.dumps(record))
    ran = []
    monkeypatch.setattr(claims_why.subprocess, "run", lambda command, check: ran.append(command))
    monkeypatch.setattr(claims_why, "training_of", lambda folder: {})
    monkeypatch.setattr(claims_why, "counts_of", lambda transcripts: {})
    args = SimpleNamespace(output_dir=Path("runs"), seed=2, data_dir="data", encoder="whisper", options=["--a", "1"])
    [check] = [check for check in claims.plan()["why"] if check["name"] == "equal_time"]
    assert claims_why.trained_again(args, check)["changed"] == {"training.max_steps": 200}
    again = tmp_path / "runs" / "2-equal_time"
    assert (again / "finished_alignment" / "stage.json").is_file() and not (again / "no_ia_sft_joint_sft").exists()
    assert [command[command.index("train") + 1] for command in ran] == ["no_ia_sft_joint_sft", "no_ia_sft_results"]
    assert ran[0][-2:] == ["--stages.no_ia_sft_joint_sft.training.max_steps", "200"] and "--a" in ran[0]


def test_one_seed_decides_nothing_and_shows_what_its_utterances_say(claims, tmp_path):
    pytest.importorskip("matplotlib")
    write_seed(claims, tmp_path, 2, dict.fromkeys(claims.plan()["arms"], 0.5) | {"proposed": 0.1})
    content, found = write_page(claims, tmp_path)
    assert {claim["verdict"] for claim in content["claims"]} == {"not decided here", "not measured here"}
    better = found["proposed makes fewer errors than conventional"]
    assert better["found"]["low"] is None and -0.3 < better["utterances_alone"]["low"] < -0.2
    assert -0.2 < better["utterances_alone"]["high"] < -0.1
    page = (tmp_path / "kept" / "claims.md").read_text()
    assert re.search(r"\| -20\.00 \| -2\d\.\d\d to -1\d\.\d\d, utterances alone \|", page)
    assert "| not decided here (utterances: for) |" in page and "| not decided here (value: against) |" in page
    # Two arms that err alike; proposed's PAI, one bit of five more; what nobody measured.
    says = {
        "a fixed encoder costs less than no IA-SFT (table 3)": ("open", "open"),
        "joint SFT after IA-SFT leaves PAI within 2 %": ("against", None),
        "phoneme pretraining lowers NSE": ("for", None),
        "phoneme pretraining raises CSAI": (None, None),
    }
    for name, expected in says.items():
        assert (found[name]["value_alone"], found[name]["utterances_say"]) == expected, name
    measured = [claim["value_alone"] for claim in content["claims"] if claim["value_alone"]]
    told = f"{measured.count('for')} of {len(measured)} values are on their claim's side"
    readme = (tmp_path / "README.md").read_text().replace("\n", " ")
    assert "One seed cannot say how seeds differ" in readme and told in readme and told in page


def test_page_refuses_what_does_not_belong_together(claims, tmp_path):
    with pytest.raises(ValueError, match="no seed has been run to its end"):
        claims.main(["page", "--results_dir", str(tmp_path)])
    for seed in (1, 2):
        write_seed(claims, tmp_path, seed, dict.fromkeys(claims.plan()["arms"], 0.5))
    path = tmp_path / "kept" / "2" / "half.json"
    path.write_text(path.read_text().replace('"encoder_steps":5', '"encoder_steps":6'))
    with pytest.raises(ValueError, match="1/proposed and 2/half have different settings"):
        claims.main(["page", "--results_dir", str(tmp_path / "kept")])
    path.write_text(path.read_text().replace('"encoder_steps":6', '"encoder_steps":5'))
    (tmp_path / "README.md").write_text("Without a place for it.")
    with pytest.raises(ValueError, match="README lacks the lines"):
        claims.main(["page", "--results_dir", str(tmp_path / "kept"), "--readme", str(tmp_path / "README.md")])


def test_run_ends_when_the_time_is_up(claims, tmp_path, monkeypatch):
    marker, looks = tmp_path / "ended", []
    code = f"import time; open({str(marker)!r}, 'w'); time.sleep(60)"
    assert claims.run_until(claims.time.monotonic() - 1, [sys.executable, "-c", code]) == claims.NOT_DONE
    assert not marker.exists()
    monkeypatch.setattr(claims, "SECONDS", 0.5)
    until = claims.time.monotonic() + 3
    assert claims.run_until(until, [sys.executable, "-c", code], lambda: looks.append(1)) == claims.NOT_DONE
    assert len(looks) >= 3
    assert claims.run_until(claims.time.monotonic() + 30, [sys.executable, "-c", "raise SystemExit(3)"]) == 3


def without_times(folder: Path) -> dict[str, object]:
    """All that was kept of a seed, but for how long things took."""

    def cleaned(value):
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items() if not key.endswith("seconds")}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    return {path.name: cleaned(json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))}


def toy_arguments(folder: Path, name: str) -> list[str]:
    """The command line of a toy's run, of seed 1."""
    data = ["--data_dir", str(folder / "data"), "--encoder", str(folder / "data" / "whisper")]
    places = ["--output_dir", str(folder / name), "--results_dir", str(folder / f"{name}-kept")]
    report = ["--embedder", "none", "--allocation_rows", "24", "--ledger_rows", "1"]
    sizes = [part for name, value in SIZES.items() for part in (f"--{name}", str(value))]
    return ["run", *data, *places, "--seeds", "1", *report, *sizes]


@pytest.mark.slow
def test_all_arms_run_to_the_page_and_give_the_same_figures_again(claims, tmp_path, monkeypatch):
    """With a public encoder of a few thousand parameters."""
    pytest.importorskip("matplotlib")
    write_data(tmp_path / "data")
    monkeypatch.setattr(claims, "run_until", run_here)
    assert claims.main(toy_arguments(tmp_path, "runs")) == 0
    whole = without_times(tmp_path / "runs-kept" / "1")
    assert set(whole) == {"allocation.json", *(f"{arm}.json" for arm in claims.plan()["arms"])}
    assert not list((tmp_path / "runs").glob("*/*/checkpoints/checkpoint-*"))

    # Nothing is left to do.
    with monkeypatch.context() as patch:
        patch.setattr("entropy_asr.trainers.training.stage_run.run_trainer", lambda *_: pytest.fail("trained again"))
        assert claims.main(toy_arguments(tmp_path, "runs")) == 0

    # One arm again.
    for folder in (tmp_path / "runs" / "1").glob("half_*"):
        if folder.name != "half_language_model":
            shutil.rmtree(folder)
    assert claims.main(toy_arguments(tmp_path, "runs")) == 0
    assert without_times(tmp_path / "runs-kept" / "1") == whole

    # All again, and killed: in pretraining, between two swaps, while transcripts are written.
    run = tmp_path / "killed" / "1"
    places = [
        run / "phonemes" / "checkpoints" / "checkpoint-2" / "trainer_state.json",
        run / "proposed_ia_sft" / "checkpoints" / "checkpoint-1" / "trainer_state.json",
        run / "no_ia_sft_results" / "transcripts.jsonl",
    ]
    command = [sys.executable, str(SCRIPT), *toy_arguments(tmp_path, "killed"), "--", *map(str, places)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
    assert without_times(tmp_path / "killed-kept" / "1") == whole

    (tmp_path / "runs-kept").rename(tmp_path / "kept")
    content, _ = write_page(claims, tmp_path)
    assert content["seeds"] == ["1"]
    measured = [claim for claim in content["claims"] if claim.get("metric") != "csai"]
    assert {claim["verdict"] for claim in measured} == {"not decided here"}
