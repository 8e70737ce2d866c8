# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card of a trained checkpoint, filled from the results that lie beside it and from nothing else."""

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_rules
from entropy_asr.modeling.languages_entropy_asr import language_name

from .report_tables import detail_tables, report_head, summary_table


# Licences of data sources, as data_sources.yaml spells them, that ask nothing of what is trained on the data.
PERMISSIVE = ("Apache-2.0", "MIT", "CC0", "public domain", "output of a GPL-3 program, itself not covered by it")
CARD = """---
{header}
---

# {name}

Speech recognition of {languages}: an encoder hears phonemes, an adaptor hands what it heard to a
language model, which writes the text. Trained with entropy-asr after "Rethinking Entropy Allocation in LLM-based ASR"
([arXiv 2604.08003](https://arxiv.org/abs/2604.08003)). {parameters:.1f}M parameters, weights in {dtype}.
{verdict}
{architecture}## How to use

{usage}
## Results

Error rates of generated text: wrong words (WER, English) or characters (CER, Mandarin) for each one that was said;
lower is better, and inserted ones count too, so that a rate can pass 100 %. Non-empty: recordings with any text; where
nobody speaks, such text is hallucination. Greedy decoding unless the recipe says otherwise, {dtype} weights computed
in {compute_dtype}.

{results}

{allocation}## Limits

The figures above are all that was measured: on other recordings, speakers, topics and languages expect more errors.
`return_confidence=True` tells how far the sound supports the text, and flags text that it does not support.

## Training

`{command}`: {duration}.{earlier}

{stages}

| data or model | licence | attribution |
| --- | --- | --- |
{sources}
"""
HALLUCINATION_LEGEND = """Hallucinated: transcripts with text that nobody said. The parts, of which one transcript may
have several: text where nobody speaks; text that neither words nor sounds of the reference support; a burst of
inserted words; a loop. The paper's rule ([arXiv 2604.08003](https://arxiv.org/abs/2604.08003)): more than 50 % longer
than the reference, and no word of it. Rates in % of a test set's transcripts, as the model writes them; interval:
95 %, bootstrap over utterances. Guards keep a model quiet that writes where nothing is heard; off, it shows what it
does."""
# File of the code that saved checkpoints carry, and what the examples say where it is there and where it is not.
# Shares of a result that its table shows, by their names in the results, and what the table calls them.
RESULT_COLUMNS = {"wer": "WER", "cer": "CER", "nonempty_share": "non-empty"}
CODE = "modeling_entropy_asr.py"
BRINGS_CODE = "Where only transformers is installed, the checkpoint brings its code:"
LACKS_CODE = """With the package entropy-asr, whose code this folder leaves out (on the Hub, where
`entropy-asr publish` adds it, `trust_remote_code=True` stands for the import):"""
# Stages of the checkpoint that one went on with.
EARLIER = "earlier/"
SOURCE_KEYS = {"title", "licence", "attribution"}
# What its test split is: optional.
TEST = "test"
# Where more than this share is wrong, a transcript cannot be read for its content.
MOSTLY_WRONG = 0.5


def is_recipes_checkpoint(directory: Path) -> bool:
    """Whether the results in a folder are those of a recipe, which also tell how its checkpoint was trained."""
    path = directory / "results.json"
    return path.is_file() and {"training", "data", "command"} <= set(_read(path))


def write_model_card(directory: Path, licence: str | None = None) -> Path:
    """Write `README.md` from the files in a checkpoint's folder; see [`model_card`].

    Returns:
        The card.
    """
    ModelCard(model_card(directory, licence=licence)).save(directory / "README.md")
    return directory / "README.md"


