# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""transformers' own server loads a checkpoint and answers OpenAI's requests with what the pipeline writes."""

import base64
import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import soundfile
from small_models import build_model, build_tokenizer, small_config

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRProcessor, load_pipeline


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """A folder with its code, as on the Hub."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
    model = build_model(small_config())
    model.generation_config.update(max_new_tokens=12, do_sample=False)
    model.save_pretrained(folder)
    processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def wav() -> bytes:
    """A second of a rising tone, as a file."""
    axis = np.arange(16000) / 16000
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * (200 + 300 * axis) * axis), 16000, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.fixture(scope="module")
def expected(checkpoint, wav) -> str:
    return load_pipeline(checkpoint, device="cpu")(wav, max_new_tokens=12, guards=False)["text"]


@pytest.fixture(scope="module")
def served(checkpoint) -> Iterator[str]:
    """Address of `transformers serve` in a process that knows the checkpoint's own code only."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", checkpoint, "--host", "127.0.0.1"]
    options = ["--port", str(port), "--device", "cpu", "--dtype", "float32", "--trust-remote-code"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output: list[str] = []
    threading.Thread(target=lambda: output.extend(process.stdout), daemon=True).start()
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, output)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait_for(address: str, process: subprocess.Popen, output: list[str]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, "".join(output)[-3000:]
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError("".join(output)[-3000:])


@pytest.fixture(scope="module")
def client(served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served}/v1", api_key="none", timeout=120, max_retries=0)


def test_audio_transcriptions(client, checkpoint, wav, expected):
    answer = client.audio.transcriptions.create(model=checkpoint, file=("tone.wav", wav))
    assert answer.text.strip() == expected != ""


def test_audio_transcriptions_as_they_are_written(served, checkpoint, wav, expected):
    """Server-sent events whose data is bare text (transformers 5.23), which OpenAI's client does not read."""
    request = {"model": checkpoint, "stream": "true"}
    answer = httpx.post(f"{served}/v1/audio/transcriptions", data=request, files={"file": wav}, timeout=120)
    assert answer.text.replace("data: ", "").replace("\n\n", "").strip() == expected


def test_chat_completions_with_input_audio(client, checkpoint, wav, expected):
    audio = {"data": base64.b64encode(wav).decode(), "format": "wav"}
    messages = [{"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}]
    answer = client.chat.completions.create(model=checkpoint, messages=messages, max_tokens=12)
    assert answer.choices[0].message.content.strip() == expected


def test_penalties_of_requests_do_not_read_the_prompt(client, checkpoint, wav, expected):
    """The instruction's letters may be written: with the prompt in view, a penalty of 5 forbids them."""
    audio = {"data": base64.b64encode(wav).decode(), "format": "wav"}
    messages = [{"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}]
    request = {"model": checkpoint, "messages": messages, "max_tokens": 12, "frequency_penalty": 4.0}
    answer = client.chat.completions.create(**request)
    pipe = load_pipeline(checkpoint, device="cpu")
    penalised = {"repetition_penalty": 5.0, "max_new_tokens": 12}
    wanted = pipe(wav, guards=False, generate_kwargs=penalised)["text"]
    assert answer.choices[0].message.content.strip() == wanted != expected
