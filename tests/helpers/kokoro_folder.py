# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A folder with the files of Kokoro, whose network is a handful of operators: phonemes become tones.

The `onnx` package would write such a file; its format is protocol buffers, of which this needs a few lines.
"""

import json
import math
import sys
import types
from pathlib import Path

import numpy as np

from entropy_asr.trainers.data.kokoro_phonemes import english_reader, mandarin_reader


SAMPLES_A_TOKEN = 600  # 25 ms at 24 kHz
VOICES = ("af_heart", "am_adam", "bf_emma", "zf_xiaoni", "zm_yunxi", "jf_alpha")
# Phonemes by which the tests tell who read what: letters, Mandarin's tones and what separates words.
SYMBOLS = " .,abcdefghijklmnopqrstuvwxyz→↗↓↘"
FLOAT, INT64 = 1, 7


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _node(operator: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    encoded = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, operator)
    for name, value in attributes.items():
        encoded += _field(5, _field(1, name) + _field(3, value) + _field(20, 2))
    return _field(1, encoded)


def _constant(name: str, values: np.ndarray) -> bytes:
    shape = b"".join(_field(1, size) for size in values.shape)
    kind = INT64 if values.dtype == np.int64 else FLOAT
    return _field(5, shape + _field(2, kind) + _field(8, name) + _field(9, values.tobytes()))


def _value(number: int, name: str, kind: int, shape: tuple[int | str, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(1, size) if isinstance(size, int) else _field(2, size)) for size in shape)
    return _field(number, _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes))))


def tone_network(tokens: str = "tokens", output_shape: tuple[int | str, ...] = ("samples",)) -> bytes:
    """An ONNX file: each token is 25 ms of a tone of 100 Hz and 20 times its id, 0 is silence; style is its level."""
    time = (np.arange(SAMPLES_A_TOKEN, dtype=np.float32) * (2 * math.pi / 24000)).reshape(1, -1)
    nodes = [
        _node("Cast", [tokens], "ids", to=FLOAT),
        _node("Reshape", ["ids", "column"], "rows"),
        _node("Sign", ["rows"], "heard"),
        _node("Mul", ["rows", "step"], "steps"),
        _node("Add", ["steps", "lowest"], "frequencies"),
        _node("Mul", ["frequencies", "speed"], "paced"),
        _node("Mul", ["paced", "time"], "angles"),
        _node("Sin", ["angles"], "tones"),
        _node("Mul", ["tones", "heard"], "spoken"),
        _node("ReduceMean", ["style"], "level", keepdims=0),
        _node("Mul", ["spoken", "level"], "waves"),
        _node("Reshape", ["waves", "flat"], "audio"),
    ]
    constants = [
        _constant("column", np.array([-1, 1], dtype=np.int64)),
        _constant("flat", np.array([1, -1] if len(output_shape) == 2 else [-1], dtype=np.int64)),
        _constant("step", np.array([20.0], dtype=np.float32)),
        _constant("lowest", np.array([100.0], dtype=np.float32)),
        _constant("time", time),
    ]
    values = [
        _value(11, tokens, INT64, (1, "length")),
        _value(11, "style", FLOAT, (1, 256)),
        _value(11, "speed", FLOAT, (1,)),
        _value(12, "audio", FLOAT, output_shape),
    ]
    graph = b"".join([*nodes, _field(2, "tones"), *constants, *values])
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def make_kokoro_folder(folder: Path) -> Path:
    """The files that packages of Kokoro put together: one network, vocab.json and the voices."""
    (folder / "voices").mkdir(parents=True)
    (folder / "model.int8.onnx").write_bytes(tone_network())
    vocabulary = {symbol: index for index, symbol in enumerate(SYMBOLS, 1)}
    (folder / "vocab.json").write_text(json.dumps({"vocab": vocabulary}), encoding="utf-8")
    for index, name in enumerate(VOICES, 1):
        # The level says which voice it is, and for how many phonemes.
        levels = 0.05 * index + np.arange(510, dtype=np.float32) / 10000
        (folder / "voices" / f"{name}.bin").write_bytes(np.repeat(levels, 256).astype(np.float32).tobytes())
    return folder


def make_hub_layout(folder: Path) -> Path:
    """The same as repositories on the Hub have it: other places, another name of an input and shape of the output."""
    made = make_kokoro_folder(folder)
    (made / "onnx").mkdir()
    (made / "model.int8.onnx").unlink()
    (made / "onnx" / "model_quantized.onnx").write_bytes(tone_network("input_ids", (1, "samples")))
    vocabulary = json.loads((made / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    (made / "vocab.json").unlink()
    (made / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}), encoding="utf-8")
    return made


class EnglishReader:
    """In the place of hibari's: a word is read as its letters, in Britain without r."""

    def __init__(self, british: bool = False):
        self.british = british

    def __call__(self, text: str) -> str:
        return "".join(c for c in text.lower() if c in SYMBOLS and not (self.british and c == "r"))


class MandarinReader:
    """In the place of misaki's: a character is read as one letter and a tone."""

    def __call__(self, text: str) -> tuple[str, None]:
        return " ".join(chr(97 + ord(c) % 26) + "→" for c in text if c >= "一"), None


def install_readers(monkeypatch) -> None:
    """Puts them where the packages are imported from, which need not be installed; [`forget_readers`] afterwards."""
    forget_readers()
    modules = {
        "hibari": {},
        "hibari.g2p": {"G2P": EnglishReader},
        "misaki": {},
        "misaki.zh": {"ZHG2P": MandarinReader},
        "jieba": {"setLogLevel": lambda level: None},
    }
    for name, content in modules.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


def forget_readers() -> None:
    english_reader.cache_clear()
    mandarin_reader.cache_clear()
