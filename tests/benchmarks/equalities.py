# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Two ways to the same, for two of our encoders in two types of numbers: how far their results are from each other.

    python tests/benchmarks/equalities.py --write

A batch of eight and each alone; chunks in a stream and one pass under the same mask; a model saved and loaded; a run
that is killed and goes on, and one in peace; two processes (DDP, gloo) and one that adds up two batches. Models are
small and random, on a processor. Saving, loading and going on must change no bit; of the others, sums in another order
round differently, and the bound is a few roundings of the largest value. `--write` puts the table into
`results/faults.json`.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("helpers", "trainers"))

import torch
import transformers
from code_copies import code_is_copied_once
from faults import table, write_results
from killed_runs import kill_here, run_forked, was_killed
from safetensors.torch import load_file
from small_models import (
    build_model,
    padded_batch,
    small_config,
    small_encoder_config,
    small_firered_encoder_config,
    small_whisper_encoder_config,
)
from training_helpers import make_rows, save_components, stage_section, stop_at, trainer_arguments

from entropy_asr.modeling import EntropyASREncoderCache, EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.modeling.encoder_rules_entropy_asr import output_length
from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.clock import WallClock
from entropy_asr.trainers.runs.process_group import leave_process_group


PLAIN = "Conformer"
ENCODERS = {
    PLAIN: small_encoder_config,
    "Whisper": small_whisper_encoder_config,
    "FireRedASR": small_firered_encoder_config,
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Largest difference as a share of the largest value: sums of some tens to hundreds of numbers, layer after layer.
BOUNDS = {torch.float32: 2e-5, torch.bfloat16: 6e-2}
COLUMNS = ("what", "encoder", "dtype", "values", "largest difference", "largest value", "bound", "holds")
LENGTHS = (160, 7, 121, 40, 99, 64, 33, 150)
CHUNK, LEFT_CHUNKS = 4, 2


def row(what: str, encoder: str, dtype: str, pairs: list[tuple[torch.Tensor, torch.Tensor]], share: float) -> dict:
    """A row of the table, from tensors that should be the same.

    Args:
        what, encoder, dtype: Cells.
        pairs: Of tensors of one shape.
        share: Of the largest value, that a difference may be.
    """
    assert pairs and all(first.shape == second.shape for first, second in pairs)
    difference = max(float((first.double() - second.double()).abs().max()) for first, second in pairs)
    largest = max(float(first.double().abs().max()) for first, _ in pairs)
    values = sum(first.numel() for first, _ in pairs)
    cells = (what, encoder, dtype, values, difference, largest, share * largest, difference <= share * largest)
    return dict(zip(COLUMNS, cells, strict=True))


@torch.no_grad()
def batch_rows(name: str, dtype: str, model: EntropyASRForConditionalGeneration) -> Iterator[dict]:
    """Frames of the encoder, and logits of the whole model, of eight utterances together and each alone."""
    features, mask = padded_batch(list(LENGTHS))
    features, share, pairs, logits = features.to(model.dtype), BOUNDS[model.dtype], [], []
    encoder = model.model.audio_tower
    together = encoder(features, attention_mask=mask).last_hidden_state
    for index, length in enumerate(LENGTHS):
        alone = encoder(features[index : index + 1, :length]).last_hidden_state[0]
        pairs.append((alone, together[index, : len(alone)]))
    yield row("batch 1 = batch 8, frames", name, dtype, pairs, share)
    inputs = [_prompt(model, features[index : index + 1, :length]) for index, length in enumerate(LENGTHS)]
    batch = _joined(inputs, features, mask)
    of_batch = model(**batch).logits
    for index, one in enumerate(inputs):
        alone = model(**one).logits[0]
        logits.append((alone, of_batch[index, -len(alone) :]))
    yield row("batch 1 = batch 8, logits", name, dtype, logits, share)


def _prompt(model: EntropyASRForConditionalGeneration, features: torch.Tensor) -> dict[str, torch.Tensor]:
    """Inputs of one utterance: its audio tokens between two of text."""
    count = output_length(features.shape[1], model.config.audio_token_stages)
    ids = torch.tensor([[5, *[model.config.audio_token_id] * count, 6, 7]])
    mask = torch.ones(1, features.shape[1], dtype=torch.long)
    attended = torch.ones_like(ids)
    return {"input_ids": ids, "attention_mask": attended, "input_features": features, "input_features_mask": mask}


def _joined(inputs: list[dict[str, torch.Tensor]], features: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """The same as one batch, padded on the left."""
    width = max(one["input_ids"].shape[1] for one in inputs)
    padded = {
        name: torch.cat([torch.nn.functional.pad(one[name], (width - one[name].shape[1], 0)) for one in inputs])
        for name in ("input_ids", "attention_mask")
    }
    return {**padded, "input_features": features, "input_features_mask": mask}


@torch.no_grad()
def chunk_rows(name: str, dtype: str, model: EntropyASRForConditionalGeneration) -> Iterator[dict]:
    """Frames of a stream, chunk by chunk, and of one pass under the same mask."""
    encoder = model.model.audio_tower
    features = torch.randn(2, 201, 80).to(model.dtype)
    full = encoder(features, chunk_size=CHUNK, left_chunks=LEFT_CHUNKS).last_hidden_state
    cache, pieces, step = EntropyASREncoderCache(), [], CHUNK * encoder_stride(model)
    for start in range(0, features.shape[1], step):
        ahead = features[:, start + step : start + step + encoder.num_look_ahead]
        settings = {"chunk_size": CHUNK, "left_chunks": LEFT_CHUNKS, "cache": cache}
        if encoder.num_look_ahead and ahead.shape[1]:
            settings["look_ahead"] = ahead
        pieces.append(encoder(features[:, start : start + step], **settings).last_hidden_state)
    yield row("chunked = full, frames", name, dtype, [(full, torch.cat(pieces, dim=1))], BOUNDS[model.dtype])


def encoder_stride(model: EntropyASRForConditionalGeneration) -> int:
    """Feature frames of an encoder frame."""
    stride = 1
    for _, own, _ in model.config.audio_length_stages:
        stride *= own
    return stride


def saved_rows(name: str, dtype: str, model: EntropyASRForConditionalGeneration) -> Iterator[dict]:
    """Weights and logits of a model, and of what is loaded where it was saved."""
    inputs = _prompt(model, torch.randn(1, 99, 80).to(model.dtype))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model.save_pretrained(folder)
        loaded = EntropyASRForConditionalGeneration.from_pretrained(folder, dtype="auto").eval()
        after = loaded.state_dict()
        assert all(after[key].dtype == value.dtype for key, value in model.state_dict().items())
        pairs = [(value, after[key]) for key, value in model.state_dict().items()]
        yield row("reloaded = saved, weights", name, dtype, pairs, 0.0)
        yield row("reloaded = saved, logits", name, dtype, [(model(**inputs).logits, loaded(**inputs).logits)], 0.0)


def write_training_parts(name: str, folder: Path) -> None:
    """What joint SFT starts from, with the encoder of that name."""
    save_components(folder)
    if name != PLAIN:
        processor = EntropyASRProcessor.from_pretrained(folder / "full")
        config = small_config(ENCODERS[name](), audio_token_id=processor.audio_token_id)
        config.text_config.vocab_size = len(processor.tokenizer)
        model = build_model(config)
        processor = type(processor).from_components(
            processor.feature_extractor, processor.tokenizer, model.config, processor.phoneme_tokenizer
        )
        for part in (model, processor):
            part.save_pretrained(folder / "full")


def resumed_rows(name: str, dtype: str, folder: Path) -> Iterator[dict]:
    """Weights of joint SFT that is killed in its fourth step and goes on, and of a run in peace."""
    section = stage_section("joint_sft", folder, bf16=dtype == "bf16")
    section["data"]["cache_dir"] = str(folder / f"cache-{dtype}")
    for way in ("whole", "resumed"):
        output = folder / f"{way}-{dtype}"
        if way == "resumed":
            status = run_forked(lambda output=output: run_section("joint_sft", section, output, 7), _kill_at_fourth)
            assert was_killed(status), status
        status = run_forked(lambda output=output: run_section("joint_sft", section, output, 7))
        assert status == 0, status
    whole, resumed = (load_file(folder / f"{way}-{dtype}" / "model.safetensors") for way in ("whole", "resumed"))
    assert whole.keys() == resumed.keys()
    yield row("resumed = uninterrupted, weights", name, dtype, [(whole[key], resumed[key]) for key in whole], 0.0)


def _kill_at_fourth() -> None:
    WallClock.on_step_begin = stop_at(3, kill_here)


def process_rows(name: str, dtype: str, folder: Path) -> Iterator[dict]:
    """Weights of joint SFT in two processes, and in one that adds up the batches of both."""
    outputs = {}
    for count in (1, 2):
        launcher = [sys.executable]
        if count > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        outputs[count] = folder / f"processes-{count}-{dtype}.pt"
        command = [*launcher, __file__, "--train", str(folder), str(outputs[count]), dtype]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
    one, two = (torch.load(path) for path in outputs.values())
    pairs = [(one["weights"][key], two["weights"][key]) for key in one["weights"]]
    changed = max(float((one["before"][key] - one["weights"][key]).abs().max()) for key in one["weights"])
    assert changed > 1e-3, "nothing was learnt"
    yield row("two processes = one, weights", name, dtype, pairs, BOUNDS[DTYPES[dtype]])


def train(folder: Path, output: Path, dtype: str) -> None:
    """Three steps of two batches each, as one of two processes or as the only one."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    model, processor = (
        part.from_pretrained(folder / "full") for part in (EntropyASRForConditionalGeneration, EntropyASRProcessor)
    )
    before = copy.deepcopy(model.state_dict())
    settings = {"max_steps": 3, "max_batch_size": 2, "learning_rate": 0.3, "bf16": dtype == "bf16"}
    settings |= {"gradient_accumulation_steps": 2 // processes, "language_prompt_probability": 0.0, "optim": "sgd"}
    if processes > 1:
        settings["ddp_backend"] = "gloo"
    rows = make_rows("en zh en zh en zh en zh en zh en zh")
    arguments = trainer_arguments(JointSFTConfig, output.with_suffix(""), **settings)
    trainer = JointSFTTrainer(model, arguments, processing_class=processor, train_dataset=rows)
    # Dropout would be drawn by each process for itself.
    for module in model.modules():
        for name in [name for name, value in vars(module).items() if "dropout" in name and isinstance(value, float)]:
            setattr(module, name, 0.0)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    trainer.train()
    if trainer.is_world_process_zero():
        weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
        torch.save({"weights": weights, "before": before}, output)
    leave_process_group()


def rows_of(name: str, dtype: str, folder: Path) -> Iterator[dict]:
    """All rows of an encoder and a type of numbers."""
    # As it is loaded: casting a model in memory would also round what positions are computed from.
    build_model(small_config(ENCODERS[name]())).save_pretrained(folder / "small")
    model = EntropyASRForConditionalGeneration.from_pretrained(folder / "small", dtype=DTYPES[dtype]).eval()
    for rows in (batch_rows, chunk_rows, saved_rows):
        torch.manual_seed(0)
        yield from rows(name, dtype, model)
    for rows in (resumed_rows, process_rows):
        yield from rows(name, dtype, folder)


def measure(encoders: list[str], show: Callable[[dict], None]) -> list[dict]:
    """The whole table of these encoders."""
    found = []
    for name in encoders:
        with tempfile.TemporaryDirectory() as scratch, code_is_copied_once():
            write_training_parts(name, Path(scratch))
            for dtype in DTYPES:
                for one in rows_of(name, dtype, Path(scratch)):
                    found.append(one)
                    show(one)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", nargs=3, metavar=("FOLDER", "OUTPUT", "DTYPE"), help=argparse.SUPPRESS)
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--write", action="store_true", help="put the rows into results/faults.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if args.train:
        train(Path(args.train[0]), Path(args.train[1]), args.train[2])
        return 0

    def show(one: dict) -> None:
        print(json.dumps(one), flush=True)
        if args.write:
            write_results("equalities", [one], {"threads": 1})

    rows = measure(args.encoders, show)
    print("\n".join(table(rows, COLUMNS)))
    return int(not all(one["holds"] for one in rows))


if __name__ == "__main__":
    sys.exit(main())
