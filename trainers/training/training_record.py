# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a trainer did, written beside every model it saves: its card is made of that."""

import json
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import Trainer

from entropy_asr.hub_cards.checkpoint_card import checkpoint_card
from entropy_asr.hub_cards.trained_card import TRAINING, licence_of
from entropy_asr.modeling.languages_entropy_asr import NON_SPEECH

from ..data.streamed_rows import is_stream
from ..runs.stage_records import is_evaluation, versions


# Arguments that tell a reader how it was trained, and neither where nor on what.
RECORDED_ARGUMENTS = (
    *("max_steps", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "muon"),
    *("max_batch_duration", "max_batch_size", "gradient_accumulation_steps", "bf16"),
    *("freeze", "language_prompt_probability", "consistency_weight", "chunk_sizes", "num_generations", "beta", "seed"),
)


def training_record(trainer: Trainer, base: str | None = None) -> dict[str, Any]:
    """What is known of a run.

    Args:
        trainer: A [`~base.SpeechTrainerMixin`].
        base: Folder or Hub id of the model it started from; by default where its model was loaded from.
    """
    base = base or _base_model(trainer)
    folder = Path(base)
    sources, languages = sources_and_languages(trainer)
    arguments = {name: getattr(trainer.args, name, None) for name in RECORDED_ARGUMENTS}
    arguments.pop("num_train_epochs" if trainer.args.max_steps > 0 else "max_steps")
    return {
        "trainer": type(trainer).__name__,
        "tags": list(trainer._tag_names),
        "steps": trainer.state.global_step,
        # A folder's place means nothing elsewhere.
        "base_model": folder.resolve().name if base and folder.is_dir() else base,
        "license": licence_of(folder) if base and folder.is_dir() else None,
        "adapters": isinstance(trainer.accelerator.unwrap_model(trainer.model), PeftModel),
        "data": sorted(sources),
        "languages": sorted(languages - {NON_SPEECH}),
        "arguments": {
            name: str(getattr(value, "value", value)) for name, value in arguments.items() if value is not None
        },
        "development": last_evaluation(trainer),
        "versions": versions(),
    }


def write_training_record(trainer: Trainer, folder: Path, base: str | None = None) -> None:
    """Write [`training_record`] into a folder that a model is saved in."""
    record = json.dumps(training_record(trainer, base), indent=1, ensure_ascii=False)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TRAINING).write_text(record + "\n", encoding="utf-8")


def write_checkpoint_card(trainer: Trainer, folder: Path, model_name: str, licence: str | None = None) -> None:
    """Write the short card of a model in training as `README.md`; see [`~checkpoint_card.checkpoint_card`]."""
    steps = [entry["step"] for entry in trainer.state.log_history if is_evaluation(entry)]
    card = checkpoint_card(training_record(trainer), model_name, steps[-1] if steps else None, licence)
    (folder / "README.md").write_text(card, encoding="utf-8")


def last_evaluation(trainer: Trainer) -> dict[str, float]:
    """Metrics of the last evaluation, of all its sets, without their prefix and without times."""
    evaluations = [entry for entry in trainer.state.log_history if is_evaluation(entry)]
    return {
        name.removeprefix("eval_"): value
        for entry in evaluations
        if entry["step"] == evaluations[-1]["step"]
        for name, value in entry.items()
        if name.startswith("eval_") and not name.endswith(("_runtime", "_per_second"))
    }


def sources_and_languages(trainer: Trainer) -> tuple[set[str], set[str]]:
    """Those of the rows, of a stream as far as it was read."""
    rows = trainer.train_dataset
    if rows is None:
        return set(), set()
    if not is_stream(rows):
        return tuple(set(rows[name][:]) if name in rows.column_names else set() for name in ("source", "language"))
    sampler = trainer._stream_sampler
    return (set(), set()) if sampler is None else (sampler.sources, sampler.languages)


def _base_model(trainer: Trainer) -> str:
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if isinstance(model, PeftModel) else model
    return getattr(model, "name_or_path", "") or ""
