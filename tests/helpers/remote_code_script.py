# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run by test_remote_code.py in a Python that cannot import the package: loads checkpoints by their own code.

Arguments: folders of the full model, of the CTC model, to save to, of a thin model. Prints what it found as JSON.
"""

import json
import sys
from pathlib import Path


class Blocker:
    """Makes packages look as if they were not installed."""

    names = ("entropy_asr", "phonemizer", "espeakng_loader", "pypinyin", "trl")

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())

import numpy as np  # noqa: E402
import transformers  # noqa: E402
from transformers import pipeline  # noqa: E402


def load(auto_class: str, folder: str):
    return getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)


def tokens(model, processor, waveforms) -> list[list[int]]:
    inputs = processor(waveforms)
    return model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, inputs["input_ids"].shape[1] :].tolist()


def main(full: str, ctc: str, again: str, thin: str) -> dict:
    waveforms = list(np.load(Path(full) / "waveforms.npz").values())
    processor = load("AutoProcessor", full)
    classes = ("AutoModel", "AutoModelForSpeechSeq2Seq", "AutoModelForMultimodalLM")
    models = {name: load(name, full) for name in classes}
    ctc_model, extractor = load("AutoModelForCTC", ctc), load("AutoFeatureExtractor", ctc)
    features = extractor(waveforms, return_tensors="pt")
    result = {
        "modules": sorted({type(model).__module__.split(".")[0] for model in models.values()}),
        "tokens": {name: tokens(model, processor, waveforms) for name, model in models.items()},
        "classes": {
            "AutoConfig": type(load("AutoConfig", full)).__name__,
            "AutoFeatureExtractor": type(load("AutoFeatureExtractor", full)).__name__,
            "AutoConfig of ctc": type(load("AutoConfig", ctc)).__name__,
            "AutoTokenizer of ctc": type(load("AutoTokenizer", ctc)).__name__,
            "phoneme_tokenizer": type(processor.phoneme_tokenizer).__name__,
        },
        "phoneme": processor.phoneme_tokenizer.convert_ids_to_tokens(5),
        "common words": [processor.phoneme_tokenizer.common_words(code) for code in ("en", "zh")],
        "ctc_logits": ctc_model(**features).logits[0, :3, :5].tolist(),
    }
    result["thin"] = {
        name: float(tensor.float().sum()) for name, tensor in load("AutoModel", thin).state_dict().items()
    }
    transcribe = pipeline("automatic-speech-recognition", full, trust_remote_code=True)
    result["texts"] = [text["text"] for text in transcribe([*waveforms], batch_size=2)]
    # Without the extra g2p there is no text to phonemes, but an index and flags work.
    heard = transcribe(
        waveforms[0], return_flags=True, guards={"length_bound": False, "no_speech": False}, max_new_tokens=5
    )
    result["flags"] = heard["flags"]
    try:
        transcribe(waveforms[0], hotwords=["Kaldi"])
    except ImportError as error:
        result["missing"] = str(error)
    package = type(transcribe).__module__.rpartition(".")[0]
    index_class = sys.modules[f"{package}.hotwords_entropy_asr"].HotwordIndex
    indexed = transcribe([*waveforms], hotwords=index_class({"Kaldi": ["k", "æ", "l"]}), batch_size=2)
    result["texts with an index"] = [text["text"] for text in indexed]
    # What is saved from here must be as complete as what was loaded.
    transcribe.model.save_pretrained(again)
    processor.save_pretrained(again)
    result["tokens"]["saved again"] = tokens(load("AutoModel", again), load("AutoProcessor", again), waveforms)
    transcribe = pipeline("automatic-speech-recognition", again, trust_remote_code=True)
    result["texts again"] = [text["text"] for text in transcribe([*waveforms])]
    return result


print(json.dumps(main(*sys.argv[1:])))
