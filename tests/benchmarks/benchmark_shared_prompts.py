# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a training step of the language model costs when what all prompts begin with is computed once.

    python tests/benchmarks/benchmark_shared_prompts.py [--model spaces/demo/checkpoint] [--rounds 7] [--threads 1]

A step is forward, cross-entropy of the transcription and backward of the language model, on prompts and transcripts of
the checkpoint's processor; audio embeddings are random. Beside it the same without sharing, and the part of the tokens
that is shared. Gradients of both are compared first.
"""

import argparse
import copy
from collections.abc import Sequence

import torch
from interleaved import Step, cpu_and_wall, interleave, print_conditions, ratio, spread
from torch import nn

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.trainers.training.shared_prompts import common_length, share_prompts


# Seconds of an utterance, words of its transcript, utterances of a batch.
BATCHES = {"words": (0.9, 1, 48), "short sentences": (3.0, 8, 40), "sentences": (6.0, 17, 25), "long": (15.0, 40, 10)}
Batch = dict[str, torch.Tensor]


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """`(B, S)`, padded on the right."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=fill)


def batch_of(processor, model, seconds: float, num_words: int, num_rows: int, seed: int) -> Batch:
    """Embeddings `(B, S, hidden_size)`, mask and labels `(B, S)`; a third of the prompts names the language."""
    text = " ".join(["the", "morning", "speech", "of", "water"] * num_words).split()[:num_words]
    examples = [
        processor.encode_example(round(100 * seconds), " ".join(text), "en" if row % 3 == 0 else None)
        for row in range(num_rows)
    ]
    input_ids, labels = (padded(rows, fill) for rows, fill in zip(zip(*examples, strict=True), (0, -100), strict=True))
    mask = padded([[1] * len(ids) for ids, _ in examples], 0)
    embeds = model.get_input_embeddings()(input_ids).detach()
    audio = input_ids == model.config.audio_token_id
    generator = torch.Generator().manual_seed(seed)
    embeds[audio] = embeds.std() * torch.randn(int(audio.sum()), embeds.shape[-1], generator=generator)
    return {"inputs_embeds": embeds, "attention_mask": mask, "labels": labels}


def backward(language_model: nn.Module, head: nn.Module, batch: Batch) -> None:
    """One step without the optimizer's; gradients are left in the model."""
    labels = batch["labels"][:, 1:]
    hidden = language_model(
        inputs_embeds=batch["inputs_embeds"], attention_mask=batch["attention_mask"], use_cache=False
    ).last_hidden_state
    logits = head(hidden[:, :-1][labels != -100])
    language_model.zero_grad()
    nn.functional.cross_entropy(logits.float(), labels[labels != -100]).backward()


def largest_difference(models: list[nn.Module]) -> float:
    """Of the gradients of two models, over the largest gradient of the same tensor."""
    pairs = zip(*(model.parameters() for model in models), strict=True)
    return max(float((a.grad - b.grad).abs().max() / b.grad.abs().max()) for a, b in pairs if b.grad is not None)


def training_step(language_model: nn.Module, head: nn.Module, batch: Batch) -> Step:
    """CPU and wall seconds of a step."""
    return cpu_and_wall(lambda: backward(language_model, head, batch))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="spaces/demo/checkpoint", help="its weights do not matter")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="the CPU times of several add up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print_conditions(args.threads)
    model = EntropyASRForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32)
    processor = EntropyASRProcessor.from_pretrained(args.model)
    plain = model.model.language_model.train()
    shared = copy.deepcopy(plain)
    share_prompts(shared)
    head = copy.deepcopy(model.lm_head).requires_grad_(False)
    print(f"language model of {sum(p.numel() for p in plain.parameters()) / 1e6:.1f}M parameters, fp32")
    print(f"{'':16} {'tokens':>7} {'shared':>7} {'plain wall s':>16} {'shared wall s':>16} {'plain/shared':>12}")
    for name, (seconds, num_words, num_rows) in BATCHES.items():
        batch = batch_of(processor, model, seconds, num_words, num_rows, args.seed)
        tokens = batch["attention_mask"].sum().item()
        length = common_length(batch["inputs_embeds"], batch["attention_mask"])
        for language_model in (plain, shared):
            backward(language_model, head, batch)
        difference = largest_difference([shared, plain])
        if difference > 1e-3:
            raise SystemExit(f"{name}: gradients differ by {difference:.1e} of the largest.")
        steps = {"plain": training_step(plain, head, batch), "shared": training_step(shared, head, batch)}
        wall = {kind: values.T[1] for kind, values in interleave(steps, args.rounds).items()}
        print(
            f"{name:16} {tokens:7} {(num_rows - 1) * length / tokens:7.0%} {spread(wall['plain'], 3):>16} "
            f"{spread(wall['shared'], 3):>16} {ratio(wall['plain'], wall['shared']):12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