def model_card(directory: Path, address: str | None = None, licence: str | None = None) -> str:
    """The card of a checkpoint, from the files in its folder.

    Args:
        directory: Folder with `results.json`, which the evaluation stage of a recipe wrote. Where they are there:
            `config.json` for the architecture; `report/report.json` (of `entropy-asr report`) for the entropy
            allocation, with its plots; `data_sources.yaml` for data that this package does not know.
        address: Id on the Hub that the examples load. None: the checkpoint's name, which stands for its folder.
        licence: The Hub's name of its licence; by default the one that suits the data.

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
    return CARD.format(
        header=_header(report, known, licence),
        name=report["name"],
        languages=" and ".join(map(language_name, report["languages"])),
        parameters=report["parameters"] / 1e6,
        verdict=verdict(report["results"], known),
        dtype=report["dtype"],
        compute_dtype=report["compute_dtype"],
        architecture=_architecture(directory / "config.json"),
        usage=usage_section(report, directory, address),
        results=results_section(report["results"], known),
        allocation=_allocation(directory),
        command=report["command"],
        earlier=_earlier(report.get("started_from")),
        duration=_duration(report.get("wall_seconds"), stages),
        stages=_stages_table(stages),
        sources="\n".join("| {title} | {licence} | {attribution} |".format(**row) for row in _sources(report, known)),
    )


def _duration(wall_seconds: float | None, stages: dict[str, dict]) -> str:
    # Stages of the run that it went on from have their own clock, and the card of that checkpoint tells it.
    training = sum(stage["seconds"] for name, stage in stages.items() if not name.startswith(EARLIER)) / 60
    if wall_seconds is None:
        return f"{training:.0f} minutes of training"
    return f"{wall_seconds / 60:.0f} minutes by the clock; its stages, some of them at the same time, {training:.0f}"


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
        if set(source) - {TEST} != SOURCE_KEYS:
            raise ValueError(f"data_sources.yaml: {name} needs {', '.join(sorted(SOURCE_KEYS))}, has {list(source)}")
    return known


def _sources(report: dict[str, Any], known: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    """What is said of everything that training used: data, then the models it started from, known here or not."""
    bases = report.get("base_models", [])
    unknown = {name: {"title": name, "licence": "see its own card", "attribution": "its authors"} for name in bases}
    return [known[name] for name in report["data"]] + [{**unknown, **known}[name] for name in bases]


def _header(report: dict[str, Any], known: dict[str, dict[str, str]], licence: str | None) -> str:
    measured = [
        EvalResult(
            task_type="automatic-speech-recognition",
            dataset_type=name,
            dataset_name=_title(name, known),
            dataset_args={TEST: note} if (note := known.get(name, {}).get(TEST)) else None,
            metric_type=metric,
            metric_value=round(100 * score[metric], 2),
        )
        for name, score in report["results"].items()
        for metric in ("wer", "cer")
        if score[metric] is not None
    ]
    data = ModelCardData(
        language=report["languages"],
        license=licence or joint_licence([source["licence"] for source in _sources(report, known)]),
        base_model=report.get("base_models") or None,
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=["entropy-asr"],
        model_name=report["name"],
        eval_results=measured or None,
    )
    return data.to_yaml()


def joint_licence(licences: list[str]) -> str:
    """The Hub's name of the licence that suits data under these: share-alike data asks for the same.

    "other" where one of them is not known here: what it allows (CC BY-NC, for one) is not for a program to guess.
    """
    attribution = {licence for licence in licences if re.fullmatch(r"CC BY(-SA)?( \d\.\d)?", licence)}
    if not all(licence.startswith(PERMISSIVE) for licence in set(licences) - attribution):
        return "other"
    if any("-SA" in licence for licence in attribution):
        return "cc-by-sa-4.0"
    return "cc-by-4.0" if attribution else "apache-2.0"


def usage_section(report: dict[str, Any], directory: Path, address: str | None = None) -> str:
    """Examples; of streaming only where the encoder is one of this project's, whose masks allow it.

    Args:
        report: `name` and `languages` of the model.
        directory: Folder of the checkpoint. Where its code is not in it, as in this package, which is the code, the
            examples import the package.
        address: As in [`model_card`].
    """
    name, language = address or report["name"], (report["languages"] or ["en"])[0]
    config = directory / "config.json"
    streams = config.is_file() and encoder_rules(_read(config)["audio_config"]).streams
    streaming = _template("usage_streaming.md").format(name=name, language=language) if streams else ""
    stands_for = "" if address else f"`{name}` stands for this folder, or for its id on the Hub.\n\n"
    brings_code = address is not None or (directory / CODE).is_file()
    return _template("usage.md").format(
        name=name,
        language=language,
        streaming=streaming,
        stands_for=stands_for,
        code=BRINGS_CODE if brings_code else LACKS_CODE,
        first="" if brings_code else "import entropy_asr.modeling  # registers the classes\n",
        trust=", trust_remote_code=True" if brings_code else "",
    )


def _architecture(path: Path) -> str:
    """Section on the parts of the model, from its configuration; "" without one."""
    if not path.is_file():
        return ""
    config = _read(path)
    lines = ["| part | type | layers | width |", "| --- | --- | --- | --- |"]
    for name, part in (("encoder", config["audio_config"]), ("language model", config["text_config"])):
        cells = (part["model_type"], part.get("num_hidden_layers", "-"), part.get("hidden_size", "-"))
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    text = (
        f"The adaptor joins {config['adaptor_stacking']} encoder frames to one input of the language model. A phoneme "
        f"head over\nthe encoder ({config['phoneme_vocab_size']} symbols, CTC) gives hotwords, times and confidence."
    )
    return "\n".join(["## Architecture", "", *lines, "", text, "", ""])


def _title(name: str, known: dict[str, dict[str, str]]) -> str:
    """How people call a data source; its own name where nothing is known of it."""
    return known.get(name, {}).get("title", name)


def verdict(results: dict[str, dict[str, Any]], known: dict[str, dict[str, str]]) -> str:
    """A line for those who read no tables: where most of the text is wrong; "" where that is nowhere."""
    wrong = [
        _title(name, known)
        for name, score in results.items()
        if any(score[metric] is not None and score[metric] > MOSTLY_WRONG for metric in ("wer", "cer"))
    ]
    if not wrong:
        return ""
    where = "; ".join(wrong)
    return f"\n**More than half of the text comes out wrong on: {where}.** Do not rely on its transcripts.\n"


def results_section(results: dict[str, dict[str, Any]], known: dict[str, dict[str, str]]) -> str:
    """Error rates of each test set, and hallucination rates where they were measured."""
    tables = (results_table(results, known), hallucination_table(results, known))
    return "\n\n".join(table for table in tables if table)


def results_table(results: dict[str, dict[str, Any]], known: dict[str, dict[str, str]]) -> str:
    """Figures of each test set in percent; a column that no result has is left out."""
    columns = {
        name: f"{title} %" for name, title in RESULT_COLUMNS.items() if any(name in s for s in results.values())
    }
    header = ["test set", "utterances", *columns.values()]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for name, score in results.items():
        rates = (score.get(column) for column in columns)
        cells = ("-" if rate is None else f"{100 * rate:.1f}" for rate in rates)
        lines.append(f"| {_title(name, known)} | {score['utterances']} | {' | '.join(cells)} |")
    notes = [f"- {_title(name, known)}: {known[name][TEST]}." for name in results if TEST in known.get(name, {})]
    return "\n".join([*lines, *(["", "What the test sets are:", "", *notes] if notes else [])])


def hallucination_table(results: dict[str, dict[str, Any]], known: dict[str, dict[str, str]]) -> str:
    """Hallucination rates of each test set under each condition, with a legend; "" where none were measured."""
    header = [
        "| test set | condition | hallucinated | interval | no speech | unsupported | burst | loop | paper's rule |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| {_title(name, known)} | {condition} | {_hallucination_cells(found)} |"
        for name, score in results.items()
        for condition, found in _hallucination_figures(score).items()
    ]
    return "\n".join([HALLUCINATION_LEGEND, "", *header, *rows]) if rows else ""


def _hallucination_figures(score: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures by their condition; results of earlier versions have none."""
    figures = {f"guards {'on' if score.get('guards', True) else 'off'}": score.get("hallucination")}
    figures |= {name: condition["hallucination"] for name, condition in score.get("conditions", {}).items()}
    return {name: found for name, found in figures.items() if found is not None}


