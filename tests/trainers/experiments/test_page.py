# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page of an experiment says what its files hold."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from kept_seeds import CLAIMS, page_of, write_seed, wrong_shares

from entropy_asr.trainers.experiments.page import arm_figures, arm_table, claim_table, heading, write_page
from entropy_asr.trainers.experiments.results import Results
from entropy_asr.trainers.experiments.run import own_settings
from entropy_asr.trainers.experiments.verdicts import decide
from entropy_asr.trainers.runs.errors import SettingsError


RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "claims"


def test_page_says_what_the_files_hold(tmp_path):
    pytest.importorskip("matplotlib")
    wrong = wrong_shares(proposed=0.1)
    for seed in (1, 2, 3):
        write_seed(tmp_path, seed, wrong)
    (tmp_path / "kept" / "4").mkdir()  # not whole
    content, found = page_of(tmp_path)
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


def test_the_page_that_is_shown_is_of_the_results_beside_it():
    results = Results(RESULTS, CLAIMS)
    shown = json.loads((RESULTS / "claims.json").read_text(encoding="utf-8"))
    assert shown["seeds"] == [seed.name for seed in results.seeds], "run entropy-asr experiment claims --aggregate"
    decided = decide(results)
    assert [claim["verdict"] for claim in shown["claims"]] == [claim["verdict"] for claim in decided]
    rows = [*heading(results, decided), *claim_table("the paper says", decided), *arm_table(arm_figures(results))]
    assert set(rows) - {""} <= set((RESULTS / "claims.md").read_text(encoding="utf-8").splitlines())


def test_sets_of_which_nothing_is_claimed_have_rows_and_stay_out_of_the_mean(tmp_path):
    """Also where a seed was not measured on them."""
    pytest.importorskip("matplotlib")
    for seed in (1, 2, 3):
        write_seed(tmp_path, seed, wrong_shares(), further={} if seed == 2 else {"novels": 0.25 * seed, "noise": 0.5})
    content, _ = page_of(tmp_path)
    assert content["arms"]["half"]["error rates on further sets"] == {"novels": [0.125, 0.375]}
    page = (tmp_path / "kept" / "claims.md").read_text()
    assert "| errors: guards off | 25.0 | 25.0 |" in page
    assert "| errors on novels, of which nothing is claimed | 25.0 | 25.0 |" in page
    assert page.index("| errors on words |") < page.index("| errors on novels,")


def test_one_seed_decides_nothing_and_shows_what_its_utterances_say(tmp_path):
    pytest.importorskip("matplotlib")
    write_seed(tmp_path, 2, wrong_shares(proposed=0.1))
    content, found = page_of(tmp_path)
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


def test_page_refuses_what_does_not_belong_together(tmp_path):
    with pytest.raises(SettingsError, match="no seed has been run to its end"):
        write_page(CLAIMS, tmp_path)
    for seed in (1, 2):
        write_seed(tmp_path, seed, wrong_shares())
    path = tmp_path / "kept" / "2" / "half.json"
    path.write_text(path.read_text().replace('"encoder_steps":5', '"encoder_steps":6'))
    with pytest.raises(SettingsError, match="1/proposed and 2/half have different settings: encoder_steps 5 and 6"):
        write_page(CLAIMS, tmp_path / "kept")
    path.write_text(path.read_text().replace('"encoder_steps":6', '"encoder_steps":5'))
    report = tmp_path / "kept" / "2" / "allocation.json"
    for before, after, said in (
        ('"options":{}', '"options":{"max_rows":9}', "max_rows None and 9"),
        ('"words":', '"letters":', r"sets \['words'\] and \['letters'\]"),
    ):
        report.write_text(report.read_text().replace(before, after))
        with pytest.raises(
            SettingsError, match=f"seed 1 and seed 2 have different entropy allocation options: {said}"
        ):
            write_page(CLAIMS, tmp_path / "kept")
        report.write_text(report.read_text().replace(after, before))
    (tmp_path / "README.md").write_text("Without a place for it.")
    with pytest.raises(SettingsError, match="README lacks the lines"):
        write_page(CLAIMS, tmp_path / "kept", tmp_path / "README.md")
    assert not list((tmp_path / "kept").glob("claims.*"))


