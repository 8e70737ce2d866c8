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

{architecture}## How to use

{usage}
## Results

Greedy decoding unless the command says otherwise, measured by the command below on {dtype} weights computed in
{compute_dtype}. Error rates are of generated text.

{results}

{allocation}## Limits

The figures above are all that was measured: on other recordings, speakers, topics and languages expect more errors.
Non-empty output for recordings without speech (see the table) is hallucination. A confidence and a flag tell where the
phoneme head does not support the text.

## Training

`{command}`: {minutes:.0f} minutes of training in all.{earlier}

{stages}

| data | licence | attribution |
| --- | --- | --- |
{sources}
"""
SOURCE_KEYS = {"title", "licence", "attribution"}


def write_model_card(directory: Path) -> Path:
    """Write `README.md` from the files in a checkpoint's folder.

    Args:
        directory: Folder with `results.json`, which the evaluation stage of a recipe wrote. Where they are there:
            `config.json` for the architecture; `report/report.json` (of `entropy-asr report`) for the entropy
            allocation, with its plots; `data_sources.yaml` for data that this package does not know.

    Returns:
        The card.

    Raises:
        FileNotFoundError: no `results.json`.
        KeyError: a data source that `data_sources.yaml` says nothing about; add it there.
        ValueError: the Hub's validator refuses the metadata.
    """
    report = _read(directory / "results.json")
    known = data_sources(directory)
    missing = sorted(set(report["data"]) - set(known))
    if missing:
        raise KeyError(f"data_sources.yaml says nothing about {', '.join(missing)}")
    stages = report["training"]
    card = CARD.format(
        header=_header(report, known),
        name=report["name"],
        languages=" and ".join(report["languages"]),
        parameters=report["parameters"] / 1e6,
        dtype=report["dtype"],
        compute_dtype=report["compute_dtype"],
        architecture=_architecture(directory / "config.json"),
        usage=_template("usage.md").format(name=report["name"], language=(report["languages"] or ["en"])[0]),
        results=_results_table(report["results"]),
        allocation=_allocation(directory),
        command=report["command"],
        earlier=_earlier(report.get("started_from")),
        minutes=sum(stage["seconds"] for stage in stages.values()) / 60,
        stages=_stages_table(stages),
        sources="\n".join("| {title} | {licence} | {attribution} |".format(**known[name]) for name in report["data"]),
    )
    ModelCard(card).save(directory / "README.md")
    return directory / "README.md"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _template(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def data_sources(directory: Path) -> dict[str, dict[str, str]]:
    """What is known of data sources: the package's, and those of a file in the checkpoint's folder.

    Raises:
        ValueError: an entry that lacks title, licence or attribution.
    """
    known = yaml.safe_load(_template("data_sources.yaml"))
    own = directory / "data_sources.yaml"
    if own.is_file():
        known |= yaml.safe_load(own.read_text(encoding="utf-8"))
    for name, source in known.items():
        if set(source) != SOURCE_KEYS:
            raise ValueError(f"data_sources.yaml: {name} needs {', '.join(sorted(SOURCE_KEYS))}, has {list(source)}")
    return known


def _header(report: dict[str, Any], known: dict[str, dict[str, str]]) -> str:
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
        license=_licence([known[name]["licence"] for name in report["data"]]),
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["entropy-asr"],
        model_name=report["name"],
        eval_results=measured or None,
    )
    return data.to_yaml()


def _licence(licences: list[str]) -> str:
    """The Hub's name of the licence that suits data under these: share-alike data asks for the same."""
    if any(licence.startswith("CC BY-SA") for licence in licences):
        return "cc-by-sa-4.0"
    return "cc-by-4.0" if any(licence.startswith("CC BY") for licence in licences) else "apache-2.0"


def _architecture(path: Path) -> str:
    """Section on the parts of the model, from its configuration; "" without one."""
    if not path.is_file():
        return ""
    config = _read(path)
    rows = [
        ("encoder", config["audio_config"]),
        ("language model", config["text_config"]),
    ]
    lines = ["| part | type | layers | width |", "| --- | --- | --- | --- |"]
    for name, part in rows:
        cells = (part["model_type"], part.get("num_hidden_layers", "-"), part.get("hidden_size", "-"))
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    stacking = config["adaptor_stacking"]
    text = (
        f"The adaptor joins {stacking} encoder frames to one input of the language model; a phoneme head of "
        f"{config['phoneme_vocab_size']} symbols (CTC) gives hotwords, times and confidence."
    )
    return "\n".join(["## Architecture", "", *lines, "", text, "", ""])


def _results_table(results: dict[str, dict[str, Any]]) -> str:
    lines = ["| test set | utterances | WER % | CER % | non-empty % |", "| --- | --- | --- | --- | --- |"]
    for name, score in results.items():
        rates = (score["wer"], score["cer"], score["nonempty_share"])
        cells = ("-" if rate is None else f"{100 * rate:.1f}" for rate in rates)
        lines.append(f"| {name} | {score['utterances']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _allocation(directory: Path) -> str:
    """Section on entropy allocation, from a report; "" without one."""
    path = directory / "report" / "report.json"
    if not path.is_file():
        return ""
    report = _read(path)
    lines = ["## Entropy allocation", "", report["definitions"], "", f"Measured by `{report['command']}`.", ""]
    for name, result in report["datasets"].items():
        lines += [f"### {name}", "", *_metrics_table(result["models"]), "", *_ledger_table(result["models"])]
    plots = sorted(file.name for file in path.parent.glob("*-allocation.png"))
    plots += sorted(file.name for file in path.parent.glob("*-ledger.png"))
    lines += [f"![{Path(file).stem}](report/{file})\n" for file in plots]
    return "\n".join(lines).rstrip() + "\n\n"


def _metrics_table(models: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "| checkpoint | NSE | PAI (nats, linear probe) | CSAI (nats, linear probe) |",
        "| --- | --- | --- | --- |",
    ]
    for name, figures in models.items():
        values = (figures.get(metric) for metric in ("nse", "pai", "csai"))
        cells = ("-" if value is None else f"{value:.3f}" for value in values)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _ledger_table(models: dict[str, dict[str, Any]]) -> list[str]:
    """Nats a token that are left when nothing, the language model, the encoder and both are known."""
    left = {name: figures.get("ledger", {}).get("nats_per_token_left") for name, figures in models.items()}
    left = {name: values for name, values in left.items() if values}
    if not left:
        return []
    lines = [
        "| nats a token left | nothing known | LLM alone | encoder alone | both |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in left.items():
        cells = (f"{values[key]:.2f}" for key in ("uniform", "llm_alone", "encoder_alone", "full"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _earlier(start: dict[str, Any] | None) -> str:
    """Sentence about the checkpoint that training went on with."""
    if start is None:
        return ""
    return f" It went on with an earlier checkpoint, {start['name']}, trained by `{start['command']}` (`earlier/...`)."


def _stages_table(stages: dict[str, dict[str, Any]]) -> str:
    lines = ["| stage | steps | minutes | loss at the end |", "| --- | --- | --- | --- |"]
    for name, stage in stages.items():
        loss = f"{stage['loss'][-1][1]:.3f}" if stage["loss"] else "-"
        lines.append(f"| {name} | {stage['steps']} | {stage['seconds'] / 60:.1f} | {loss} |")
    return "\n".join(lines)