def _hallucination_cells(found: dict[str, Any]) -> str:
    low, high = found["hallucination_rate_interval"]
    parts = ("empty_reference_rate", "unsupported_rate", "burst_rate", "loop_rate", "paper_rate")
    cells = [f"{100 * found['hallucination_rate']:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]
    return " | ".join([*cells, *(f"{100 * found[part]:.1f}" for part in parts)])


def _allocation(directory: Path) -> str:
    """Section on entropy allocation, from a report; "" without one."""
    path = directory / "report" / "report.json"
    if not path.is_file():
        return ""
    report = _read(path)
    lines = ["## Entropy allocation", "", *report_head(report)]
    for name, result in report["datasets"].items():
        lines += [f"### {name}", "", *summary_table(result)]
        stem = re.sub(r"[^\w-]+", "_", name)
        plots = [path.with_name(f"{stem}-{kind}.png") for kind in ("trajectory", "text_cka", "ledger")]
        lines += [f"![{plot.stem}](report/{plot.name})\n" for plot in plots if plot.is_file()]
        lines += ["<details><summary>Figures</summary>", "", *detail_tables(result), "</details>", ""]
    return "\n".join(lines).rstrip() + "\n\n"


def _earlier(start: dict[str, Any] | None) -> str:
    """Sentences about the checkpoint that training went on with, and the one which that went on with."""
    sentences, stages = "", EARLIER
    while start is not None:
        named = f"{start['name']}, trained by `{start['command']}` (`{stages}...`)"
        sentences += f" It went on with an earlier checkpoint, {named}." if not sentences else f" Before it: {named}."
        start, stages = start.get("started_from"), stages + EARLIER
    return sentences


def _stages_table(stages: dict[str, dict[str, Any]]) -> str:
    lines = ["| stage | steps | minutes | loss at the end |", "| --- | --- | --- | --- |"]
    for name, stage in stages.items():
        loss = f"{stage['loss'][-1][1]:.3f}" if stage["loss"] else "-"
        lines.append(f"| {name} | {stage['steps']} | {stage['seconds'] / 60:.1f} | {loss} |")
    return "\n".join(lines)
