# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Our encoders against transformers' speech encoders of the same number of parameters: a pass, or a training step.

    python tests/benchmarks/benchmark_encoder.py [--parameters 30] [--dtype bfloat16] [--training] [--profile]

Weights are random: this is about speed alone. All encoders get the same width, a feed-forward width of four times
that, heads of 64 channels, and as many layers as come closest to the number of parameters (within 10 %). What else
they have is their default; the convolutions in front of theirs are narrowed in proportion, ours are left as wide as in
the largest model. Parakeet is there twice, the second time at our frame rate. Features are given, random, of the kind
that each one's feature extractor would give for the same seconds; short utterances are padded and masked.

Encoders of fewer frames a second do less work a second of audio, and leave the language model less to read. Whisper's
encoder is there in our form and in transformers', which computes 30 s however short an utterance is.

A training step is forward, the sum of squares as loss, backward and AdamW, in training mode. Some drop a tenth of
nearly everything by default, ours among them, others nothing; drawing what is dropped takes a processor long, and with
dropout in attention torch has no fused kernel there. `--no_dropout` compares the rest.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from interleaved import cpu_and_wall, interleave, print_conditions, print_goal, ratio, spread
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from transformers import (
    FunAsrNanoEncoderConfig,
    LasrEncoder,
    LasrEncoderConfig,
    ParakeetEncoder,
    ParakeetEncoderConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3ASREncoderConfig,
    WhisperConfig,
)
from transformers.models.fun_asr_nano.modeling_fun_asr_nano import FunAsrNanoEncoder
from transformers.models.qwen3_asr.modeling_qwen3_asr import Qwen3ASREncoder
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from entropy_asr.modeling.configuration_entropy_asr import EntropyASREncoderConfig, EntropyASRWhisperEncoderConfig
from entropy_asr.modeling.modeling_entropy_asr_encoder import EntropyASREncoder
from entropy_asr.modeling.modeling_entropy_asr_whisper import EntropyASRWhisperEncoder


FRAMES_A_SECOND = 100  # of features
HEAD_DIM = 64
QWEN_CHUNK = 100  # feature frames; its encoder takes whole chunks
WHISPER_FRAMES = 3000
Inputs = dict[str, torch.Tensor]


def entropy_asr_config(width: int, depth: int) -> EntropyASREncoderConfig:
    return EntropyASREncoderConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD_DIM,
    )


def parakeet_config(width: int, depth: int, subsampling_factor: int = 8) -> ParakeetEncoderConfig:
    return ParakeetEncoderConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD_DIM,
        subsampling_factor=subsampling_factor,
        subsampling_conv_channels=width * 256 // 1024,
    )


def lasr_config(width: int, depth: int) -> LasrEncoderConfig:
    return LasrEncoderConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD_DIM,
        subsampling_conv_channels=width * 256 // 512,
    )


def fun_asr_config(width: int, depth: int) -> FunAsrNanoEncoderConfig:
    return FunAsrNanoEncoderConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD_DIM,
        num_timestamp_prediction_layers=depth * 20 // 70,  # says where norms stand; all layers run
    )


def qwen_config(width: int, depth: int) -> Qwen3ASREncoderConfig:
    return Qwen3ASREncoderConfig(
        d_model=width,
        encoder_ffn_dim=4 * width,
        encoder_layers=depth,
        encoder_attention_heads=width // HEAD_DIM,
        downsample_hidden_size=width * 480 // 1024,
    )


def our_whisper_config(width: int, depth: int) -> EntropyASRWhisperEncoderConfig:
    return EntropyASRWhisperEncoderConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=width // HEAD_DIM,
    )


def whisper_config(width: int, depth: int) -> WhisperConfig:
    return WhisperConfig(
        d_model=width,
        encoder_ffn_dim=4 * width,
        encoder_layers=depth,
        encoder_attention_heads=width // HEAD_DIM,
    )


