# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How well the spoken language is told: by the language model, by the phoneme head, and by both.

    python tests/benchmarks/benchmark_spoken_language.py --data_dir ../shared/data [--model M] [--rows 50]

On development rows (`--split test` for test rows) of data sets in English and Mandarin: how often the more probable
language is the one that was spoken, the mean negative logarithm of the probability of that one (0 at best; ln 2 = 0.69
for a coin), the lowest probability that it got, and how much of the language model's first tokens is of no language.
"Asked" is the pipeline where the prompt names a language, in turn the right and the wrong one: the head tells alone.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES
from entropy_asr.modeling.pipeline_entropy_asr import EntropyASRPipeline, load_pipeline
from entropy_asr.modeling.spoken_language_entropy_asr import (
    FirstTokenLanguages,
    language_probabilities,
    phoneme_language_shares,
)
from entropy_asr.trainers.commands.models import default_model
from entropy_asr.trainers.data.data_source import DataSource
from entropy_asr.trainers.data.decoding import read_samples
from entropy_asr.trainers.data.sources import load_source


SETS = ("speechocean762", "librispeech_subset", "aishell_sample", "audio_cmn_words")
Probabilities = dict[str, dict[str, float]]


@torch.no_grad()
def tell(pipe: EntropyASRPipeline, samples: np.ndarray) -> tuple[Probabilities, float]:
    """Probabilities of each language by each witness, and the share of first tokens that are of no language."""
    model, processor = pipe.model, pipe.processor
    inputs = processor.apply_transcription_request(samples)
    speech = model.encode_speech(inputs["input_features"], inputs["input_features_mask"])
    embeds = model.embed_prompt(inputs["input_ids"], speech)
    scores = model(inputs_embeds=embeds, attention_mask=inputs["attention_mask"], logits_to_keep=1).logits[:, -1]
    listener = FirstTokenLanguages(processor.tokenizer, 1)
    listener(inputs["input_ids"][:, :0], scores)
    begun = listener.mass[0]
    frames = speech.phoneme_logits[0][speech.frame_mask[0].bool()].float().log_softmax(-1)
    heard = phoneme_language_shares(frames, processor.phoneme_tokenizer)
    told = {
        "language model": language_probabilities(begun, None),
        "phoneme head": language_probabilities(None, heard),
        "both": language_probabilities(begun, heard),
    }
    return told, max(0.0, 1 - begun.sum().item())


def asked(pipe: EntropyASRPipeline, samples: np.ndarray, number: int) -> dict[str, float]:
    """What the pipeline tells where it is asked for one of two languages; that of the other is the rest."""
    names = list(LANGUAGES)
    result = pipe(samples, language=names[number % len(names)], return_language=True, guards={"no_speech": False})
    rest = {name: (1 - result["language_probability"]) / (len(names) - 1) for name in names}
    return rest | {result["language"]: result["language_probability"]}


def summary(told: list[tuple[str, dict[str, float]]]) -> dict[str, float]:
    right = [max(probabilities, key=probabilities.get) == language for language, probabilities in told]
    of_spoken = [probabilities[language] for language, probabilities in told]
    return {
        "right": round(sum(right) / len(right), 4),
        "log_loss": round(-sum(math.log(max(value, 1e-9)) for value in of_spoken) / len(of_spoken), 4),
        "lowest": round(min(of_spoken), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--rows", type=int, default=50)
    args = parser.parse_args()
    pipe = load_pipeline(args.model or default_model(), device="cpu")
    everything: dict[str, list[tuple[str, dict[str, float]]]] = {}
    for name in SETS:
        data = load_source(DataSource(path=str(args.data_dir / name), split=args.split))
        found: dict[str, list[tuple[str, dict[str, float]]]] = {}
        unassigned = []
        for number, index in enumerate(np.linspace(0, len(data) - 1, min(args.rows, len(data)))):
            row = data[int(index)]
            samples = read_samples(row)
            told, share = tell(pipe, samples)
            unassigned.append(share)
            for witness, probabilities in (told | {"asked": asked(pipe, samples, number)}).items():
                found.setdefault(witness, []).append((row["language"], probabilities))
        report = {"set": name, "rows": len(unassigned), "no_language": round(sum(unassigned) / len(unassigned), 4)}
        print(json.dumps(report | {witness: summary(pairs) for witness, pairs in found.items()}), flush=True)
        for witness, pairs in found.items():
            everything.setdefault(witness, []).extend(pairs)
    print(json.dumps({"set": "all"} | {witness: summary(pairs) for witness, pairs in everything.items()}), flush=True)


if __name__ == "__main__":
    main()
