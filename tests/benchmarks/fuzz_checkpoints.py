# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Areas of fuzzing whose inputs are folders of checkpoints: their configurations, their tokenizers, all of them.

A folder from strangers must not run code, read a pickle's objects, or open what lies outside of it.
"""

import json
import os
import pickle
import shutil
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from fuzz_areas import Area, sound
from mutations import mutated_bytes, mutated_text, mutated_value, pick
from small_models import build_model, build_tokenizer, save_adapters, save_public_parts, small_config

from entropy_asr.modeling import (
    EntropyASRFeatureExtractor,
    EntropyASRForConditionalGeneration,
    EntropyASRPhonemeTokenizer,
    EntropyASRProcessor,
    load_pipeline,
)


# What an evil folder's code or pickle would leave, and the value of all weights of a file outside of the folder.
CANARY = "code was run"
OUTSIDE_VALUE = 7.0
CONFIGURATIONS = ("config.json", "generation_config.json", "processor_config.json")


class Evil:
    """An object whose pickle runs code where it is loaded."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Checkpoints(Area):
    """Whole folders: weights, adapters, thin ones; damaged, or made by somebody who means harm."""

    name = "checkpoint folders"
    is_loaded = False

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        tokenizer = build_tokenizer(["<|im_start|>", "<|im_end|>", "<|audio|>"])
        processor = EntropyASRProcessor.from_components(EntropyASRFeatureExtractor(), tokenizer, small_config())
        model = build_model(small_config())
        for part in (model, processor):
            part.save_pretrained(folder / "whole")
        save_adapters(model, folder / "whole", folder / "adapters")
        self.seeds = {name: self._read(folder / name) for name in ("whole", "adapters")}
        (folder / "outside").mkdir()
        weights = {name: torch.full_like(tensor, OUTSIDE_VALUE) for name, tensor in model.state_dict().items()}
        safetensors.torch.save_file(
            {name: tensor for name, tensor in weights.items() if name != "lm_head.weight"},
            folder / "outside" / "model.safetensors",
            {"format": "pt"},
        )
        shutil.copytree(folder / "whole" / "phoneme_tokenizer", folder / "outside" / "phoneme_tokenizer")
        self.canary, self.outside = folder / CANARY, folder / "outside"
        self.recording = sound(16000, 0.2)[:, 0]
        # What is imported at the first use is not counted to any input.
        self.use(load_pipeline(folder / "whole", device="cpu"))

    @staticmethod
    def _read(folder: Path) -> dict[str, bytes]:
        """Files of a folder but the code, which nothing here shall use."""
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".py")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, bytes | None]]:
        """Which seed, and what is written over it; None: a file that is missing."""
        kind = "whole" if rng.random() < 0.75 else "adapters"
        ways = (self._damaged_weights, self._damaged_file, self._pickled, self._with_code, self._pointing_outside)
        return kind, pick(rng, ways)(rng, kind)

    def _weights_of(self, kind: str) -> str:
        return "model.safetensors" if kind == "whole" else "adapter_model.safetensors"

    def _damaged_weights(self, rng: np.random.Generator, kind: str) -> dict[str, bytes | None]:
        name = self._weights_of(kind)
        data = self.seeds[kind][name]
        if rng.random() < 0.3:
            return {name: mutated_bytes(rng, data)}
        size = struct.unpack("<Q", data[:8])[0]
        header = mutated_value(rng, json.loads(data[8 : 8 + size]))
        text = json.dumps(header).encode("utf-8", "surrogatepass")
        return {name: struct.pack("<Q", len(text)) + text + data[8 + size :]}

    def _damaged_file(self, rng: np.random.Generator, kind: str) -> dict[str, bytes | None]:
        name = pick(rng, sorted(self.seeds[kind]))
        if rng.random() < 0.2:
            return {name: None}
        return {name: mutated_bytes(rng, self.seeds[kind][name])}

    def _pickled(self, rng: np.random.Generator, kind: str) -> dict[str, bytes | None]:
        """Weights as a pickle that runs code, under the names that such files have had."""
        name = pick(rng, ("pytorch_model.bin", "adapter_model.bin", "model.pth.tar", "training_args.bin", "model.pt"))
        evil = pickle.dumps(Evil(str(self.canary)))
        if rng.random() < 0.5:
            path = self.folder / "evil.bin"
            torch.save({"args": Evil(str(self.canary)), "model_state_dict": {}}, path)
            evil = path.read_bytes()
        files: dict[str, bytes | None] = {name: evil}
        if rng.random() < 0.8:
            files[self._weights_of(kind)] = None
        if name == "model.pth.tar":
            files |= {"cmvn.ark": b"\0BFM \x04\x02\0\0\0", "config.json": None}
        return files

    def _with_code(self, rng: np.random.Generator, kind: str) -> dict[str, bytes | None]:
        """Code that configurations name, which only `trust_remote_code=True` may run."""
        code = f"import os\nos.makedirs({str(self.canary)!r}, exist_ok=True)\nclass Evil: pass\n".encode()
        names = ("AutoConfig", "AutoModel", "AutoProcessor", "AutoTokenizer", "AutoFeatureExtractor")
        entries = {
            "auto_map": dict.fromkeys(names, "evil.Evil") | {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
            "custom_pipelines": {"automatic-speech-recognition": {"impl": "evil.Evil", "pt": ["AutoModel"]}},
            "tokenizer_class": "evil.Evil",
            "processor_class": "Evil",
            "model_type": "evil",
            "feature_extractor_type": "Evil",
        }
        files: dict[str, bytes | None] = {
            "evil.py": code,
            "modeling_entropy_asr.py": code,
            "phoneme_tokenizer/evil.py": code,
        }
        for name in (
            "config.json",
            "processor_config.json",
            "tokenizer_config.json",
            "phoneme_tokenizer/tokenizer_config.json",
        ):
            if name in self.seeds[kind] and rng.random() < 0.6:
                chosen = [key for key in entries if rng.random() < 0.4]
                value = json.loads(self.seeds[kind][name]) | {key: entries[key] for key in chosen}
                files[name] = json.dumps(value).encode()
        if "chat_template.jinja" in self.seeds[kind] and rng.random() < 0.3:
            template = "{{ cycler.__init__.__globals__.os.mkdir('" + str(self.canary) + "') }}"
            files["chat_template.jinja"] = template.encode()
        return files

    def _pointing_outside(self, rng: np.random.Generator, kind: str) -> dict[str, bytes | None]:
        """Names of files that lead out of the folder."""
        outside = pick(rng, ("../outside", str(self.outside)))
        if rng.random() < 0.5 and kind == "whole":
            size = struct.unpack("<Q", self.seeds["whole"]["model.safetensors"][:8])[0]
            header = json.loads(self.seeds["whole"]["model.safetensors"][8 : 8 + size])
            names = [name for name in header if name != "__metadata__"]
            index = {"metadata": {}, "weight_map": dict.fromkeys(names, f"{outside}/model.safetensors")}
            return {"model.safetensors": None, "model.safetensors.index.json": json.dumps(index).encode()}
        files: dict[str, bytes | None] = {}
        for name, key, value in (
            ("phoneme_tokenizer/tokenizer_config.json", "vocab_file", f"{outside}/phoneme_tokenizer/phonemes.json"),
            (
                "phoneme_tokenizer/tokenizer_config.json",
                "common_words_file",
                f"{outside}/phoneme_tokenizer/common_words.json",
            ),
            ("tokenizer_config.json", "tokenizer_file", f"{outside}/model.safetensors"),
            ("config.json", "thin_adapters", pick(rng, (0, 1, -1, 10**9, "1", "../outside", [1]))),
            ("config.json", "_name_or_path", outside),
            ("config.json", "transformers_weights", f"{outside}/model.safetensors"),
            ("adapter_config.json", "base_model_name_or_path", pick(rng, ("", outside, "../whole", 3, ["a"]))),
        ):
            if name in self.seeds[kind] and rng.random() < 0.4:
                files[name] = json.dumps(json.loads(files.get(name) or self.seeds[kind][name]) | {key: value}).encode()
        return files

    def run(self, value: tuple[str, dict[str, bytes | None]]) -> None:
        folder = self._written(*value)
        with Watch(self.outside) as watch:
            try:
                self.is_loaded = False
                pipeline = load_pipeline(folder, device="cpu")
                self.is_loaded = True
                self.use(pipeline)
            finally:
                assert not self.canary.exists(), CANARY
                assert not watch.opened, f"outside of the folder: {watch.opened}"
        means = [float(weight.float().mean()) for weight in pipeline.model.parameters()]
        assert OUTSIDE_VALUE not in means, "weights are from outside of the folder"

    def use(self, pipeline: Any) -> None:
        """What loads shall also do something."""
        pipeline.model.generation_config.max_new_tokens = 2
        assert isinstance(pipeline(self.recording, guards=False)["text"], str)

    def _written(self, kind: str, files: dict[str, bytes | None]) -> Path:
        """A folder of the seed with these files over it."""
        folder = self.folder / "input"
        shutil.rmtree(folder, ignore_errors=True)
        if self.canary.exists():
            shutil.rmtree(self.canary)
        for name, data in {**self.seeds[kind], **files}.items():
            if data is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        return folder

    def names(self, value: Any) -> Sequence[str]:
        # What is used may say of its own settings alone what is wrong with them.
        return () if self.is_loaded else (str(self.folder / "input"),)


class Watch:
    """Files below a folder that Python opens meanwhile."""

    current: "Watch | None" = None

    def __init__(self, folder: Path):
        self.folder, self.opened = str(folder), []

    def __enter__(self) -> "Watch":
        if Watch.current is None:
            sys.addaudithook(_watch)
        Watch.current = self
        return self

    def __exit__(self, *_: object) -> None:
        self.folder = "\0"


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and Watch.current is not None:
        path = os.path.realpath(arguments[0]) if "\0" not in arguments[0] else ""
        if path.startswith(Watch.current.folder):
            Watch.current.opened.append(path)


class Configurations(Checkpoints):
    """The JSON files that say what a model, its generation and its processor are."""

    name = "configuration files"

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, bytes | None]]:
        name = pick(rng, CONFIGURATIONS)
        text = self.seeds["whole"][name]
        if rng.random() < 0.2:
            return "whole", {name: mutated_bytes(rng, text)}
        if rng.random() < 0.1:
            return "whole", {name: mutated_text(rng, text.decode()).encode("utf-8", "surrogatepass")}
        return "whole", {name: json.dumps(mutated_value(rng, json.loads(text))).encode()}


