# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Prefill, time a token, and batches against single utterances: our full model, FunAsrNano and Qwen3ASR.

    python tests/benchmarks/benchmark_decoding.py [--parameters 10] [--tokens 64] [--rounds 9] [--threads 1]

Weights are random: this is about speed and parity alone. All have the same language model, and encoders of the same
width and the depth at which encoder and adaptor together come closest to the number of parameters. All transcribe
through `generate`, greedily, with the dynamic cache, a fixed number of tokens.

- Prefill: from the call of `generate`, features given, to the first token; encoder, adaptor, the prompt.
- A token: the mean of all further ones. How many tokens the speech takes in the prompt is printed: each has its own.
- Batch parity: utterances of different lengths in one batch and each alone, in single precision. The logits behind the
  prompt may differ by rounding, and the tokens not at all. Once with features given, zero where padded (the model
  alone), once from waveforms by each one's own feature extractor.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from benchmark_encoder import (
    FRAMES_A_SECOND,
    QWEN_CHUNK,
    Inputs,
    count,
    entropy_asr_config,
    frame_inputs,
    fun_asr_config,
    fun_asr_inputs,
    matched_depth,
    qwen_config,
    qwen_inputs,
    width_for,
)
from interleaved import Step, interleave, print_conditions, print_goal, ratio, spread
from transformers import (
    FunAsrNanoConfig,
    FunAsrNanoFeatureExtractor,
    FunAsrNanoForConditionalGeneration,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
)
from transformers.generation import BaseStreamer

from entropy_asr.modeling.configuration_entropy_asr import EntropyASRConfig
from entropy_asr.modeling.encoder_rules_entropy_asr import output_length
from entropy_asr.modeling.feature_extraction_entropy_asr import EntropyASRFeatureExtractor
from entropy_asr.modeling.modeling_entropy_asr import EntropyASRForConditionalGeneration


RATE = 16000
PAD, END, AUDIO = 0, 2, 3
TEXT_WIDTH, VOCABULARY = 256, 4096
# Token ids before and after the speech, the same for all.
PROMPT_START, PROMPT_END = [10, 11, 12, 13], [20, 21, 22, 23, 24, 25]


def text_config(layers: int) -> dict:
    """The language model of all of them.

    So that the tokens depend on what is heard, its weights are larger than by default, and its head is its own: one
    tied to the embeddings repeats the last token.
    """
    return {
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 3 * TEXT_WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
        "pad_token_id": PAD,
        "eos_token_id": END,
    }


def entropy_asr(width: int, depth: int, layers: int, attention: str | None) -> EntropyASRConfig:
    return EntropyASRConfig(
        audio_config=entropy_asr_config(width, depth).to_dict(),
        text_config=text_config(layers),
        audio_token_id=AUDIO,
        tie_word_embeddings=False,
        attn_implementation=attention,
    )


def fun_asr(width: int, depth: int, layers: int, attention: str | None) -> FunAsrNanoConfig:
    """With its adaptor of two layers; the projector in front of it is as wide beside the adaptor as by default."""
    adaptor = {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": TEXT_WIDTH // 4,
        "num_attention_heads": TEXT_WIDTH // 64,
        "projector_hidden_size": 2 * TEXT_WIDTH,
    }
    return FunAsrNanoConfig(
        audio_config=fun_asr_config(width, depth).to_dict(),
        adaptor_config=adaptor,
        text_config=text_config(layers),
        audio_token_id=AUDIO,
        tie_word_embeddings=False,
        attn_implementation=attention,
    )


def qwen_asr(width: int, depth: int, layers: int, attention: str | None) -> Qwen3ASRConfig:
    return Qwen3ASRConfig(
        audio_config={**qwen_config(width, depth).to_dict(), "output_dim": TEXT_WIDTH},
        text_config=text_config(layers),
        audio_token_id=AUDIO,
        pad_token_id=PAD,
        eos_token_id=END,
        tie_word_embeddings=False,
        attn_implementation=attention,
    )