def test_arms_that_were_measured_on_other_utterances_are_not_compared(tmp_path):
    """One could not be read for a while: what follows would be compared with its neighbour."""
    write_seed(tmp_path, 1, wrong_shares())
    path = tmp_path / "kept" / "1" / "half.json"
    arm = json.loads(path.read_text())
    counts = arm["results"]["half_results"]["guards off"]["words"]
    for values in (counts["errors"], counts["insertions"], counts["units"]):
        values.pop()
    for events in (counts["nonempty"], counts["hallucinated"], counts["paper"]):
        events[:] = [place for place in events if place < 39]
    path.write_text(json.dumps(arm))
    with pytest.raises(SettingsError, match="it was measured on other utterances of words than 1/half"):
        write_page(CLAIMS, tmp_path / "kept")


def test_results_from_before_the_recipe_had_a_variable_go_with_those_that_have_it(tmp_path):
    pytest.importorskip("matplotlib")
    for seed in (1, 2):
        write_seed(tmp_path, seed, wrong_shares())
    default = own_settings(CLAIMS.recipe_path)["batch_size"]
    for path in (tmp_path / "kept" / "2").glob("*.json"):
        path.write_text(path.read_text().replace('"encoder_steps":5', f'"encoder_steps":5,"batch_size":{default}'))
    content, _ = page_of(tmp_path)
    assert content["seeds"] == ["1", "2"] and content["settings"] == {"encoder_steps": 5}
    for path in (tmp_path / "kept" / "2").glob("*.json"):
        path.write_text(path.read_text().replace(f'"batch_size":{default}', f'"batch_size":{default + 1}'))
    with pytest.raises(SettingsError, match=f"different settings: batch_size {default} and {default + 1}"):
        page_of(tmp_path)


def test_claims_are_headed_by_who_makes_them(tmp_path):
    pytest.importorskip("matplotlib")
    write_seed(tmp_path, 1, wrong_shares(proposed=0.9))
    # With nulls, numbers as text, and figures over that of a stage that is no term.
    bounds = {"low": None, "high": "0"}
    figure = {"says": "x", "kind": "allocation", "metric": "nse", "terms": {"phonemes": 1}, "over": "attention"}
    claims = [{**claim, **bounds} if claim.get("high") == 0 else claim for claim in CLAIMS.claims]
    claims += [{**figure, "low": 0, "high": None}, {**figure, "says": "y", "over": None, "low": 1}]
    why = [{**check, "than": None} if check["name"] == "silence" else check for check in CLAIMS.why]
    mine = dataclasses.replace(CLAIMS, claims=claims, why=why)
    arm = json.loads((tmp_path / "kept" / "1" / "proposed.json").read_text())["results"]["proposed_results"]
    made = {"silence": {"changed": {}, "training": {"steps": 3}, "results": arm}}
    (tmp_path / "kept" / "1" / "why.json").write_text(json.dumps(made))
    for experiment, column in ((mine, "the paper says"), (dataclasses.replace(mine, claimant=""), "claim")):
        page_of(tmp_path, experiment)
        page = (tmp_path / "kept" / "claims.md").read_text()
        assert f"| {column} | must be |" in page and f"| {column} | likely cause |" in page
        assert "NSE of phonemes, over that of attention above 0 |" in page and "NSE of phonemes above 1 |" in page
        assert "errors of proposed - conventional below 0 |" in page


def test_a_figure_of_zero_and_one_that_a_stage_lacks_are_not_measured(tmp_path):
    """PAI is cut at 0, of which nothing is a share; a stage that a check is about may have no text CKA."""
    pytest.importorskip("matplotlib")
    write_seed(tmp_path, 1, wrong_shares())
    path = tmp_path / "kept" / "1" / "allocation.json"
    report = json.loads(path.read_text())
    report["datasets"]["words"]["models"]["attention"]["pai"] = 0.0
    path.write_text(json.dumps(report))
    share = {
        "says": "x",
        "kind": "allocation",
        "metric": "pai",
        "terms": {"phonemes": 1},
        "over": "attention",
        "low": 9,
    }
    wrong = {"says": "y", "kind": "allocation", "metric": "pai", "terms": {"phonemes": 1}, "low": 9}
    check = {"name": "embedder", "kind": "text CKA", "cause": "c", "check": "k", "about": ["y"], "embedder": "e"}
    check |= {"rows": 4, "stages": ["phonemes"]}
    found = {"embedder": {"phonemes": {"values": [0.1, 0.2, 0.3], "chance": {"mean": 0.0}}}}
    (tmp_path / "kept" / "1" / "why.json").write_text(json.dumps(found))
    _, claims = page_of(tmp_path, dataclasses.replace(CLAIMS, claims=[share, wrong], why=[check]))
    assert claims["x"]["verdict"] == "not measured here" and claims["y"]["found"] is not None
    assert (
        "phonemes +0.100 (0.200 to 0.300, chance 0.000; own not measured)"
        in (path.parents[1] / "claims.md").read_text()
    )
