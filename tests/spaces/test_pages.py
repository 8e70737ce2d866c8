# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The metric Spaces: their pages compute on uploaded files, their cards load on the Hub."""

import importlib.util
import json
import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from huggingface_hub import RepoCard

import entropy_asr.spaces


SPACES = Path(entropy_asr.spaces.__file__).parent


def load_page(name: str):
    spec = importlib.util.spec_from_file_location(f"{name}_app", SPACES / name / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["entropy_allocation", "hallucination_rate"])
def test_space_is_complete(name):
    card = RepoCard.load(SPACES / name / "README.md")
    assert card.data.sdk == "gradio"
    assert (SPACES / name / card.data.app_file).is_file()
    assert "operational definition" in card.text
    assert "evaluate" in (SPACES / name / "requirements.txt").read_text()
    assert isinstance(load_page(name).build_page(), gr.Blocks)


def test_examples_of_the_pages_are_measured(tmp_path):
    page = load_page("entropy_allocation")
    table = dict(page.compute(page.example_frames(tmp_path), ["linear"], 1)[1])
    assert 1 < table["frame_pai"] < np.log(5) + 0.05
    assert table["pai_above_chance"] > 1
    page = load_page("hallucination_rate")
    _, rates, flagged = page.compute(str(SPACES / "hallucination_rate" / "example.csv"), 0.35)
    assert dict(rates)["num_hallucinated"] == len(flagged) == 3


def test_frames_are_measured_as_uploaded(tmp_path):
    page = load_page("entropy_allocation")
    rng = np.random.default_rng(0)
    phonemes = rng.integers(0, 3, 1200)
    frames = np.eye(3)[phonemes] + 0.1 * rng.normal(size=(1200, 3))
    np.savez(
        tmp_path / "frames.npz",
        frames=frames,
        phonemes=phonemes,
        other_frames=2 * frames,
        words=np.stack([np.arange(0, 1200, 2), np.arange(2, 1202, 2), phonemes[::2]], axis=1),
        lengths=np.full(12, 100),
    )
    curve, rows, details = page.compute(str(tmp_path / "frames.npz"), ["linear"], 1)
    assert curve["share"].is_monotonic_decreasing and curve["share"].sum() == pytest.approx(1)
    table = dict(rows)
    assert table["frame_pai"] == pytest.approx(np.log(3), abs=0.05)
    assert table["cka"] == pytest.approx(1)
    assert json.loads(details)["frame_csai"]["num_words"] == 600
    with pytest.raises(gr.Error, match="Upload"):
        page.compute(None, ["linear"], 1)


def test_transcripts_and_meaning_of_utterances_are_measured_as_uploaded(tmp_path):
    page = load_page("entropy_allocation")
    rng = np.random.default_rng(0)
    spoken = rng.integers(0, 6, (40, 9))
    arrays = {
        "frames": rng.normal(size=(300, 5)),
        "lengths": np.array([10] * 20 + [0] + [5] * 19 + [5]),
        "transcripts": np.concatenate([spoken.reshape(-1), [0]]),
        "transcript_lengths": np.array([9] * 20 + [1] + [9] * 20),
        "semantics": rng.normal(size=(41, 4)),
    }
    np.savez(tmp_path / "frames.npz", **arrays)
    _, rows, details = page.compute(str(tmp_path / "frames.npz"), ["linear"], 1)
    assert {"nse", "pai", "csai", "pai_above_chance", "frame_nse"} <= set(dict(rows))
    # The utterance without frames is none.
    assert json.loads(details)["csai"]["num_utterances"] == 40
    for name, value, message in (
        ("transcript_lengths", np.full(41, 8), "add up to 361 phonemes"),
        ("semantics", arrays["semantics"][:40], "40 rows for 41 utterances"),
    ):
        np.savez(tmp_path / "frames.npz", **{**arrays, name: value})
        with pytest.raises(gr.Error, match=message):
            page.compute(str(tmp_path / "frames.npz"), ["linear"], 1)
    del arrays["transcript_lengths"]
    np.savez(tmp_path / "frames.npz", **arrays)
    with pytest.raises(gr.Error, match="belong together"):
        page.compute(str(tmp_path / "frames.npz"), ["linear"], 1)


