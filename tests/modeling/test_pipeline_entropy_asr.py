# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pipeline: how it is found, what goes in, what is refused, and that no transcript depends on its batch."""

import copy
import io
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_rows import make_noise
from datasets import Audio, Dataset
from transformers import (
    GenerationConfig,
    pipeline,
)
from transformers.pipelines.pt_utils import KeyDataset

from entropy_asr.modeling import (
    AudioError,
    EntropyASRPipeline,
    StreamingTranscriber,
    load_audio,
    load_pipeline,
)
from entropy_asr.modeling.vad_entropy_asr import EndpointSettings
from entropy_asr.trainers.commands import cli


TASK = "automatic-speech-recognition"


def texts_of(outputs) -> list[str]:
    return [output["text"] for output in outputs]


# How it is found


def test_remote_code_transcribes_where_the_package_is_missing(checkpoint, waveforms, texts, tmp_path):
    np.savez(tmp_path / "audio.npz", *waveforms)
    soundfile.write(tmp_path / "first.wav", waveforms[0], 16000, subtype="FLOAT")
    (tmp_path / "no_sound.wav").write_text("no sound")
    script = """
import json, sys
sys.modules["entropy_asr"] = None
import numpy as np
from transformers import pipeline

checkpoint, folder = sys.argv[1:]
pipe = pipeline("automatic-speech-recognition", checkpoint, trust_remote_code=True, device="cpu")
waveforms = list(np.load(f"{folder}/audio.npz").values())
texts = [output["text"] for output in pipe(waveforms, batch_size=3)]
file = pipe(f"{folder}/first.wav")["text"]
try:
    pipe(f"{folder}/no_sound.wav")
except ValueError as error:
    message = f"{type(error).__name__}: {error}"
print(json.dumps([type(pipe).__module__, texts, file, message]))
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(checkpoint), str(tmp_path)],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    module, remote_texts, file, message = json.loads(result.stdout.splitlines()[-1])
    assert module.startswith("transformers_modules.")
    assert (remote_texts, file) == (texts, texts[0])
    assert message.startswith("AudioError: ") and "no_sound.wav" in message


def test_saved_pipeline_loads_again(pipe, waveforms, texts, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert load_pipeline(tmp_path, device="cpu")(waveforms[0])["text"] == texts[0]


def test_pipeline_of_another_model_or_without_a_processor_is_refused(model, processor):
    with pytest.raises(ValueError, match="processor"):
        EntropyASRPipeline(model=model)
    with pytest.raises(ValueError, match="tokenizer"):
        EntropyASRPipeline(model=model, processor=processor, tokenizer=processor.tokenizer)
    with pytest.raises(ValueError, match="qwen3"):
        EntropyASRPipeline(model=model.model.language_model, processor=processor)


@pytest.mark.skipif(not hasattr(torch.ao, "quantization"), reason="this PyTorch has no dynamic quantization")
def test_linear_layers_may_be_quantized(model, processor, waveforms):
    """A quantized layer has no `weight` whose type could be read."""
    supported = [engine for engine in torch.backends.quantized.supported_engines if engine != "none"]
    if not supported:
        pytest.skip("no engine for quantized layers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8)
    pipe = EntropyASRPipeline(model=small, processor=processor, device="cpu", guards={"no_speech": False})
    text = pipe(waveforms[0])["text"]
    assert text and pipe([waveforms[0], waveforms[2]], batch_size=2)[0]["text"]
    stream = StreamingTranscriber(pipe, use_vad=False, endpoints=EndpointSettings(max_segment=5))
    assert (stream.push(waveforms[0]) + stream.finish())[-1].text


# load_pipeline


def test_load_pipeline_chooses_the_type_of_weights(model, processor, waveforms, texts, tmp_path):
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert load_pipeline(str(tmp_path), device="cpu").model.dtype == torch.float32  # faster there
    halved = load_pipeline(str(tmp_path), device="cpu", dtype="bfloat16")
    assert halved.model.dtype == torch.bfloat16
    assert halved.device == torch.device("cpu")
    assert len(halved([waveforms[0], waveforms[2]], batch_size=2)) == 2


def test_load_pipeline_names_what_it_cannot_load(model, tmp_path):
    model.model.language_model.save_pretrained(tmp_path / "language_model")
    with pytest.raises(ValueError, match="language_model.*qwen3"):
        load_pipeline(tmp_path / "language_model")
    with pytest.raises(OSError, match="missing"):
        load_pipeline(str(tmp_path / "missing"))


# What goes in


def test_files_bytes_arrays_tensors_and_mappings_give_one_text(pipe, waveforms, texts, tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, waveforms[0], 16000, subtype="FLOAT")
    sources = [
        str(path),
        path,
        path.read_bytes(),
        torch.from_numpy(waveforms[0]),
        {"array": waveforms[0], "sampling_rate": 16000},
        {"raw": waveforms[0], "sampling_rate": 16000},
        {"bytes": path.read_bytes(), "path": "speech.wav"},
        {"bytes": None, "path": str(path)},
    ]
    assert {pipe(source)["text"] for source in sources} == {texts[0]}
    assert set(texts_of(pipe(sources, batch_size=3))) == {texts[0]}


@pytest.mark.parametrize("sampling_rate", [8000, 22050, 44100, 192000])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_any_sampling_rate_is_converted_as_load_audio_does(pipe, sampling_rate, kind):
    samples = make_noise(1, sampling_rate)
    converted = pipe(load_audio(samples, sampling_rate))
    assert pipe({"array": kind(samples), "sampling_rate": sampling_rate}) == converted
    assert pipe({"raw": kind(samples), "sampling_rate": sampling_rate}) == converted


def test_a_list_a_generator_and_a_dataset_agree(pipe, waveforms, texts):
    columns = {"audio": [{"bytes": wav_bytes(waveform), "path": None} for waveform in waveforms]}
    dataset = Dataset.from_dict(columns).cast_column("audio", Audio(decode=False))
    streamed = pipe((waveform for waveform in waveforms), batch_size=3)
    assert isinstance(streamed, Iterator)
    assert texts_of(streamed) == texts
    assert texts_of(pipe(KeyDataset(dataset, "audio"), batch_size=3)) == texts
    assert texts_of(pipe(list(waveforms), batch_size=3, num_workers=2)) == texts
    assert pipe([]) == []


def wav_bytes(waveform: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, 16000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_pipeline_generate_and_processor_give_one_text(model, processor, pipe, waveforms, tmp_path):
    """As `model.generate(**processor(audio))` and `batch_decode` write it, from a file or its samples."""
    path = tmp_path / "speech.wav"
    soundfile.write(path, waveforms[0], 16000, subtype="FLOAT")
    wanted = pipe(str(path), max_new_tokens=9)["text"]
    assert pipe(waveforms[0], max_new_tokens=9)["text"] == wanted != ""
    for inputs in (processor(waveforms[0]), processor(str(path)), processor.apply_transcription_request(str(path))):
        sequences = model.generate(**inputs, max_new_tokens=9)
        assert processor.batch_decode(sequences)[0].strip() == wanted
        assert processor.batch_decode(sequences[:, inputs["input_ids"].shape[1] :])[0].strip() == wanted


def test_workers_do_not_repeat_a_generator(pipe, waveforms):
    with pytest.raises(ValueError, match="num_workers"):
        list(pipe((waveform for waveform in waveforms), num_workers=2))


def test_bad_item_is_named(pipe, waveforms, tmp_path):
    (tmp_path / "notes.wav").write_text("these are notes")
    bad = waveforms[0].copy()
    bad[7] = np.nan
    results = pipe([waveforms[0], waveforms[1], str(tmp_path / "notes.wav"), waveforms[2]], batch_size=2)
    assert results[2].keys() == {"text", "error"} and results[2]["text"] == ""
    assert re.match(r"item 2: .*notes\.wav: cannot be decoded", results[2]["error"])
    assert [*results[:2], results[3]] == pipe(waveforms[:3])
    assert re.match("item 1: .*NaN", list(pipe(item for item in (waveforms[0], bad)))[1]["error"])
    assert "list" in pipe([[waveforms[0]]])[0]["error"]
    with pytest.raises(AudioError, match="^[^:]*notes.wav: "):
        pipe(str(tmp_path / "notes.wav"))


# What comes out


@pytest.mark.parametrize("batch_size", [2, 3, 8])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_transcripts_do_not_depend_on_the_batch(pipe, waveforms, batch_size, num_beams):
    alone = [pipe(waveform, num_beams=num_beams) for waveform in waveforms]
    assert len(set(texts_of(alone))) > len(alone) // 2  # the model listens
    assert pipe(list(waveforms), batch_size=batch_size, num_beams=num_beams) == alone


def test_same_transcripts_with_a_tokenizer_that_pads_on_the_right(model, processor, waveforms, texts):
    processor = copy.deepcopy(processor)
    processor.tokenizer.padding_side = "right"
    right = EntropyASRPipeline(model=model, processor=processor, device="cpu")
    assert texts_of(right(list(waveforms), batch_size=8)) == texts


def test_audio_without_speech_has_no_text(pipe):
    ends_at_once = {"max_new_tokens": 1, "forced_eos_token_id": pipe.processor.end_of_text_id}
    assert pipe(np.zeros(8000, np.float32), generate_kwargs=ends_at_once) == {"text": ""}


def test_only_surrounding_white_space_is_taken_off(pipe, waveforms, monkeypatch):
    monkeypatch.setattr(pipe.processor, "decode", lambda sequence: "\n Yes,  two  spaces. \t")
    assert pipe(waveforms[0]) == {"text": "Yes,  two  spaces."}


# What is asked for


@pytest.mark.parametrize("request_", [{"language": "en"}, {"language": "Chinese"}])
def test_language_reaches_the_prompt(model, processor, pipe, waveforms, texts, request_):
    inputs = processor.apply_transcription_request(waveforms[0], **request_)
    sequence = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0]
    text = pipe(waveforms[0], max_new_tokens=12, guards={"letters": False}, **request_)["text"]
    assert text == processor.decode(sequence).strip()
    assert not texts[0].startswith(text)


def test_arguments_of_the_pipeline_are_defaults_of_its_calls(model, processor, waveforms, pipe):
    defaults = EntropyASRPipeline(model=model, processor=processor, device="cpu", language="zh", max_new_tokens=5)
    expected = pipe(waveforms[0], language="zh", generate_kwargs={"max_new_tokens": 5, "num_beams": 2})
    assert defaults(waveforms[0], num_beams=2) == expected
    chosen = pipe(waveforms[0], max_new_tokens=5)
    assert defaults(waveforms[0], language="auto") == chosen != defaults(waveforms[0])


def count_new_tokens(pipe, monkeypatch) -> list[int]:
    """Lengths of the longest rows that `generate` gives from now on."""
    lengths = []
    generate = type(pipe.model).generate

    def counted(self, **inputs):
        sequences = generate(self, **inputs)
        lengths.append(sequences.shape[1] - inputs["input_ids"].shape[1])
        return sequences

    monkeypatch.setattr(type(pipe.model), "generate", counted)
    return lengths


def test_transcript_length_is_bounded_by_the_audio(pipe, monkeypatch):
    lengths = count_new_tokens(pipe, monkeypatch)
    endless = {"suppress_tokens": [pipe.processor.end_of_text_id]}
    noise, heard = make_noise(3.2), {"no_speech": False}
    pipe(make_noise(0.1), generate_kwargs=endless, guards=heard)
    pipe(noise, generate_kwargs=endless, guards=heard)
    pipe(noise, generate_kwargs=endless, guards=heard, max_new_tokens=30)
    pipe(noise, generate_kwargs={"generation_config": GenerationConfig(max_new_tokens=7, **endless)}, guards=heard)
    assert lengths == [8 + 4, 8 + 4 * 20, 30, 7]


def test_decoding_is_greedy_and_bounded_whatever_the_checkpoint_says(model, processor, waveforms, texts):
    model = copy.deepcopy(model)
    model.generation_config.update(do_sample=True, temperature=50.0, max_new_tokens=1)
    sampling = EntropyASRPipeline(model=model, processor=processor, device="cpu")
    assert texts_of(sampling(list(waveforms))) == texts
    torch.manual_seed(0)
    assert texts_of(sampling(list(waveforms), generate_kwargs={"do_sample": True})) != texts


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"return_timestamps": "sentence"}, "return_timestamps.*'word'.*True for segments.*sentence"),
        ({"hotword_tolerance": 0.5}, "tolerance"),
        ({"guards": {"no_speach": False}}, "guards.*no_speech"),
        ({"hotwords": ["Kaldi", "!"]}, "'!' has 0 phonemes"),
        ({"chunk_length_s": 0.5}, "chunk_length_s"),
        ({"chunk_length_s": 10, "num_workers": 2}, "num_workers"),
        ({"stride_length_s": [4, 2]}, "stride_length_s"),
        ({"temperature": 0.5}, "temperature.*generate_kwargs"),
        ({"langauge": "en"}, "langauge"),
        ({"language": "xx"}, "xx"),
        ({"language": ["en"]}, "language \\['en'\\] is not understood"),
        ({"hotwords": "Kaldi"}, "hotwords"),
        ({"hotwords": [["Kaldi"], ["icefall"]]}, "hotwords"),
        ({"num_beams": 2, "generate_kwargs": {"num_beams": 3}}, "num_beams"),
        ({"generate_kwargs": {"max_length": 100}}, "max_new_tokens"),
        ({"generate_kwargs": {"language": "zh"}}, "language.*beside"),
        ({"generate_kwargs": {"guards": False}}, "guards.*beside"),
        ({"return_timestamps": True, "chunk_length_s": 0}, "return_timestamps=True"),
        ({"generate_kwargs": {"num_beams": 2, "num_return_sequences": 3}}, "num_return_sequences"),
        ({"generate_kwargs": {"return_dict_in_generate": True}}, "return_dict_in_generate"),
        ({"generate_kwargs": {"output_scores": True}}, "output_scores"),
        ({"generate_kwargs": {"prompt_lookup_num_tokens": 3}}, "prompt_lookup_num_tokens"),
        ({"generate_kwargs": {"assistant_model": object()}}, "assistant_model"),
        ({"generate_kwargs": {"prefill_chunk_size": 2}}, "prefill_chunk_size"),
        ({"generate_kwargs": {"no_such_argument": 1}}, "no_such_argument"),
    ],
)
def test_what_cannot_be_honoured_is_refused(pipe, waveforms, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        pipe(waveforms[0], **arguments)


def test_unknown_arguments_are_refused_when_the_pipeline_is_made(checkpoint):
    with pytest.raises(ValueError, match="stride_length_s"):
        pipeline(TASK, str(checkpoint), device="cpu", stride_length_s=5)


def test_saying_no_to_what_is_not_there_is_fine(pipe, waveforms, texts):
    assert pipe(waveforms[0], return_timestamps=False, chunk_length_s=0)["text"] == texts[0]


# The command line, with a real model


def write_files(folder: Path) -> list[str]:
    """Nine usable recordings, of 8 channels, 192 kHz and other kinds."""
    files = []
    for number in range(6):
        path = folder / f"mono{number}.wav"
        soundfile.write(path, make_noise(0.3 + 0.2 * number, seed=number), 16000)
        files.append(str(path))
    kinds = {"channels.wav": (16000, 8), "rate.wav": (192000, 1), "stereo.flac": (44100, 2)}
    for name, (sampling_rate, channels) in kinds.items():
        samples = np.stack([make_noise(0.5, sampling_rate, seed) for seed in range(channels)], axis=1)
        soundfile.write(folder / name, samples, sampling_rate)
        files.append(str(folder / name))
    return files


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "nan"])
def test_one_bad_file_of_ten_costs_one_line(checkpoint, tmp_path, capsys, kind):
    files = write_files(tmp_path)
    bad = tmp_path / f"{kind}.wav"
    if kind == "nan":
        soundfile.write(bad, np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    else:
        contents = {"truncated": Path(files[5]).read_bytes()[:9000], "empty": b"", "text": b"no sound\n" * 9}
        bad.write_bytes(contents[kind])
    files.insert(4, str(bad))
    options = ["--model", str(checkpoint), "--device", "cpu", "--batch_size", "4"]
    assert cli.main(["transcribe", *files, *options]) == 1
    captured = capsys.readouterr()
    lines = [line.split("\t") for line in captured.out.splitlines()]
    assert [file for file, _ in lines] == [file for file in files if file != str(bad)]
    assert all(text for _, text in lines)
    errors = [line for line in captured.err.splitlines() if line.startswith("entropy-asr: error: ")]
    assert len(errors) == 1 and str(bad) in errors[0]


def test_command_line_prints_the_pipelines_texts(checkpoint, pipe, tmp_path, capsys):
    files = write_files(tmp_path)
    options = ["--language", "en", "--num_beams", "2", "--format", "json", "--batch_size", "4"]
    assert cli.main(["transcribe", *files, "--model", str(checkpoint), "--device", "cpu", *options]) == 0
    expected = [pipe(file, language="en", num_beams=2)["text"] for file in files]
    assert [row["text"] for row in json.loads(capsys.readouterr().out)] == expected