def padded(lengths: list[int], channels: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random features `(batch, length, channels)`, zero where padded, and their mask."""
    mask = torch.arange(length)[None, :] < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), length, channels) * mask[..., None], mask.long()


def frame_inputs(lengths: list[int], channels: int, mask_name: str = "attention_mask") -> Inputs:
    """A batch for encoders that take frames as they are."""
    features, mask = padded(lengths, channels, max(lengths))
    return {"input_features": features, mask_name: mask}


def fun_asr_inputs(lengths: list[int]) -> Inputs:
    """Its feature extractor stacks 7 frames, 6 apart."""
    return frame_inputs([-(-length // 6) for length in lengths], 7 * 80, "input_features_mask")


def qwen_inputs(lengths: list[int]) -> Inputs:
    """`(batch, channels, frames)`, in whole chunks."""
    features, mask = padded(lengths, 128, -(-max(lengths) // QWEN_CHUNK) * QWEN_CHUNK)
    return {"input_features": features.transpose(1, 2).contiguous(), "input_features_mask": mask}


def whisper_inputs(lengths: list[int]) -> Inputs:
    """`(batch, channels, frames)`, always 30 s."""
    features, _ = padded(lengths, 80, WHISPER_FRAMES)
    return {"input_features": features.transpose(1, 2).contiguous()}


@dataclass(frozen=True)
class Candidate:
    """One encoder: configuration by width and depth, class, and a random batch of utterances of feature frames."""

    config: Callable[[int, int], PreTrainedConfig]
    model_class: type[PreTrainedModel]
    inputs: Callable[[list[int]], Inputs]


OURS = "EntropyASREncoder"
OUR_WHISPER = "EntropyASRWhisperEncoder"
CANDIDATES = {
    OURS: Candidate(entropy_asr_config, EntropyASREncoder, lambda lengths: frame_inputs(lengths, 80)),
    OUR_WHISPER: Candidate(our_whisper_config, EntropyASRWhisperEncoder, lambda lengths: frame_inputs(lengths, 80)),
    "WhisperEncoder": Candidate(whisper_config, WhisperEncoder, whisper_inputs),
    "ParakeetEncoder": Candidate(parakeet_config, ParakeetEncoder, lambda lengths: frame_inputs(lengths, 80)),
    "ParakeetEncoder, 4x subsampling": Candidate(
        lambda width, depth: parakeet_config(width, depth, 4),
        ParakeetEncoder,
        lambda lengths: frame_inputs(lengths, 80),
    ),
    "LasrEncoder": Candidate(lasr_config, LasrEncoder, lambda lengths: frame_inputs(lengths, 128)),
    "FunAsrNanoEncoder": Candidate(fun_asr_config, FunAsrNanoEncoder, fun_asr_inputs),
    "Qwen3ASREncoder": Candidate(qwen_config, Qwen3ASREncoder, qwen_inputs),
}


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def width_for(parameters: float) -> int:
    """Multiple of the head size at which a Conformer of so many parameters has about eight layers of 23 * width²."""
    return max(1, round((parameters / 8 / 23) ** 0.5 / HEAD_DIM)) * HEAD_DIM


def matched_depth(build: Callable[[int], torch.nn.Module], parameters: float) -> int:
    """Number of layers with which `build(layers)` comes closest to a number of parameters.

    Raises:
        SystemExit: no number of layers comes within 10 %.
    """
    two, three = count(build(2)), count(build(3))
    depth = max(2, 2 + round((parameters - two) / (three - two)))
    reached = two + (depth - 2) * (three - two)
    if abs(reached - parameters) > 0.1 * parameters:
        raise SystemExit(
            f"{type(build(2)).__name__}: {depth} layers have {reached / 1e6:.1f}M parameters; ask for more."
        )
    return depth


def build_matched(candidate: Candidate, parameters: float) -> PreTrainedModel:
    """The encoder at the common width and the depth that matches, random weights, fp32, eval."""
    width = width_for(parameters)
    depth = matched_depth(lambda layers: candidate.model_class(candidate.config(width, layers)), parameters)
    torch.manual_seed(0)
    return candidate.model_class(candidate.config(width, depth)).eval()


def drop_nothing(model: PreTrainedModel) -> None:
    """Switch off dropout of activations, attention and layers, wherever a module keeps its share."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in [name for name, value in vars(module).items() if "drop" in name and isinstance(value, float)]:
            setattr(module, name, 0.0)


def output_rate(model: PreTrainedModel, candidate: Candidate, seconds: int = 16) -> float:
    """Output frames a second of audio; also where they are packed without padding."""
    inputs = candidate.inputs([seconds * FRAMES_A_SECOND])
    inputs["input_features"] = inputs["input_features"].to(model.dtype)
    computed = max(seconds, WHISPER_FRAMES / FRAMES_A_SECOND) if candidate.inputs is whisper_inputs else seconds
    frames = model(**inputs).last_hidden_state
    return frames.numel() / frames.shape[-1] / computed


def attention_operations(query, key, value, *args, **kwargs) -> int:
    """Of one fused attention, by shapes `(batch, heads, frames, channels)`; padding counts."""
    return sdpa_flop_count(query, key, value)


def operations(model: PreTrainedModel, inputs: Inputs) -> float:
    """Floating point operations of the matrix products, convolutions and attention of a pass, in units of 1e9."""
    # torch knows the cost of fused attention on GPUs alone; without this, it would count as none.
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_operations}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        model(**inputs)
    return counter.get_total_flops() / 1e9