def test_files_that_are_no_frames_are_refused_in_words(tmp_path):
    page = load_page("entropy_allocation")
    path = tmp_path / "frames.npz"
    frames, phonemes = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 3
    np.savez(path, frames=frames, phonemes=phonemes)
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", frames)
    damaged = bytearray(whole)
    damaged[200:220] = bytes(20)  # within the numbers: their checksum is wrong
    for content in (
        b"",
        b"not a zip file",
        b"PK\x03\x04 nor this",
        whole[:-50],
        damaged,
        (tmp_path / "one.npy").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(gr.Error, match="no .npz file of numbers"):
            page.compute(str(path), ["linear"], 1)
    cases = [
        ({"phones": phonemes}, "`frames` is needed"),
        ({"frames": np.array([{"a": 1}])}, "no .npz file of numbers"),
        ({"frames": phonemes}, r"`frames` must be \(N, D\) numbers, not int64 of shape \(100,\)"),
        ({"frames": frames.astype(str)}, "`frames` must be"),
        ({"frames": frames[:0]}, "`frames` is empty"),
        ({"frames": frames, "phonemes": phonemes / 2}, r"`phonemes` must be \(N\) integers, not float64"),
        ({"frames": frames, "phonemes": phonemes[:-1]}, "`phonemes` has 99 rows, there are 100 frames"),
        ({"frames": frames, "other_frames": frames[:50]}, "`other_frames` has 50 rows"),
        ({"frames": frames, "lengths": np.array([50, 49])}, "must add up to 100 frames, not 99"),
        ({"frames": frames, "lengths": np.array([150, -50])}, "0 or more each"),
        ({"frames": frames, "lengths": np.float64(100)}, r"`lengths` must be \(utterances\) integers"),
        ({"frames": frames, "words": np.array([[0, 1, 2]])}, "`phonemes`, which the file lacks"),
        ({"frames": frames, "phonemes": phonemes, "words": np.array([[0, 1]])}, r"`words` must be \(M, 3\) integers"),
        ({"frames": frames, "phonemes": phonemes, "words": np.array([[0, 2, 7], [200, 201, 7]])}, "Row 1 of `words`"),
        ({"frames": frames, "phonemes": phonemes, "words": np.array([[-2, 2, 7]])}, "Row 0 of `words`"),
        (
            {"frames": frames, "phonemes": phonemes, "words": np.array([[45, 55, 7]]), "lengths": np.array([50, 50])},
            "not inside one utterance",
        ),
        ({"frames": np.where(frames > 2, np.nan, frames)}, "NaN or infinite"),
    ]
    for arrays, message in cases:
        np.savez(path, **arrays)
        with pytest.raises(gr.Error, match=message):
            page.compute(str(path), ["linear"], 1)
    np.savez(path, frames=frames)
    with pytest.raises(gr.Error, match="Probe families"):
        page.compute(str(path), [], 1)


def test_transcripts_are_scored_as_uploaded(tmp_path):
    page = load_page("hallucination_rate")
    file = tmp_path / "table.csv"
    file.write_text("reference,hypothesis\nturn on the light,turn on the light\n,谢谢观看\n", encoding="utf-8")
    bars, rates, flagged = page.compute(str(file), 0.35)
    shown = {"empty_reference_rate": 0.5, "unsupported_rate": 0, "burst_rate": 0, "loop_rate": 0}
    assert bars["share"].tolist() == [*shown.values(), 0.5] and list(page.REASONS)[:-1] == list(shown)
    assert dict(rates)["hallucination_rate"] == 0.5
    assert flagged == [["empty_reference", "", "谢谢观看", "谢谢观看"]]
    file.write_text("a,b\n1,2\n")
    with pytest.raises(gr.Error, match="columns `reference` and `hypothesis`"):
        page.compute(str(file), 0.35)


def components_of(page: gr.Blocks, kind: str) -> list[dict]:
    return [component["props"] for component in page.get_config_file()["components"] if component["type"] == kind]


def test_bars_stand_in_the_order_of_the_reasons_with_room_for_their_names():
    page = load_page("hallucination_rate")
    (bars,) = components_of(page.build_page(), "nativeplot")
    assert bars["sort"] == list(page.REASONS.values()) and bars["y_lim"] == [0, 1]
    assert bars["x_label_angle"] != 0 and max(map(len, bars["sort"])) < 16


def test_the_spectrum_is_drawn_from_0_and_from_the_first_direction_on(tmp_path):
    page = load_page("entropy_allocation")
    curve, _, details = page.compute(page.example_frames(tmp_path), ["linear"], 1)
    shown = page.show_whole_range(details)
    assert shown.x_lim == [1, 16] and shown.y_lim[0] == 0 and shown.y_lim[1] > curve["share"].max()


def test_quotes_in_a_tsv_are_characters(tmp_path):
    """An unbalanced one swallows no rows, and a text is not changed."""
    file = tmp_path / "table.TSV"
    rows = ["reference\thypothesis", '"hello there\thello there', "good night\tgood night", "", 'six "feet"\t']
    file.write_text("\r\n".join(rows), encoding="utf-8-sig", newline="")
    page = load_page("hallucination_rate")
    assert page.read_table(str(file)) == (
        ['"hello there', "good night", 'six "feet"'],
        ["hello there", "good night", ""],
    )
    assert dict(page.compute(str(file), 0.35)[1])["num_utterances"] == 3


def test_columns_of_a_csv_may_stand_anywhere_and_quoted_texts_hold_commas_and_lines(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text('id,hypothesis , reference\n1,"one, two\nthree","one, ""two"" three"\n', encoding="utf-8")
    assert load_page("hallucination_rate").read_table(str(file)) == (['one, "two" three'], ["one, two\nthree"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, r"^gone\.csv cannot be read"),
        ("empty.csv", b"", r"^empty\.csv, line 1: the header needs the columns"),
        ("header.csv", b"reference,hypothesis\n", r"^header\.csv has a header and no rows"),
        ("twice.csv", b"reference,reference,hypothesis\n", r"^twice\.csv, line 1: .*each once"),
        ("semicolons.csv", b"reference;hypothesis\na;b\n", r"separated by commas; it has \['reference;hypothesis'\]"),
        ("tabs.tsv", b"reference,hypothesis\na,b\n", r"separated by tabs"),
        (
            "comma.csv",
            b"reference,hypothesis\na,b\nc, d,e\n",
            r"^comma\.csv, line 3: 3 field.* has 2.* needs quotes",
        ),
        ("short.tsv", b"reference\thypothesis\na\tb\n\nc\n", r"^short\.tsv, line 4: 1 field.* the header has 2\.$"),
        ("quote.csv", b'reference,hypothesis\na,b\nc,"d\ne,f\n', r"^quote\.csv: the row that begins in line 3 cannot"),
        ("quotes.csv", b'reference,hypothesis\n"a"b,c\n', r"^quotes\.csv: the row that begins in line 2 cannot"),
        (
            "huge.csv",
            b"reference,hypothesis\na," + b"b" * 200_000,
            r"^huge\.csv: the row that begins in line 2 .*limit",
        ),
        ("latin.csv", "reference,hypothesis\na,b\ncafé,d\n".encode("latin-1"), r"^latin\.csv, line 3: not UTF-8 text"),
        ("utf16.tsv", "reference\thypothesis\na\tb\n".encode("utf-16"), r"^utf16\.tsv, line 1: not UTF-8 text"),
        ("excel.csv", b"PK\x03\x04 and so on", r"^excel\.csv is a spreadsheet or an archive: save the table as CSV"),
    ],
)
def test_tables_that_cannot_be_read_are_told_by_file_and_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(gr.Error) as error:
        load_page("hallucination_rate").compute(str(tmp_path / name), 0.35)
    assert re.search(message, error.value.message)
    assert not error.value.print_exception and str(tmp_path) not in error.value.message


@pytest.mark.parametrize("name", ["entropy_allocation", "hallucination_rate"])
def test_cards_describe_every_endpoint_with_its_inputs(name):
    text = (SPACES / name / "README.md").read_text(encoding="utf-8")
    for endpoint, details in load_page(name).build_page().get_api_info()["named_endpoints"].items():
        for word in (endpoint, *(parameter["parameter_name"] for parameter in details["parameters"])):
            assert f"`{word}`" in text
