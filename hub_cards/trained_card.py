# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card of a model that somebody has just trained: what is known of it, and that the rest was not measured.

A trainer writes down what it did ([`TRAINING`]); `entropy-asr evaluate --output FOLDER/results.json` adds results.
"""

import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH, language_name

from . import model_card as full_card


# What trainers write beside the models they save.
TRAINING = "training.json"
ADAPTERS = "adapter_config.json"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# The Hub's word for a licence that nobody has named.
UNKNOWN_LICENCE = "other"
CARD = """---
{header}
---

# {name}

{kind}Trained with entropy-asr after "Rethinking Entropy Allocation in LLM-based ASR"
([arXiv 2604.08003](https://arxiv.org/abs/2604.08003)).

## How to use

{usage}
## Results

{results}

## Training

{training}
"""
NOT_EVALUATED = """Not evaluated: run

```bash
entropy-asr evaluate --model {folder} --dataset my-org/my-speech --output {folder}/results.json
entropy-asr card {folder}
```"""
ADAPTERS_USAGE = """```python
from entropy_asr.modeling import load_pipeline

asr = load_pipeline("{name}")  # with the model they stand on, into which they are merged
print(asr("recording.wav")["text"])
```
"""


def trained_card(
    directory: Path,
    licence: str | None = None,
    address: str | None = None,
    merged: bool = False,
    training: dict[str, Any] | None = None,
) -> str:
    """The card of a model without the records of a whole recipe.

    Args:
        directory: Folder of a model or of adapters.
        licence: The Hub's name of its licence; by default that of the model it started from, "other" where none is
            known.
        address: Id on the Hub that the examples load. None: the folder's name, which stands for it.
        merged: Adapters were merged meanwhile: what is described is a whole model.
        training: What its trainer wrote down; by default what lies in the folder.
    """
    training = training_of(directory) if training is None else training
    report = _read(directory / "results.json")
    adapters = (directory / ADAPTERS).is_file() and not (directory / "config.json").is_file() and not merged
    name = (address or directory.resolve().name).rpartition("/")[2]
    languages = sorted({*training.get("languages", []), *_languages_of(report)})
    usage = ADAPTERS_USAGE.format(name=address or name)
    if not adapters:
        usage = full_card.usage_section({"name": name, "languages": languages}, directory, address)
    return CARD.format(
        header=_header(training, licence, languages, name, public_parts(directory)),
        name=name,
        kind=_kind(training, languages, adapters, public_parts(directory)),
        usage=usage,
        results=_results(report, directory, address),
        training=_training(training),
    )


def write_trained_card(directory: Path, licence: str | None = None) -> Path:
    """Write [`trained_card`] as `README.md` into the folder; returns its path."""
    ModelCard(trained_card(directory, licence)).save(directory / "README.md")
    return directory / "README.md"


def training_of(directory: Path) -> dict[str, Any]:
    """What a trainer wrote down about a model: in its folder, or in that above, whose adapters were merged."""
    own = _read(directory / TRAINING)
    above = _read(directory.resolve().parent / TRAINING)
    return own or (above if above.get("adapters") else {})


def licence_of(directory: Path) -> str | None:
    """Licence of a model in a folder, by its card or what its trainer knew; None where neither says."""
    card = directory / "README.md"
    if card.is_file():
        try:
            if licence := ModelCard.load(card).data.license:
                return licence
        except ValueError:
            pass  # a card whose metadata cannot be read says nothing
    return training_of(directory).get("license")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _languages_of(report: dict[str, Any]) -> set[str]:
    scores = report.get("results", {}).values()
    return {code for score in scores for code in score.get("by_language", {}) if code != NON_SPEECH}


def _header(training: dict[str, Any], licence: str | None, languages: list[str], name: str, public: list[str]) -> str:
    bases = [base for base in public or [training.get("base_model") or ""] if HUB_ID.fullmatch(base)]
    return ModelCardData(
        language=languages or None,
        license=licence or training.get("license") or UNKNOWN_LICENCE,
        base_model=bases if len(bases) > 1 else next(iter(bases), None),
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=training.get("tags") or ["entropy-asr"],
        model_name=name,
    ).to_yaml()


def public_parts(directory: Path) -> list[str]:
    """Ids or folders of the public models that a thin checkpoint needs; none where a folder has all weights."""
    config = _read(directory / "config.json")
    parts = config.get("public_parts") if config.get("thin_adapters") is not None else None
    return [part["path"] for part in (parts or {}).values()]


def _kind(training: dict[str, Any], languages: list[str], adapters: bool, public: list[str]) -> str:
    named = " and ".join(map(language_name, languages))
    task = f"Speech recognition of {named}" if named else "Speech recognition"
    parts = "an encoder hears phonemes, an adaptor hands what it heard to a\nlanguage model, which writes the text"
    if public:
        named = " and ".join(public)
        return f"{task}: {parts}.\n\nHere are the weights that were trained; {named} is loaded with them.\n"
    if not adapters:
        return f"{task}: {parts}.\n"
    base = training.get("base_model") or "the model that `adapter_config.json` names"
    return f"Adapters (PEFT) for {base}, which must be there to load them.\n\n{task}: {parts}.\n"


def _results(report: dict[str, Any], directory: Path, address: str | None) -> str:
    if not report.get("results") and address is not None:
        return f"Not evaluated: `entropy-asr evaluate --model {address} --dataset my-org/my-speech` does it."
    if not report.get("results"):
        return NOT_EVALUATED.format(folder=directory.name or ".")
    known = full_card.data_sources(directory)
    verdict = full_card.verdict(report["results"], known)
    split = f" of the split {report['split']!r}" if report.get("split") else ""
    text = f"Error rates of generated text on rows{split}, weights in {report.get('dtype', 'their own type')}."
    return f"{verdict}{text}\n\n{full_card.results_section(report['results'], known)}"


def _training(training: dict[str, Any]) -> str:
    if not training:
        return "Nothing is recorded of its training."
    base = f" from {training['base_model']}" if training.get("base_model") else ""
    lines = [f"`{training['trainer']}`, {training['steps']} steps{base}."]
    lines.append(f"Data: {', '.join(training['data']) or 'not named'}.")
    lines += ["", "| argument | value |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in training.get("arguments", {}).items()]
    measured = training.get("development", {})
    if measured:
        lines += ["", "On development rows, at the end:", "", "| metric | value |", "| --- | --- |"]
        lines += [f"| {name} | {value:.4g} |" for name, value in measured.items()]
    return "\n".join(lines)