def forward(model: PreTrainedModel, inputs: Inputs) -> None:
    with torch.no_grad():
        model(**inputs)


def training_step(model: PreTrainedModel) -> Callable[[PreTrainedModel, Inputs], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(model: PreTrainedModel, inputs: Inputs) -> None:
        model(**inputs).last_hidden_state.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def print_costs(
    models: dict[str, PreTrainedModel], batches: dict[str, Inputs], args: argparse.Namespace, work: str
) -> None:
    """A row for each encoder; times are of the whole batch."""
    audio = sum(args.seconds)
    calls = {name: training_step(model.train()) if args.training else forward for name, model in models.items()}
    steps = {name: cpu_and_wall(lambda n=name, m=model: calls[n](m, batches[n])) for name, model in models.items()}
    measured = interleave(steps, args.rounds)
    print(
        f"{'':31} {'param. M':>8} {'layers':>6} {'frames/s':>8} {'attention':>9} {'GFLOP':>6} "
        f"{'CPU s':>14} {'wall s':>14} {'audio s/CPU s':>13} {'ours/theirs':>11}"
    )
    with torch.no_grad():
        for name, model in models.items():
            cpu, wall = measured[name].T
            print(
                f"{name:31} {count(model) / 1e6:8.1f} {model.config.num_hidden_layers:6} "
                f"{output_rate(model.eval(), CANDIDATES[name]):8.2f} {model.config._attn_implementation:>9} "
                f"{operations(model, batches[name]):6.1f} {spread(cpu, 3):>14} {spread(wall, 3):>14} "
                f"{audio / np.median(cpu):13.1f} {ratio(measured[OURS][:, 0], cpu):11.2f}",
                flush=True,
            )
    print_goals(measured, f"encoder, {work}, {args.dtype}")


def print_goals(measured: dict[str, np.ndarray], work: str) -> None:
    """How many times as fast ours is as each other one: Whisper's in its own form, the Conformer for all others."""
    for name, values in measured.items():
        if name not in (OURS, OUR_WHISPER):
            ours = OUR_WHISPER if name == "WhisperEncoder" else OURS
            print_goal(f"{work}, {ours} / {name}", ratio(values[:, 0], measured[ours][:, 0]), 1)


def print_profile(call: Callable[[], None], rows: int = 12) -> None:
    """Where the time of a call goes, by operators of torch, each without those it calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        call()
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    for event in sorted(events, key=lambda event: -event.self_cpu_time_total)[:rows]:
        print(f"{event.key:50} {100 * event.self_cpu_time_total / total:6.1f} % {event.count:6} calls")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=30, help="millions of parameters of each encoder")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 10, 15, 20], help="the batch's utterances")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="the CPU times of several add up")
    parser.add_argument("--seed", type=int, default=0, help="of the features")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of weights and features")
    parser.add_argument("--training", action="store_true", help="a training step in place of a pass")
    parser.add_argument("--no_dropout", action="store_true", help="whatever an encoder's default is")
    parser.add_argument("--profile", action="store_true", help="where ours spends its time, by operators")
    args = parser.parse_args()
    print_conditions(args.threads)
    parameters, dtype = 1e6 * args.parameters, getattr(torch, args.dtype)
    models = {name: build_matched(candidate, parameters).to(dtype) for name, candidate in CANDIDATES.items()}
    torch.manual_seed(args.seed)
    lengths = [round(FRAMES_A_SECOND * seconds) for seconds in args.seconds]
    batches = {name: candidate.inputs(lengths) for name, candidate in CANDIDATES.items()}
    for batch in batches.values():
        batch["input_features"] = batch["input_features"].to(dtype)
    audio, padded_audio = sum(args.seconds), max(args.seconds) * len(args.seconds)
    print(f"one batch of {', '.join(f'{seconds:g}' for seconds in args.seconds)} s: {audio:g} s, ", end="")
    print(f"{padded_audio:g} s with padding; {args.dtype}, width {width_for(parameters)}, random weights: speed only")
    work = "training step" if args.training else "pass"
    if args.no_dropout:
        for model in models.values():
            drop_nothing(model)
        work = f"{work}, no dropout"
    print_costs(models, batches, args, work)
    if args.profile:
        for name in (OURS, OUR_WHISPER):
            print(f"\n{name}, a {work} by operators of torch, without those they call")
            call = training_step(models[name].train()) if args.training else forward
            print_profile(lambda n=name, c=call: c(models[n], batches[n]))


if __name__ == "__main__":
    main()