class Tokenizers(Checkpoints):
    """The files of both tokenizers; that of phonemes is also read by itself."""

    name = "tokenizer files"

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, bytes | None]]:
        phonemes = [name for name in self.seeds["whole"] if name.startswith("phoneme_tokenizer/")]
        kind, names = ("phonemes", phonemes[:-1]) if rng.random() < 0.5 else ("whole", [*phonemes, *TOKENIZER])
        name = pick(rng, names)
        text = self.seeds["whole"][name]
        if rng.random() < 0.3 or name.endswith(".jinja"):
            return kind, {name: mutated_bytes(rng, text)}
        return kind, {name: json.dumps(mutated_value(rng, json.loads(text))).encode()}

    def run(self, value: tuple[str, dict[str, bytes | None]]) -> None:
        folder = self._written("whole", value[1])
        if value[0] == "whole":
            processor = EntropyASRProcessor.from_pretrained(folder)
            processor(self.recording)
            assert isinstance(processor.decode([5, 6, 7]), str)
            return
        files = [folder / "phoneme_tokenizer" / name for name in ("phonemes.json", "common_words.json")]
        tokenizer = EntropyASRPhonemeTokenizer(str(files[0]), common_words_file=str(files[1]))
        assert isinstance(tokenizer.decode([2, 3, 4]), str)
        assert all(isinstance(words, str) for words in tokenizer.common_words("en"))


TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class ThinCheckpoints(Checkpoints):
    """Folders without the weights that public models give; these lie outside, which their configuration says."""

    name = "thin checkpoint folders"

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        whisper, language_model = save_public_parts(folder)
        model = EntropyASRForConditionalGeneration.from_components(whisper, language_model)
        processor = EntropyASRProcessor.from_components(whisper, language_model, model.config)
        model.save_pretrained(folder / "thin", thin=True)
        processor.save_pretrained(folder / "thin")
        self.seeds["whole"] = self._read(folder / "thin")

    def draw(self, rng: np.random.Generator) -> tuple[str, dict[str, bytes | None]]:
        if rng.random() < 0.5:
            config = json.loads(self.seeds["whole"]["config.json"])
            parts = mutated_value(rng, {key: config[key] for key in ("public_parts", "thin_adapters")})
            return "whole", {"config.json": json.dumps(config | parts).encode()}
        return "whole", pick(rng, (self._damaged_weights, self._damaged_file))(rng, "whole")

    def _weights_of(self, kind: str) -> str:
        return "model.thin.safetensors"
