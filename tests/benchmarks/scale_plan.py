# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paper's recipe on a cluster, by calculation: arithmetic, storage, memory, and what would break first.

    python tests/benchmarks/scale_plan.py > trainers/recipes/SCALE.md   # --hours 560000 --gpus 64

Nothing of it was run. Steps and batches are read from `paper.yaml`, sizes are those of the configuration, and what
loading a second of audio costs is measured here, in processor time; all else is an assumption, which the page states.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
import yaml

from entropy_asr.modeling import EntropyASRConfig, EntropyASRFeatureExtractor, EntropyASRForConditionalGeneration
from entropy_asr.modeling.audio import load_audio


ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "spaces" / "demo" / "examples").glob("*.flac"))

# Assumptions. The peak is what NVIDIA states for dense bfloat16 of an H100 SXM; shares of it that training reaches.
PEAK_FLOPS, SHARES = 989e12, (0.2, 0.4)
GPUS_PER_MACHINE, CORES_PER_GPU = 8, 12
# Alignment has a smaller corpus (P1).
ALIGNMENT_HOURS = 50_000
SECONDS_PER_UTTERANCE, CHARACTERS_PER_SECOND, TEXT_TOKENS_PER_SECOND, PROMPT_TOKENS = 15.0, 15, 4.0, 20
# Bytes of a weight in training: float32 weights, gradients, and two moments of Adam.
BYTES_PER_WEIGHT = 16
ROWS_PER_PART = 1000


@dataclass(frozen=True)
class Stage:
    """A stage of the recipe.

    Args:
        encoder: Passes over the encoder in a step: 1 forward, 2 more backward through what is trained.
        language_model: The same of the language model; 2 in all where gradients only pass through it.
        views: How often an utterance is encoded, as by CR-CTC.
    """

    encoder: int
    language_model: int
    views: int = 1


STAGES = {
    "encoder": Stage(encoder=3, language_model=0, views=2),
    "alignment": Stage(encoder=1, language_model=2),
    "ia_sft": Stage(encoder=1, language_model=3),
    "joint_sft": Stage(encoder=3, language_model=3),
}


@dataclass(frozen=True)
class Sizes:
    """Weights of the paper's system, and operations of a forward pass for a second of speech."""

    encoder: int
    language_model: int
    encoder_flops: float
    language_model_flops: float


def sizes(config: EntropyASRConfig | None = None) -> Sizes:
    """Of the preset `paper`, without making its weights: two operations for a weight and position, and attention's."""
    config = config or EntropyASRConfig.paper()
    with torch.device("meta"):
        model = EntropyASRForConditionalGeneration(config).model
    encoder = sum(weight.numel() for weight in model.audio_tower.parameters())
    language_model = sum(weight.numel() for weight in model.language_model.parameters())
    audio, text = config.audio_config, config.text_config
    frames = 25.0
    tokens = frames / 4 + TEXT_TOKENS_PER_SECOND + PROMPT_TOKENS / SECONDS_PER_UTTERANCE
    # Scores and their sum over values: 4 operations for each pair of positions and channel; half of them are masked.
    pairs = 4 * audio.num_hidden_layers * audio.hidden_size * frames * SECONDS_PER_UTTERANCE
    width = text.num_attention_heads * text.head_dim
    text_pairs = 2 * text.num_hidden_layers * width * tokens * SECONDS_PER_UTTERANCE
    # Each token meets all layers, and those of the text the output layer, which is the embedding.
    embedding = text.vocab_size * text.hidden_size
    head = embedding * TEXT_TOKENS_PER_SECOND
    return Sizes(
        encoder,
        language_model,
        frames * (2 * encoder + pairs),
        tokens * (2 * (language_model - embedding) + text_pairs) + 2 * head,
    )


