# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card of a trained checkpoint, filled from the results that lie beside it and from nothing else."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData


CARD = """---
{header}
---

# {name}

Speech recognition of {languages} with a speech encoder, an adaptor and a language model, trained with
[entropy-asr](https://arxiv.org/abs/2604.08003) after "Rethinking Entropy Allocation in LLM-based ASR".
{parameters:.1f}M parameters, weights in {dtype}.

```python
from transformers import pipeline

asr = pipeline("automatic-speech-recognition", "{name}", trust_remote_code=True)
print(asr("recording.wav")["text"])
```

## Results

Greedy decoding, measured by the command below on {dtype} weights computed in {compute_dtype}.

{results}

A model of this size, trained on a few hours of mostly read or isolated speech, shows that every part of the recipe
works. It is not meant for use on other recordings, speakers or topics: expect wrong words, and text where nobody
speaks.

## Training

`{command}`: {minutes:.0f} minutes of training.

{stages}

| data | licence | attribution |
| --- | --- | --- |
{sources}
"""


def write_model_card(directory: Path) -> None:
    """Write `README.md` from `results.json` in a checkpoint's folder.

    Args:
        directory: Folder with the file that the evaluation stage of a recipe wrote.

    Raises:
        KeyError: a data source that `data_sources.yaml` says nothing about; add it there.
    """
    report = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    known = yaml.safe_load((resources.files(__package__) / "data_sources.yaml").read_text(encoding="utf-8"))
    missing = sorted(set(report["data"]) - set(known))
    if missing:
        raise KeyError(f"data_sources.yaml says nothing about {', '.join(missing)}")
    stages = report["training"]
    card = CARD.format(
        header=_header(report),
        name=report["name"],
        languages=" and ".join(report["languages"]),
        parameters=report["parameters"] / 1e6,
        dtype=report["dtype"],
        compute_dtype=report["compute_dtype"],
        results=_results_table(report["results"]),
        command=report["command"],
        minutes=sum(stage["seconds"] for stage in stages.values()) / 60,
        stages=_stages_table(stages),
        sources="\n".join("| {title} | {licence} | {attribution} |".format(**known[name]) for name in report["data"]),
    )
    ModelCard(card).save(directory / "README.md")


def _header(report: dict[str, Any]) -> str:
    measured = [
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type=name,
            dataset_name=name,
            metric_type=metric,
            metric_value=round(100 * score[metric], 2),
        )
        for name, score in report["results"].items()
        for metric in ("wer", "cer")
        if score[metric] is not None
    ]
    data = ModelCardData(
        language=report["languages"],
        license="cc-by-sa-4.0",
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["entropy-asr"],
        model_name=report["name"],
        eval_results=measured,
    )
    return data.to_yaml()


def _results_table(results: dict[str, dict[str, Any]]) -> str:
    lines = ["| test set | utterances | WER % | CER % | non-empty % |", "| --- | --- | --- | --- | --- |"]
    for name, score in results.items():
        rates = (score["wer"], score["cer"], score["nonempty_share"])
        cells = ("-" if rate is None else f"{100 * rate:.1f}" for rate in rates)
        lines.append(f"| {name} | {score['utterances']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _stages_table(stages: dict[str, dict[str, Any]]) -> str:
    lines = ["| stage | steps | minutes | loss at the end |", "| --- | --- | --- | --- |"]
    for name, stage in stages.items():
        lines.append(f"| {name} | {stage['steps']} | {stage['seconds'] / 60:.1f} | {stage['loss'][-1][1]:.3f} |")
    return "\n".join(lines)
