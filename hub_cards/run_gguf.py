# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Text of a WAV file by an exported encoder and llama.cpp: lies in the folder of an export with both halves.

    pip install numpy onnxruntime llama-cpp-py-sync
    python run_gguf.py speech.wav [--int8]

Tokens of the prompt and embeddings of the speech are handed to llama.cpp one after the other, at the positions where
they stand in the prompt; then the most probable token is taken until one ends the text.
"""

import argparse
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib
from run_onnx import check_length, compute_features, encode, read_wave


# Of a text, in tokens for each audio token and beyond them: as the whole model bounds it.
TOKENS_PER_AUDIO_TOKEN, FIRST_TOKENS = 4, 8


class LanguageModel:
    """A GGUF file in llama.cpp, with the keys and values of one text.

    Args:
        path: of the file.
        num_positions: of the longest text with its prompt.
        num_threads: that compute.

    Raises:
        ValueError: llama.cpp cannot read the file.
    """

    def __init__(self, path: Path, num_positions: int, num_threads: int = 1):
        self.ffi, self.lib = get_ffi(), get_lib()
        # Its messages, of which there are hundreds for each file, are of no use here.
        self._quiet = self.ffi.callback("ggml_log_callback", lambda level, text, data: None)
        self.lib.llama_log_set(self._quiet, self.ffi.NULL)
        self.lib.llama_backend_init()
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), self.lib.llama_model_default_params())
        if self.model == self.ffi.NULL:
            raise ValueError(f"{path}: llama.cpp cannot read it")
        settings = self.lib.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = num_positions
        settings.n_threads = settings.n_threads_batch = num_threads
        self.context = self.lib.llama_init_from_model(self.model, settings)
        self.vocabulary = self.lib.llama_model_get_vocab(self.model)
        self.position = 0

    def read(self, tokens: Sequence[int] | None = None, embeddings: np.ndarray | None = None) -> np.ndarray:
        """Logits `(vocabulary,)` of what comes behind tokens, or behind embeddings `(num_tokens, size)`."""
        num = len(embeddings if tokens is None else tokens)
        batch = self.lib.llama_batch_init(num, 0 if embeddings is None else embeddings.shape[1], 1)
        batch.n_tokens = num
        if embeddings is not None:
            values = np.ascontiguousarray(embeddings, np.float32)
            self.ffi.memmove(batch.embd, self.ffi.from_buffer(values), values.nbytes)
        for place in range(num):
            if tokens is not None:
                batch.token[place] = tokens[place]
            batch.pos[place] = self.position + place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = place == num - 1
        failed = self.lib.llama_decode(self.context, batch)
        self.lib.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode failed ({failed})")
        self.position += num
        size = self.lib.llama_vocab_n_tokens(self.vocabulary)
        logits = self.ffi.buffer(self.lib.llama_get_logits_ith(self.context, -1), 4 * size)
        return np.frombuffer(logits, np.float32).copy()

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, in which nothing is special."""
        written = text.encode()
        found = self.ffi.new("llama_token[]", len(written) + 1)
        num = self.lib.llama_tokenize(self.vocabulary, written, len(written), found, len(found), False, False)
        return [found[place] for place in range(num)]

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        pieces, room = [], self.ffi.new("char[]", 256)
        for token in tokens:
            length = self.lib.llama_token_to_piece(self.vocabulary, token, room, len(room), 0, False)
            pieces.append(self.ffi.buffer(room, length)[:])
        return b"".join(pieces).decode("utf-8", errors="replace")


def transcribe(folder: Path, samples: np.ndarray, int8: bool = False, name: str = "the recording") -> str:
    """Text of samples `(num_samples,)` in [-1, 1], at the encoder's rate.

    Args:
        folder: of the export.
        samples: of the recording.
        int8: whether the quantised encoder hears it.
        name: of the recording, for messages.

    Raises:
        ValueError: it is longer than the encoder takes, or no quantised encoder was exported.
    """
    settings = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    prompt: dict[str, Any] = settings["language_model"]
    kind = "int8_file" if int8 else "file"
    if kind not in settings["offline"]:
        raise ValueError("no quantised encoder was exported (--int8)")
    graph = folder / settings["offline"][kind]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    features = compute_features(samples, settings["features"], dict(np.load(folder / "features.npz")))
    check_length(features, settings, name)
    speech = encode(session, features)["audio_embeddings"][0]
    before, after = prompt["prompt_before_audio"], prompt["prompt_after_audio"]
    most = FIRST_TOKENS + TOKENS_PER_AUDIO_TOKEN * len(speech)
    model = LanguageModel(folder / "language_model.gguf", len(before) + len(speech) + len(after) + most)
    model.read(before)
    model.read(embeddings=speech)
    logits, tokens = model.read(after), []
    ends = np.ravel(prompt["eos_token_id"]).tolist()
    unwanted = prompt["suppressed_token_ids"]
    while len(tokens) < most:
        logits[unwanted] = -np.inf
        best = int(logits.argmax())
        if best in ends:
            break
        tokens.append(best)
        logits = model.read([best])
    return model.text_of(tokens).strip()


def main() -> None:
    """Print the text of a file."""
    parser = argparse.ArgumentParser(description="Text of a WAV file.")
    parser.add_argument("audio", help="WAV file: 16 bits, one channel, the encoder's sampling rate")
    parser.add_argument("--int8", action="store_true", help="the quantised encoder")
    args = parser.parse_args()
    folder = Path(__file__).parent
    rate = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))["features"]["sampling_rate"]
    try:
        print(transcribe(folder, read_wave(args.audio, rate), args.int8, args.audio))
    except (ValueError, OSError, EOFError, wave.Error) as error:
        parser.error(f"{args.audio}: {error}" if isinstance(error, (EOFError, wave.Error)) else str(error))


if __name__ == "__main__":
    main()