def processor_seconds(call: Callable[[], object], repeat: int = 5) -> float:
    """Median processor time of a call."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return sorted(times)[repeat // 2]


def loading_cost() -> tuple[float, float, float]:
    """Bytes of FLAC, and processor seconds of decoding and of features, for a second of speech."""
    seconds = sum(soundfile.info(path).duration for path in EXAMPLES)
    contents = [path.read_bytes() for path in EXAMPLES]
    extractor = EntropyASRFeatureExtractor()
    waveforms = [load_audio(content) for content in contents]
    decode = processor_seconds(lambda: [load_audio(content) for content in contents])
    features = processor_seconds(lambda: [extractor(wave, sampling_rate=16000) for wave in waveforms])
    return sum(map(len, contents)) / seconds, decode / seconds, features / seconds


def recipe_rows(recipe: dict, found: Sizes, gpus: int, hours: float) -> list[str]:
    """A row for each stage: audio that it hears, operations, and days at each share of the peak."""
    rows = []
    for name, stage in STAGES.items():
        training, launch = recipe["stages"][name]["training"], recipe["stages"][name]["launch"]
        batch = training["max_batch_duration"] * training["gradient_accumulation_steps"] * launch["num_processes"]
        heard = batch * training["max_steps"]
        flops = stage.views * stage.encoder * found.encoder_flops + stage.language_model * found.language_model_flops
        # Pretraining goes on beside alignment and IA-SFT: each has half of the cluster.
        used = gpus if name == "joint_sft" else gpus // 2
        days = [heard * flops / (used * PEAK_FLOPS * share) / 86400 for share in SHARES]
        times = heard / 3600 / (ALIGNMENT_HOURS if name == "alignment" else hours)
        cells = [f"{batch / 3600:.1f}", f"{heard / 3.6e6:,.0f}", f"{times:.1f}", f"{flops / 1e9:,.0f}"]
        rows.append(f"| `{name}` | {' | '.join(cells)} | {used} | {' | '.join(f'{day:.1f}' for day in days)} |")
    return rows


def fastest_hearing(found: Sizes, gpus: int) -> tuple[str, float]:
    """The stage that takes in most audio, and its seconds of audio a second on the whole cluster."""
    rates = {
        name: gpus
        * PEAK_FLOPS
        * SHARES[-1]
        / (stage.views * stage.encoder * found.encoder_flops + stage.language_model * found.language_model_flops)
        for name, stage in STAGES.items()
    }
    name = max(rates, key=rates.get)
    return name, rates[name]


def data_figures(found: Sizes, hours: float, gpus: int) -> dict[str, str]:
    """What is read, and what reading costs."""
    seconds, machines = hours * 3600, gpus // GPUS_PER_MACHINE
    num_bytes, decode, features = loading_cost()
    name, rate = fastest_hearing(found, gpus)
    return {
        "rows": f"{seconds / SECONDS_PER_UTTERANCE / 1e6:,.0f} M",
        "flac": f"{seconds * num_bytes / 1e12:.0f} TB",
        "flac_rate": f"{num_bytes / 1000:.0f} kB",
        "pcm": f"{seconds * 32000 / 1e12:.0f} TB",
        "name": name,
        "rate": f"{rate / 3600:.0f}",
        "network": f"{rate * num_bytes / machines / 1e9:.1f} GB",
        "decode": f"{1000 * decode:.1f} ms",
        "features": f"{1000 * features:.1f} ms",
        "cores": f"{rate * (decode + features) / gpus:.0f}",
        "cores_there": str(CORES_PER_GPU),
        "pool": f"{2000 * SECONDS_PER_UTTERANCE * num_bytes / 1e9:.1f} GB",
    }


def memory_figures(found: Sizes, recipe: dict, hours: float, gpus: int) -> dict[str, str]:
    """What is held and written."""
    rows = hours * 3600 / SECONDS_PER_UTTERANCE
    # A row's text, duration, and places in three lists, as CPython 3.11 holds them; language codes are shared.
    text = 49 + round(CHARACTERS_PER_SECOND * SECONDS_PER_UTTERANCE) + 24 + 3 * 8
    weights = found.encoder + found.language_model
    training = recipe["stages"]["encoder"]["training"]
    return {
        "row_bytes": str(text),
        "loaded": f"{rows * text / 1e9:,.0f} GB",
        "loaded_machine": f"{rows * text * GPUS_PER_MACHINE / 1e9:,.0f} GB",
        "state": f"{weights * BYTES_PER_WEIGHT / 1e9:.0f} GB",
        "state_per_gpu": f"{weights * BYTES_PER_WEIGHT / 1e9 / (gpus // 2):.1f} GB",
        "checkpoint": f"{weights * 12 / 1e9:.0f} GB",
        "snapshot": f"{found.encoder * 4 / 1e9:.1f} GB",
        "checks": str((training["max_steps"] - training["drift_reference_step"]) // training["drift_interval"]),
        "parts": f"{math.ceil(rows / ROWS_PER_PART):,}",
        "rows_per_part": str(ROWS_PER_PART),
    }


def page(hours: float, gpus: int) -> str:
    """The page."""
    recipe, found = read_recipe(), sizes()
    shown = {
        "hours": f"{hours:,.0f}",
        "gpus": gpus,
        "times": gpus // 8,
        "alignment_hours": f"{ALIGNMENT_HOURS:,}",
        "table": "\n".join(recipe_rows(recipe, found, gpus, hours)),
        "encoder": f"{found.encoder / 1e6:,.0f} M",
        "language_model": f"{found.language_model / 1e6:,.0f} M",
        "peak": f"{PEAK_FLOPS / 1e12:.0f}",
        "shares": " and ".join(f"{100 * share:.0f} %" for share in SHARES),
        "utterance": f"{SECONDS_PER_UTTERANCE:g}",
        "tokens": f"{TEXT_TOKENS_PER_SECOND:g}",
        "share_cells": " | ".join(f"days at {100 * share:.0f} %" for share in SHARES),
    }
    shown |= data_figures(found, hours, gpus) | memory_figures(found, recipe, hours, gpus)
    return TEMPLATE.format(**shown)


def read_recipe() -> dict:
    """The recipe `paper`, as it is written."""
    return yaml.safe_load((ROOT / "trainers" / "recipes" / "paper.yaml").read_text(encoding="utf-8"))


TEMPLATE = """# {hours} hours on {gpus} GPUs

