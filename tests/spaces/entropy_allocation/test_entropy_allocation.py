# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The metric as a whole: what it takes, refuses, joins from processes and leaves alone."""

import json
import math
import pickle
import shutil
import subprocess
import sys
import tracemalloc

import evaluate
import numpy as np
import pytest
import torch


def frames_like_an_encoders(num_frames: int = 6000, width: int = 48, dtype=torch.float64) -> torch.Tensor:
    """A falling spectrum and a mean far from 0."""
    scales = torch.logspace(0, -2, width, dtype=torch.float64)
    mixing = torch.randn(width, width, dtype=torch.float64) * scales[:, None]
    return (torch.randn(num_frames, width, dtype=torch.float64) @ mixing + 3).to(dtype)


PROCESS = """
import sys, pickle, torch, torch.distributed as dist, evaluate, json
rank, folder, init, data = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method=f"file://{init}", rank=rank, world_size=2)
# Shares of different sizes, about different means.
mine = slice(0, 9) if rank == 0 else slice(9, None)
for inputs in pickle.load(open(data, "rb")):
    metric = evaluate.load(folder, metrics=inputs.pop("metrics", None))
    metric.add_batch(**{name: value[mine] for name, value in inputs.items()})
    given = {"embedder": lambda texts: [[len(text), ord(text[0])] for text in texts]} if "texts" in inputs else {}
    result = metric.compute(distributed=True, probes=["linear"], num_seeds=1, control=False, **given)
    print("RESULT", json.dumps(result))
dist.destroy_process_group()
"""


def run_in_two_processes(inputs: list[dict], folder, tmp_path) -> list[dict]:
    """Results of the metric with nine utterances of each input in one process and the rest in another."""
    (tmp_path / "data").write_bytes(pickle.dumps(inputs))
    arguments = [str(folder), str(tmp_path / "init"), str(tmp_path / "data")]
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), *arguments], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    lines = [[line for line in output.splitlines() if line.startswith("RESULT")] for output in outputs]
    results = [[json.loads(line.removeprefix("RESULT")) for line in own] for own in lines]
    for result in [result for own in results for result in own]:
        for details in result["details"].values():
            details.pop("seconds", None)
            details.get("linear", {}).pop("seconds", None)
    assert results[0] == results[1]
    return results[0]


def test_two_processes_give_what_one_gives(metric, folder, tmp_path):
    rng, inputs = np.random.default_rng(0), []
    for dtype in (torch.float32, torch.float64):
        frames = [frames_like_an_encoders(200 + index, 24, dtype) + index / 10 for index in range(30)]
        inputs.append(
            {
                "predictions": frames,
                "references": [(x[:, 0] > x[:, 0].mean()).long() for x in frames],
                "other_predictions": [(x[:, :10] ** 2 + torch.randn(len(x), 10)).to(dtype) for x in frames],
                "speakers": [f"speaker {index // 2}" for index in range(30)],
                "phonemes": [rng.integers(0, 9, 12).tolist() for _ in frames],
                "semantics": rng.normal(size=(30, 7)),
                "layers": [[x, x[:, :4] ** 2] for x in frames],
                "text_embeddings": rng.normal(size=(30, 5)),
            }
        )
    for joined, alone_inputs in zip(run_in_two_processes(inputs, folder, tmp_path), inputs, strict=True):
        alone = metric.compute(**alone_inputs, probes=["linear"], num_seeds=1, control=False)
        num_frames = joined["details"]["frame_pai"]["num_frames"]
        assert num_frames == alone["details"]["frame_pai"]["num_frames"] == sum(map(len, alone_inputs["predictions"]))
        for name in ("nse", "pai", "csai", "frame_nse", "text_cka", "cka", "cka_debiased"):
            assert joined[name] == pytest.approx(alone[name], abs=1e-8)
        for name in ("pai", "csai"):
            for detail in ("unclipped", "above_chance", "interval"):
                assert joined["details"][name][detail] == pytest.approx(alone["details"][name][detail], abs=1e-8)
        # The same rows and the same split: speakers, not processes, decide.
        assert joined["frame_pai"] == pytest.approx(alone["frame_pai"], abs=1e-6)


