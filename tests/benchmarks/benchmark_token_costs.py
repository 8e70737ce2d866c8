# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What could make tokens cheaper on a processor, each way alone: cache, compilation, bfloat16, int8.

    python tests/benchmarks/benchmark_token_costs.py [--width 256 1024] [--layers 4 8] [--rounds 5] [--threads 1]

A language model of random weights, as small as the bundled one's and as wide as a public one's (Qwen3-0.6B has 1024
channels and 28 layers), behind our small encoder, which stays as it is. Times are of `generate` on 5 s of random
features, from the call to the last of `--tokens` tokens. int8 are weights alone, by torchao (`pip install torchao`),
as transformers' `TorchAoConfig` asks for it. What a way takes once, before it is fast, stands beside it.

Two more rows are no ways but bounds: the same passes of the model and the largest logit, without `generate` around
them, and of these passes nothing but the products with weight matrices.
"""

import argparse
import time
from collections.abc import Callable

import torch
from benchmark_decoding import CANDIDATES, OURS, entropy_asr, generation_config, text_config, with_prompts
from benchmark_encoder import FRAMES_A_SECOND, count
from interleaved import Step, cpu_and_wall, interleave, print_conditions, ratio, spread
from transformers import PreTrainedModel
from transformers.generation.configuration_utils import CompileConfig

from entropy_asr.modeling.configuration_entropy_asr import EntropyASRConfig
from entropy_asr.modeling.modeling_entropy_asr import EntropyASRForConditionalGeneration
from entropy_asr.modeling.streaming_cache_entropy_asr import CACHE


PLAIN = "dynamic cache"
SECONDS = 5


def build(width: int, layers: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = entropy_asr(128, 2, layers, "sdpa").to_dict()
    config["text_config"] |= {**text_config(layers), "hidden_size": width, "intermediate_size": 3 * width}
    return EntropyASRForConditionalGeneration(EntropyASRConfig(**config)).eval()


def int8(model: PreTrainedModel) -> PreTrainedModel:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(model.model.language_model, Int8WeightOnlyConfig())
    quantize_(model.lm_head, Int8WeightOnlyConfig())
    return model


def compiled() -> CompileConfig:
    config = CompileConfig(mode="default", fullgraph=False)
    config._compile_all_devices = True  # on processors transformers does not compile by itself
    return config


def ways(width: int, layers: int) -> dict[str, tuple[PreTrainedModel, dict]]:
    """Model and arguments of `generate` of each way."""
    plain, half = build(width, layers), build(width, layers).to(torch.bfloat16)
    return {
        PLAIN: (plain, {}),
        "static cache": (plain, {"cache_implementation": "static"}),
        "static cache, compiled": (
            build(width, layers),
            {"cache_implementation": "static", "compile_config": compiled()},
        ),
        "bfloat16": (half, {}),
        "int8 weights": (int8(build(width, layers)), {}),
        "int8 weights, compiled": (
            int8(build(width, layers)),
            {"cache_implementation": "static", "compile_config": compiled()},
        ),
    }


def generating(model: PreTrainedModel, tokens: int, settings: dict) -> Callable[[], object]:
    candidate = CANDIDATES[OURS]
    torch.manual_seed(0)
    inputs = with_prompts(model, candidate, candidate.random_features([SECONDS * FRAMES_A_SECOND]))
    inputs["input_features"] = inputs["input_features"].to(model.dtype)
    config = generation_config(tokens, **settings)
    return lambda: model.generate(**inputs, generation_config=config)


def passing(model: PreTrainedModel, tokens: int) -> Callable[[], object]:
    """As many passes as `generate` makes, and the largest logit after each."""
    candidate = CANDIDATES[OURS]
    torch.manual_seed(0)
    inputs = with_prompts(model, candidate, candidate.random_features([SECONDS * FRAMES_A_SECOND]))

    def passes() -> None:
        outputs = model(**inputs, use_cache=True, logits_to_keep=1)
        for _ in range(tokens - 1):
            token = outputs.logits[:, -1].argmax(-1, keepdim=True)
            outputs = model(input_ids=token, use_cache=True, **{CACHE: outputs[CACHE]})

    return passes


def multiplying(model: PreTrainedModel, tokens: int) -> Callable[[], object]:
    """The products of all tokens but the first, whose pass reads the prompt too, each with a vector of zeros."""
    linear = [module for module in model.model.language_model.modules() if isinstance(module, torch.nn.Linear)]
    products = [(module, torch.zeros(1, 1, module.in_features)) for module in [*linear, model.lm_head]]

    def multiply() -> None:
        for _ in range(tokens - 1):
            for module, vector in products:
                module(vector)

    return multiply


def calls(width: int, layers: int, tokens: int) -> dict[str, Callable[[], object]]:
    """All that is timed: ways, then bounds."""
    made = {name: generating(model, tokens, settings) for name, (model, settings) in ways(width, layers).items()}
    model = build(width, layers)
    return {**made, "without generate": passing(model, tokens), "weights alone": multiplying(model, tokens)}


def measure(width: int, layers: int, args: argparse.Namespace) -> None:
    steps: dict[str, Step] = {}
    once = {}
    for name, call in calls(width, layers, args.tokens).items():
        start = time.perf_counter()
        call()
        once[name] = time.perf_counter() - start
        steps[name] = cpu_and_wall(call)
    measured = interleave(steps, args.rounds)
    size = count(build(width, layers).model.language_model) / 1e6
    print(f"\nlanguage model {width} wide, {layers} layers, {size:.1f}M parameters; {args.tokens} tokens")
    print(f"{'':24} {'first call, s':>13} {'CPU s':>15} {'plain/this':>10}")
    for name, values in measured.items():
        cpu = values[:, 0]
        times = ratio(measured[PLAIN][:, 0], cpu)
        print(f"{name:24} {once[name]:13.1f} {spread(cpu, 3):>15} {times:10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 8], help="one for each width")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="the CPU times of several add up")
    args = parser.parse_args()
    print_conditions(args.threads)
    print("random weights: speed only")
    with torch.no_grad():
        for width, layers in zip(args.width, args.layers, strict=True):
            measure(width, layers, args)


if __name__ == "__main__":
    main()