def entropy_asr_tokens(model: PreTrainedModel, frames: torch.Tensor) -> torch.Tensor:
    return output_length(frames, model.config.audio_token_stages)


def fun_asr_tokens(model: PreTrainedModel, frames: torch.Tensor) -> torch.Tensor:
    return frames


def qwen_tokens(model: PreTrainedModel, frames: torch.Tensor) -> torch.Tensor:
    """13 of a whole chunk, of the rest an eighth, rounded up."""
    return 13 * (frames // QWEN_CHUNK) + (frames % QWEN_CHUNK + 7) // 8


def extract(extractor, mask_name: str, **settings) -> Callable[[list[np.ndarray]], Inputs]:
    """Features of waveforms as the processor of the extractor asks for them."""

    def features(waveforms: list[np.ndarray]) -> Inputs:
        batch = extractor(waveforms, sampling_rate=RATE, return_tensors="pt", **settings)
        return {"input_features": batch["input_features"].float(), "input_features_mask": batch[mask_name].long()}

    return features


@dataclass(frozen=True)
class Candidate:
    """One model and what it hears.

    Args:
        config: Configuration by encoder width, encoder depth, text layers and attention implementation.
        model_class: Its class.
        random_features: From feature frames of utterances to a batch.
        features: From waveforms of utterances to a batch.
        tokens: From a model and numbers of valid frames of its features to numbers of audio tokens.
        attention: Attention implementation that is asked for; None: what is there by default.
    """

    config: Callable[[int, int, int, str | None], PreTrainedConfig]
    model_class: type[PreTrainedModel]
    random_features: Callable[[list[int]], Inputs]
    features: Callable[[list[np.ndarray]], Inputs]
    tokens: Callable[[PreTrainedModel, torch.Tensor], torch.Tensor]
    attention: str | None = "sdpa"

    def build(self, width: int, depth: int, layers: int) -> PreTrainedModel:
        return self.model_class(self.config(width, depth, layers, self.attention))


OURS = "EntropyASR"
CANDIDATES = {
    OURS: Candidate(
        entropy_asr,
        EntropyASRForConditionalGeneration,
        lambda lengths: frame_inputs(lengths, 80, "input_features_mask"),
        extract(EntropyASRFeatureExtractor(), "attention_mask"),
        entropy_asr_tokens,
    ),
    "FunAsrNano": Candidate(
        fun_asr,
        FunAsrNanoForConditionalGeneration,
        fun_asr_inputs,
        extract(FunAsrNanoFeatureExtractor(), "input_features_mask"),
        fun_asr_tokens,
    ),
    "Qwen3ASR": Candidate(
        qwen_asr,
        Qwen3ASRForConditionalGeneration,
        qwen_inputs,
        extract(Qwen3ASRFeatureExtractor(), "attention_mask", padding=True, return_attention_mask=True),
        qwen_tokens,
    ),
}
# In transformers 5.23 the attention implementation reaches FunAsrNano's adaptor only where one is asked for.
AS_LOADED = {"FunAsrNano, no attention asked for": replace(CANDIDATES["FunAsrNano"], attention=None)}


def audio_side(model: PreTrainedModel) -> int:
    """Parameters of encoder and adaptor."""
    return count(model.model) - count(model.model.language_model)


def build_matched(candidate: Candidate, parameters: float, layers: int) -> PreTrainedModel:
    """The model whose audio side has about so many parameters; random weights, fp32, eval."""
    width = width_for(parameters)

    def audio_modules(depth: int) -> torch.nn.Module:
        model = candidate.build(width, depth, 1).model
        return torch.nn.ModuleList(module for name, module in model.named_children() if name != "language_model")

    depth = matched_depth(audio_modules, parameters)
    torch.manual_seed(0)
    return candidate.build(width, depth, layers).eval()


def with_prompts(model: PreTrainedModel, candidate: Candidate, features: Inputs) -> Inputs:
    """Everything that `generate` takes; prompts are padded on the left."""
    tokens = candidate.tokens(model, features["input_features_mask"].sum(-1)).tolist()
    prompts = [torch.tensor(PROMPT_START + [AUDIO] * number + PROMPT_END) for number in tokens]
    input_ids = torch.nn.utils.rnn.pad_sequence(prompts, True, PAD, padding_side="left")
    return {**features, "input_ids": input_ids, "attention_mask": (input_ids != PAD).long()}


def generation_config(tokens: int, **settings) -> GenerationConfig:
    """Greedy, a fixed number of tokens; audio placeholders are no text."""
    return GenerationConfig(
        do_sample=False,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        eos_token_id=END,
        pad_token_id=PAD,
        suppress_tokens=[AUDIO],
        **settings,
    )


class Stopwatch(BaseStreamer):
    """CPU time at which `generate` gave the prompt and each token."""

    def __init__(self):
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(time.process_time())

    def end(self) -> None:
        pass


def decoding_step(model: PreTrainedModel, inputs: Inputs, tokens: int) -> Step:
    """CPU seconds to the first token, and of each of the `tokens` further ones."""
    config = generation_config(tokens + 1)

    def step() -> tuple[float, float]:
        watch, start = Stopwatch(), time.process_time()
        model.generate(**inputs, generation_config=config, streamer=watch)
        _, first, *_, last = watch.times
        return first - start, (last - first) / tokens

    return step


def print_speed(models: dict[str, PreTrainedModel], seconds: float, tokens: int, rounds: int) -> None:
    """One utterance of so many seconds."""
    frames = [round(FRAMES_A_SECOND * seconds)]
    inputs = {
        name: with_prompts(model, CANDIDATES[name], CANDIDATES[name].random_features(frames))
        for name, model in models.items()
    }
    measured = interleave({name: decoding_step(model, inputs[name], tokens) for name, model in models.items()}, rounds)
    print(f"\none utterance of {seconds:g} s, {tokens} tokens after the first; CPU time")
    print(
        f"{'':12} {'audio M':>8} {'all M':>6} {'audio tokens':>12} {'prefill s':>15} {'ours/theirs':>11} "
        f"{'ms a token':>15} {'ours/theirs':>11}"
    )
    for name, model in models.items():
        prefill, token = measured[name].T
        ours = measured[OURS].T
        print(
            f"{name:12} {audio_side(model) / 1e6:8.1f} {count(model) / 1e6:6.1f} "
            f"{int((inputs[name]['input_ids'] == AUDIO).sum()):12} {spread(prefill, 4):>15} "
            f"{ratio(ours[0], prefill):11.2f} {spread(1000 * token, 3):>15} {ratio(ours[1], token):11.2f}",
            flush=True,
        )
    whole = {name: values[:, 0] + tokens * values[:, 1] for name, values in measured.items()}
    for name in sorted(set(models) - {OURS}):
        print_goal(f"{seconds:g} s to {tokens} tokens, ours / {name}", ratio(whole[name], whole[OURS]), 1.5)


@dataclass
class Transcript:
    """Of each utterance: logits of the first new token, new tokens and number of audio tokens."""

    logits: torch.Tensor
    tokens: torch.Tensor
    audio_tokens: torch.Tensor


def transcribe(model: PreTrainedModel, candidate: Candidate, features: Inputs, tokens: int) -> Transcript:
    inputs = with_prompts(model, candidate, features)
    config = generation_config(tokens, output_logits=True, return_dict_in_generate=True)
    output = model.generate(**inputs, generation_config=config)
    new_tokens = output.sequences[:, inputs["input_ids"].shape[1] :]
    return Transcript(output.logits[0], new_tokens, (inputs["input_ids"] == AUDIO).sum(-1))


def alone(candidate: Candidate, batch: Inputs, frames: list[int]) -> list[Inputs]:
    """The utterances of a batch of given features, each without the others' padding."""
    singles = []
    for row, num_frames in enumerate(frames):
        shape = candidate.random_features([num_frames])["input_features"].shape
        length = candidate.random_features([num_frames])["input_features_mask"].shape[1]
        features, mask = (batch[name][row : row + 1] for name in ("input_features", "input_features_mask"))
        singles.append(
            {"input_features": features[:, : shape[1], : shape[2]], "input_features_mask": mask[:, :length]}
        )
    return singles


def compare(together: Transcript, separate: list[Transcript]) -> str:
    """What a batch changes, as columns of the table of parities."""
    logits, tokens, audio_tokens = (
        torch.cat([getattr(transcript, name) for transcript in separate])
        for name in ("logits", "tokens", "audio_tokens")
    )
    changed = (together.logits - logits).abs().max()
    # A batch that changed nothing would show little, were the logits of different utterances the same.
    between = (logits[:, None] - logits[None]).abs().max()
    equal = f"{int((together.tokens == tokens).sum())} of {tokens.numel()}"
    audio = (together.audio_tokens - audio_tokens).tolist()
    return f"{changed:18.1e} {between:18.1e} {equal:>12} {len(tokens.unique()):9} {audio!s:>13}"


def print_parity(models: dict[str, PreTrainedModel], lengths: list[float], tokens: int, seed: int) -> None:
    """Two rows for each model; `lengths` are seconds of noise."""
    rng = np.random.default_rng(seed)
    waveforms = [(0.1 * rng.normal(size=round(RATE * seconds))).astype(np.float32) for seconds in lengths]
    frames = [round(FRAMES_A_SECOND * seconds) for seconds in lengths]
    print(f"\nbatch parity: {', '.join(f'{x:g}' for x in lengths)} s in one batch and each alone, fp32")
    print(
        f"{'':34} {'features':14} {'max |diff.| logits':>18} {'between utterances':>18} {'equal tokens':>12} "
        f"{'different':>9} {'audio tokens':>13}"
    )
    for name, model in models.items():
        candidate = {**CANDIDATES, **AS_LOADED}[name]
        batch = candidate.random_features(frames)
        given = batch, alone(candidate, batch, frames)
        extracted = candidate.features(waveforms), [candidate.features([waveform]) for waveform in waveforms]
        for kind, (together, separate) in (("given", given), ("from waveforms", extracted)):
            transcripts = [transcribe(model, candidate, inputs, tokens) for inputs in (together, *separate)]
            print(f"{name:34} {kind:14} {compare(transcripts[0], transcripts[1:])}", flush=True)
    print(
        "between utterances: the largest difference of logits of two utterances alone, for comparison; different: ",
        end="",
    )
    print("how many different tokens all have; audio tokens: how many more an utterance has in the batch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=10, help="millions of parameters of encoder and adaptor")
    parser.add_argument("--text_layers", type=int, default=4, help=f"of the language model, {TEXT_WIDTH} wide")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 30], help="utterances to time, one by one")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens after the first")
    # Not whole numbers of feature frames: where a waveform ends inside a frame, padding can change the frame.
    parser.add_argument("--parity_seconds", type=float, nargs="+", default=[3.217, 5.731, 8.303, 12.029])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="the CPU times of several add up")
    parser.add_argument("--seed", type=int, default=0, help="of features and waveforms")
    args = parser.parse_args()
    print_conditions(args.threads)
    print("random weights: speed and parity only")
    parameters, layers = 1e6 * args.parameters, args.text_layers
    models = {name: build_matched(candidate, parameters, layers) for name, candidate in CANDIDATES.items()}
    as_loaded = {name: build_matched(candidate, parameters, layers) for name, candidate in AS_LOADED.items()}
    torch.manual_seed(args.seed)
    with torch.no_grad():
        for seconds in args.seconds:
            print_speed(models, seconds, args.tokens, args.rounds)
        print_parity(models | as_loaded, args.parity_seconds, args.tokens, args.seed)


if __name__ == "__main__":
    main()