def test_a_process_without_utterances_keeps_no_other_waiting(metric, folder, tmp_path):
    rng = np.random.default_rng(0)
    frames, texts = [torch.randn(30, 4) for _ in range(9)], [f"{chr(97 + index)}{index * 'o'}" for index in range(9)]
    spoken = {"predictions": frames, "phonemes": rng.integers(0, 5, (9, 12)).tolist(), "texts": texts}
    labelled = {"predictions": frames, "references": [(x[:, 0] > 0).long() for x in frames], "metrics": ["frame_pai"]}
    joined = run_in_two_processes([spoken, labelled], folder, tmp_path)
    alone = metric.compute(**spoken, embedder=lambda given: [[len(text), ord(text[0])] for text in given])
    assert joined[0]["csai"] == pytest.approx(alone["csai"], abs=1e-8)
    assert joined[1]["details"]["frame_pai"]["num_frames"] == 270


def test_what_the_inputs_are_too_few_for_is_left_out_and_the_rest_computed(metric):
    frames = torch.randn(2, 3, 4)
    inputs = {"references": torch.zeros(2, 3).long(), "words": [[(0, 2, 1)]] * 2}
    inputs |= {"layers": [[frames[0]]], "text_embeddings": [[1.0, 2.0]], "other_predictions": frames[:1, :, :2]}
    one = {"predictions": frames[:1], **{name: value[:1] for name, value in inputs.items()}}
    result = metric.compute(**one)
    assert {"nse", "frame_nse"} <= set(result) and not {"text_cka", "cka", "frame_pai", "frame_csai"} & set(result)
    for name, reason in (("text_cka", "two utterances"), ("cka", "4 frames"), ("frame_pai", ""), ("frame_csai", "")):
        assert reason in result["details"][name]["left_out"]


def test_streamed_one_by_one_equals_at_once_in_any_order(metric):
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(length, 8)) + 1 for length in rng.integers(5, 40, 60)]
    phonemes, semantics = [rng.integers(0, 12, 20) for _ in frames], rng.normal(size=(60, 6))
    inputs = {"phonemes": phonemes, "semantics": semantics, "text_embeddings": rng.normal(size=(60, 3))}
    inputs["layers"] = [[x[:, :3]] for x in frames]
    whole = metric.compute(predictions=frames, **inputs)
    for index in rng.permutation(60):
        metric.add(prediction=frames[index], **{name: value[index] for name, value in inputs.items()})
    streamed = metric.compute()
    chance = [result["details"]["text_cka"]["chance"][0]["mean"] for result in (streamed, whole)]
    assert chance[0] == pytest.approx(chance[1], abs=1e-12)
    for name in ("nse", "pai", "csai", "pai_above_chance", "csai_above_chance"):
        assert streamed[name] == pytest.approx(whole[name], abs=1e-8)
    for name in ("pai", "csai"):
        assert streamed["details"][name]["interval"] == pytest.approx(whole["details"][name]["interval"], abs=1e-8)


def test_frames_of_the_papers_metrics_are_not_kept(folder):
    metric = evaluate.load(str(folder), metrics=["nse", "pai"])
    tracemalloc.start()
    for _ in range(200):
        metric.add(prediction=np.ones((500, 16)) * np.arange(16), phonemes=["a", "b"])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Frames would be 12.8 MB.
    assert kept < 1e6


def test_semantics_may_come_with_the_result(metric):
    rng = np.random.default_rng(0)
    frames, phonemes = rng.normal(size=(40, 10, 5)), rng.integers(0, 6, (40, 15))
    semantics = rng.normal(size=(40, 4))
    expected = metric.compute(predictions=frames, phonemes=phonemes, semantics=semantics)["csai"]
    metric.add_batch(predictions=frames, phonemes=phonemes)
    with pytest.raises(ValueError, match="`semantics` has 39 entries for 40 utterances"):
        metric.compute(semantics=semantics[:39])
    assert metric.compute(semantics=semantics)["csai"] == pytest.approx(expected, abs=1e-9)
    # Without them there is no CSAI.
    assert "csai" not in metric.compute(predictions=frames, phonemes=phonemes)