By calculation: `python tests/benchmarks/scale_plan.py` writes this page. Nothing of it was run, and no step was
timed on such a GPU. Steps and batches are those of [paper.yaml](paper.yaml), sizes those of the preset `paper`
(encoder {encoder}, language model {language_model}). Assumed are utterances of {utterance} s with {tokens} tokens
of text a second, FLAC of {flac_rate} a second (that of the demo's examples), and GPUs of {peak} TFLOP/s in bfloat16
(H100 SXM, dense, as NVIDIA states), of which training reaches {shares}.

## Hours to days

| stage | hours a step | thousand hours heard | times the corpus | GFLOP a second of speech | GPUs | {share_cells} |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{table}

Hours heard are those of the recipe on its own eight GPUs; alignment's corpus is {alignment_hours} hours. On {gpus}
GPUs the same steps hear {times} times as much: either fewer steps are taken, or the days count {times} times.
Pretraining runs beside alignment and IA-SFT, each on half of the cluster; joint SFT has all of it. A backward pass
counts as two forward ones, CR-CTC encodes twice, and where gradients only pass through the language model its
passes count as two.

## Data

- {rows} rows; {flac} as FLAC, {pcm} decoded ahead (the recipe says `decode_ahead: false`).
- `{name}` hears most: {rate} hours a second on the whole cluster at the larger share. A machine of eight GPUs then
  reads {network} a second. Decoding ({decode} of a core for a second of speech) and features ({features}, both
  measured where this page was made) keep {cores} cores busy for each GPU, of {cores_there} that are assumed;
  augmentation comes on top.
- Transcribing the corpus (`entropy-asr transcribe --dataset`, {rows_per_part} rows a part) makes at least {parts}
  parts.

## Memory, checkpoints, snapshots

- Weights, gradients and Adam take {state}: {state_per_gpu} of each GPU under FSDP2 on half of the cluster, beside
  activations. A checkpoint with Adam's moments is {checkpoint}.
- A snapshot of the encoder is {snapshot}, and drift is checked {checks} times: no more can be published. One
  process writes, under another name, then renames: readers need no lock, and each run copies what it adopts.

## What breaks first

1. **Loading without streaming.** Rows are checked with text and duration of all of them as Python objects, some
   {row_bytes} bytes a row: {loaded} in each process, {loaded_machine} on a machine. So the corpus has to be
   streamed (`{{path: my-org/speech-560k-hours, streaming: true}}`): the pool of 2000 rows is {pool} a process,
   however many rows follow.
2. **Few files.** A stream is split by its files, or by row groups where there are few; with fewer than there are
   processes, each reads all and keeps its own. Thousands of files of some hundred MB avoid that.
3. **Processors**, before the network: see above. `dataloader_num_workers` is 8 in the recipe.
4. **One machine that is lost** ends the step of all. What is lost are the steps since the last checkpoint
   (`save_steps`); of a transcription, a part of each process.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=560_000)
    parser.add_argument("--gpus", type=int, default=64)
    arguments = parser.parse_args()
    print(page(arguments.hours, arguments.gpus), end="")
