# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Short card that trainers write beside their checkpoints, in the place of those of transformers, TRL and PEFT."""

from typing import Any

from huggingface_hub import ModelCardData

from .trained_card import HUB_ID


def checkpoint_card(
    record: dict[str, Any], model_name: str, evaluated_at: int | None = None, licence: str | None = None
) -> str:
    """Markdown card of a model in training: what it is, the data it is trained on, its last evaluation.

    Args:
        record: What is known of the run, as a trainer writes it down beside a model (`training.json`).
        model_name: Heading.
        evaluated_at: Step of the last evaluation, whose metrics are the record's `development`; None without one.
        licence: The Hub's name of a licence; by default that of the model it started from, where it is known.
    """
    base = record["base_model"]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="automatic-speech-recognition",
        tags=record["tags"],
        language=record["languages"] or None,
        license=licence or record["license"],
        base_model=base if HUB_ID.fullmatch(base) else None,
    )
    lines = [f"| {name} | {value:.4g} |" for name, value in record["development"].items()]
    table = ["", f"At step {evaluated_at}:", "", "| metric | value |", "|---|---|", *lines] if lines else []
    body = [
        f"# {model_name}",
        "",
        f"Checkpoints of `{record['trainer']}` of entropy-asr, the last one of step {record['steps']}.",
        f"Trained on: {', '.join(record['data'])}.",
        *table,
    ]
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(body) + "\n"