def test_transcripts_become_phonemes_and_meaning(metric):
    pytest.importorskip("phonemizer")
    rng = np.random.default_rng(0)
    texts = [
        "good morning",
        "the cat sat",
        "one two three",
        "see you soon",
        "where is it",
        "blue water",
        "你好",
        "谢谢你",
    ]
    frames = rng.normal(size=(8, 6, 4))
    asked = []

    def embedder(given: list[str]) -> np.ndarray:
        asked.extend(given)
        return rng.normal(size=(len(given), 3))

    result = metric.compute(predictions=frames, texts=texts, languages=["en"] * 6 + ["zh"] * 2, embedder=embedder)
    assert asked == texts
    assert {"pai", "csai"} <= set(result)
    # 27 or so phonemes: far more than letters that "cat" and "你好" have in common.
    assert result["details"]["pai"]["columns"]["P"] > 20
    for arguments, message in (
        ({"languages": "Klingon"}, "Klingon"),
        ({"texts": [*texts[:7], "ありがとう"]}, "utterance 7"),
        ({"texts": [*texts[:7], " "]}, "utterance 7 must be a text that is not empty"),
    ):
        with pytest.raises(ValueError, match=message):
            metric.compute(**{"predictions": frames, "texts": texts, **arguments})


def test_text_cka_of_each_layer(metric):
    rng = np.random.default_rng(0)
    text = rng.normal(size=(50, 6))
    layers = [{"layer": rng.normal(size=(7, 5)), "adaptor": np.tile(row, (7, 1))} for row in text]
    result = metric.compute(predictions=rng.normal(size=(50, 7, 4)), layers=layers, text_embeddings=text)
    assert result["details"]["text_cka"]["layers"] == ["layer", "adaptor"]
    assert result["text_cka"][0] < 0.4 and result["text_cka"][1] == pytest.approx(1, abs=1e-9)
    chance = result["details"]["text_cka"]["chance"]
    assert abs(result["text_cka"][0] - chance[0]["mean"]) < 5 * chance[0]["spread"]


def test_computes_what_its_inputs_allow(metric):
    frames = [torch.randn(60, 4) for _ in range(10)]
    assert set(metric.compute(predictions=frames)) == {"nse", "details"}
    labels = [torch.randint(0, 3, (60,)) for _ in range(10)]
    metric.add_batch(predictions=frames, references=labels, other_predictions=[2 * x for x in frames])
    result = metric.compute(probes=["linear"], num_seeds=1)
    assert set(result) == {
        "nse", "frame_nse", "frame_pai", "frame_pai_normalized", "cka", "cka_debiased", "details"
    }  # fmt: skip
    metric.add_batch(predictions=frames, phonemes=labels)
    assert set(metric.compute()) == {"nse", "pai", "pai_above_chance", "details"}
    assert set(metric.compute(predictions=frames, metrics=["frame_nse"])) == {"frame_nse", "details"}
    assert result["cka"] == pytest.approx(1, abs=1e-6)
    # What was computed is forgotten.
    with pytest.raises(ValueError, match="No frames were added"):
        metric.compute()


def test_arrays_tensors_and_single_utterances_are_one(metric):
    frames = torch.randn(20, 50, 6)
    figures = ["nse", "frame_nse"]
    expected = metric.compute(predictions=list(frames), metrics=figures)
    for same in (frames, frames.numpy()):
        found = metric.compute(predictions=same, metrics=figures)
        assert [found[name] for name in figures] == [expected[name] for name in figures]
    one = metric.compute(predictions=frames.reshape(-1, 6), metrics=figures)
    assert one["frame_nse"] == expected["frame_nse"]
    # The paper's is about utterances, of which this is one.
    assert one["details"]["nse"]["num_utterances"] == 1
    for utterance in frames:
        metric.add(prediction=utterance)
    assert len(metric) == 20
    found = metric.compute(metrics=figures)
    assert [found[name] for name in figures] == [expected[name] for name in figures]


def test_bad_input_is_named(metric, folder):
    frames, labels = torch.randn(100, 4), torch.zeros(100).long()
    cases = [
        ({"predictions": frames, "metrics": ["pai"]}, "`pai` needs `phonemes` or `texts`"),
        ({"predictions": frames, "metrics": ["frame_pai"]}, "`frame_pai` needs `references`"),
        ({"predictions": frames, "phonemes": [[1, 2]], "metrics": ["csai"]}, "`csai` needs.*`embedder`"),
        ({"predictions": frames, "metrics": ["nsi"]}, "Unknown metrics nsi"),
        ({"predictions": frames, "metrics": "nse"}, "must be a list of nse, pai, csai, text_cka, frame_nse"),
        ({"predictions": frames, "metrics": []}, "must be a list of nse"),
        ({"predictions": [torch.randn(5)]}, "utterance 0 must have 2 dimensions"),
        ({"predictions": torch.randn(5, 0)}, "Utterance 0.*one dimension or more"),
        ({"predictions": frames, "references": torch.zeros(99).long()}, "100 frames need as many integer labels"),
        ({"predictions": frames, "references": torch.zeros(100)}, "integer labels, got 100 torch.float32"),
        ({"predictions": [frames, frames], "references": [labels]}, "1 entries for 2 utterances"),
        ({"predictions": [frames, torch.full((3, 4), math.nan)]}, "Utterance 1.*NaN"),
        (
            {"predictions": [frames, torch.full((9, 4), 1e200, dtype=torch.float64)]},
            "Utterance 1: .*up to 1.0e.200, .*scale all",
        ),
        ({"predictions": [frames, torch.randn(9, 4) * 1e30]}, "Utterance 1: .*beyond 1e.12: scale all frames down"),
        ({"predictions": frames, "phonemes": [[1]], "semantics": [[1e200]]}, "utterance 0 has numbers beyond 1e.30"),
        ({"predictions": [frames, torch.randn(3, 5)]}, "Utterance 1.*width"),
        ({"predictions": frames, "references": labels, "probes": ["cubic"]}, "linear, mlp.*cubic"),
        ({"predictions": frames, "references": labels, "metrics": ["frame_pai"]}, "one label"),
        ({"predictions": frames[:3], "other_predictions": frames[:3], "metrics": ["cka"]}, "4 frames or more, got 3"),
        ({"predictions": frames, "words": [[(0, 1, 2)]]}, "give `references`"),
        ({"predictions": frames, "speakers": ["ann"]}, "give `references`"),
        ({"predictions": frames, "references": labels, "words": [[(0, 1)]]}, r"\(start, end, id\)"),
        ({"predictions": frames, "references": labels, "words": [[(5, 1, 0)]]}, "inside its 100 frames"),
        ({"predictions": frames, "references": labels, "words": [[(0, 1.5, 0)]]}, "words must be integers"),
        ({"predictions": frames, "references": labels, "speakers": "ann"}, "a list of names"),
        ({"predictions": [frames] * 2, "references": [labels] * 2, "speakers": ["ann", None]}, "all.*or for none"),
        ({"references": labels}, "Unexpected without `predictions`: references"),
        # Of no use without references, and refused all the same.
        ({"predictions": frames, "probes": ["cubic"]}, "linear, mlp.*cubic"),
        ({"predictions": frames, "probes": "linear"}, "a list of linear, mlp"),
        ({"predictions": frames, "probes": []}, "a list of linear, mlp"),
        ({"predictions": frames, "num_seeds": 0}, "whole number, at least 1"),
        ({"predictions": frames, "num_seeds": 2.5}, "whole number, at least 1"),
        ({"predictions": frames, "control": "no"}, "`control` must be True or False"),
        ({"predictions": frames, "frames": frames}, "Unknown arguments frames"),
        ({"predictions": [torch.zeros(0, 4)]}, "Utterance 0 has no frames"),
        ({"predictions": frames, "phonemes": ["ab"]}, "utterance 0 must be a list of ids or symbols, got 'ab'"),
        ({"predictions": frames, "phonemes": [[]]}, "Utterance 0 has no phonemes"),
        ({"predictions": frames, "phonemes": [[1.5]]}, "1.5, which is no id"),
        ({"predictions": frames, "languages": ["en"]}, "give `texts`"),
        ({"predictions": frames, "semantics": [[1.0]]}, "give `phonemes` or `texts`"),
        (
            {"predictions": frames, "phonemes": [[1]], "texts": ["a"], "embedder": "x", "metrics": ["pai"]},
            "`embedder` is for csai, which is not among",
        ),
        ({"predictions": frames, "layers": [[frames]]}, "give `text_embeddings`"),
        ({"predictions": frames, "embedder": "all-minilm-l6-v2"}, "`embedder` reads transcripts: give `texts`"),
        ({"predictions": frames, "ridge": -1}, "`ridge` must be a number from 0 on"),
        # Neither PAI nor CSAI is computed of frames alone.
        ({"predictions": frames, "pca_size": 2}, "`pca_size` is for pai and csai, and what is computed is nse"),
        ({"predictions": frames, "phonemes": [[1]], "metrics": ["nse"], "ridge": 0.1}, "`ridge` is for pai and csai"),
        ({"predictions": frames, "table": True}, "`table` is for pai and csai"),
        (
            {"predictions": frames, "references": labels, "metrics": ["frame_nse"], "per_utterance": True},
            "`per_utterance` is for nse",
        ),
        ({"predictions": frames, "phonemes": [[1]], "texts": ["a"], "languages": "en"}, "`languages`.*leave one"),
        ({"predictions": frames, "phonemes": [[1]], "semantics": np.array([[1 + 2j]])}, "utterance 0.*complex"),
        ({"predictions": frames, "phonemes": [[1]], "semantics": torch.tensor([[1 + 2j]])}, "utterance 0.*complex"),
        ({"predictions": frames, "pca_size": 0}, "`pca_size` must be a whole number, at least 1"),
        ({"predictions": frames, "pca_size": (2, 3)}, "one number or three"),
        ({"predictions": frames, "pca_size": (2, 3, 4)}, "P and C alike"),
        (
            {"predictions": list(torch.randn(9, 5, 4)), "phonemes": [[i] for i in range(9)], "pca_size": 10},
            "10.*9 utterances",
        ),
        (
            {"predictions": list(torch.randn(9, 5, 4)), "phonemes": [[1]] * 9, "pca_size": 3},
            "phonemes of all 9",
        ),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            metric.compute(**arguments)
        assert len(metric) == 0
    with pytest.raises(ValueError, match="torch.distributed"):
        evaluate.load(str(folder), num_process=2, process_id=0)


def test_an_error_costs_nothing_but_its_own_call(metric):
    frames, labels = torch.randn(20, 60, 3), torch.randint(0, 2, (20, 60))
    names = [f"s{i}" for i in range(20)]
    figures = {"probes": ["linear"], "num_seeds": 1, "control": False}
    expected = metric.compute(predictions=frames, references=labels, speakers=names, **figures)
    metric.add_batch(predictions=frames[:12], references=labels[:12], speakers=names[:12])
    rest = {"predictions": frames[12:], "references": labels[12:], "speakers": names[12:]}
    wrong = [
        {**rest, "predictions": [*frames[12:19], torch.full((60, 3), math.nan)]},
        {**rest, "predictions": [*frames[12:19], torch.randn(60, 4)]},
        {**rest, "references": [*labels[12:19], labels[19][:30]]},
        {**rest, "speakers": None},
        {**rest, "other_predictions": frames[12:]},
    ]
    for arguments in wrong:
        with pytest.raises(ValueError):
            metric.add_batch(**arguments)
        with pytest.raises(ValueError):
            metric.compute(**arguments, **figures)
    for request in ({"metrics": ["cka"]}, {"probes": ["cubic"]}, {"num_seeds": 0}):
        with pytest.raises(ValueError):
            metric.compute(**request)
        with pytest.raises(ValueError):  # frames that were given with it are not added either
            metric.compute(**rest, **request)
        assert len(metric) == 12
    metric.add_batch(**rest)
    result = metric.compute(**figures)
    assert (result["nse"], result["frame_pai"]) == (expected["nse"], expected["frame_pai"])
    metric.add_batch(**rest)
    metric.reset()
    assert len(metric) == 0


def test_the_sample_for_probes_is_bounded(folder):
    metric = evaluate.load(str(folder), max_probe_frames=500)
    for _ in range(50):
        metric.add(prediction=torch.randn(40, 3), reference=torch.randint(0, 2, (40,)))
    result = metric.compute(probes=["linear"], num_seeds=1, control=False)
    assert result["details"]["frame_nse"]["num_frames"] == 2000
    assert result["details"]["frame_pai"]["num_frames"] == 480
    assert result["details"]["frame_pai"]["dropped_utterances"] == 38


def test_a_copy_of_the_folder_works_alone(folder, tmp_path):
    """What is uploaded as a Space has no package around it."""
    shutil.copytree(
        folder, tmp_path / "entropy_allocation", ignore=shutil.ignore_patterns("__init__.py", "__pycache__")
    )
    code = (
        "import sys, evaluate, numpy as np\n"
        "sys.modules['entropy_asr'] = None\n"
        f"metric = evaluate.load({str(tmp_path / 'entropy_allocation')!r})\n"
        "print(metric.compute(predictions=np.random.default_rng(0).normal(size=(500, 4)))['nse'] > 0.9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()[-1] == "True"
