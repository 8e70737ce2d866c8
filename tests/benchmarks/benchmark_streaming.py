# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What streaming costs: a chunk after 10 and after 300 s, the whole against one pass, and the wait for the text.

Run by hand: `python tests/benchmarks/benchmark_streaming.py [--model M] [--audio FOLDER] [--threads 1]`. The chunks
that are compared are timed in turn, in CPU time, so that what else the machine does counts little; medians are
printed. With several threads their times add up. Beside ours: transformers' NemotronAsrStreaming encoder of about the
same size (random weights: its speed only), and computing all that was heard again.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from interleaved import print_conditions
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, NemotronAsrStreamingEncoder, NemotronAsrStreamingEncoderConfig
from transformers.models.nemotron_asr_streaming.modeling_nemotron_asr_streaming import (
    NemotronAsrStreamingEncoderCausalConvPaddingCache,
)

from entropy_asr.modeling import EndpointSettings, EntropyASRPipeline, StreamingTranscriber, load_audio, load_pipeline
from entropy_asr.modeling.encoder_cache_entropy_asr import EntropyASREncoderCache


CHUNK_FEATURES, LEFT_CHUNKS, CHUNK_SECONDS = 64, 4, 0.64
ROUNDS, CHUNKS_A_ROUND = 4, 16
PARTS = ("features", "encoder", "prefill")
Step = Callable[[], float]


def noise(seconds: float) -> np.ndarray:
    return (0.05 * np.random.default_rng(0).normal(size=round(16000 * seconds))).astype(np.float32)


def transcriber_steps(pipe: EntropyASRPipeline, max_segment: float) -> Step:
    """Seconds of features, encoder and prefill of the next chunk of a stream of unbroken sound."""
    stream = StreamingTranscriber(
        pipe,
        use_vad=False,
        endpoints=EndpointSettings(max_segment=max_segment),
        generate_kwargs={"max_new_tokens": 1},
        guards=False,
    )
    stream.batch.clock = time.process_time
    samples = noise(CHUNK_SECONDS)

    def step() -> float:
        before = sum(stream.batch.seconds[part] for part in PARTS)
        stream.push(samples)
        return sum(stream.batch.seconds[part] for part in PARTS) - before

    return step


def features_a_frame(pipe: EntropyASRPipeline) -> int:
    """Feature frames for one frame of the encoder."""
    return math.prod(stride for _, stride, _ in pipe.model.config.audio_length_stages)


def longest_segment(pipe: EntropyASRPipeline) -> float:
    """Seconds that the encoder has positions for: 600, where it has them for any length."""
    positions = getattr(pipe.model.config.audio_config, "max_position_embeddings", math.inf)
    return min(600.0, positions * features_a_frame(pipe) * pipe.processor.feature_extractor.frame_shift / 1000)


def encoder_steps(pipe: EntropyASRPipeline) -> Step:
    """Our encoder alone, on features; begins anew where it has positions for no more."""
    encoder = pipe.model.model.audio_tower
    features = torch.randn(1, CHUNK_FEATURES, encoder.config.num_mel_bins)
    behind = torch.randn(1, encoder.num_look_ahead, encoder.config.num_mel_bins)
    settings = {
        "chunk_size": CHUNK_FEATURES // features_a_frame(pipe),
        "left_chunks": LEFT_CHUNKS,
        "look_ahead": behind,
    }
    longest, caches = int(longest_segment(pipe) / CHUNK_SECONDS), [EntropyASREncoderCache()]
    count = 0

    def step() -> None:
        nonlocal count
        if count % longest == 0:
            caches[0] = EntropyASREncoderCache()
        count += 1
        encoder(features, cache=caches[0], **settings)

    return timed(step)


def nemotron_encoder(pipe: EntropyASRPipeline) -> NemotronAsrStreamingEncoder:
    """transformers' encoder at our width and the depth of our size; its frames are 80 ms, so a chunk is 8 of them.

    Where ours is Whisper's, which has no convolutions between its layers, theirs are as wide as by default.
    """
    ours = pipe.model.model.audio_tower
    config = NemotronAsrStreamingEncoderConfig(
        hidden_size=ours.config.hidden_size,
        num_attention_heads=ours.config.num_attention_heads,
        intermediate_size=ours.config.intermediate_size,
        num_mel_bins=ours.config.num_mel_bins,
        subsampling_conv_channels=64,
        sliding_window=LEFT_CHUNKS * 8 + 1,
        default_num_lookahead_tokens=7,
    )
    config.conv_kernel_size = getattr(ours.config, "conv_kernel_size", config.conv_kernel_size)
    torch.manual_seed(0)
    encoders = []
    for config.num_hidden_layers in range(1, ours.config.num_hidden_layers + 1):
        encoders.append(NemotronAsrStreamingEncoder(copy.deepcopy(config)))
    return min(encoders, key=lambda encoder: abs(encoder.num_parameters() - ours.num_parameters())).eval()


def nemotron_steps(encoder: NemotronAsrStreamingEncoder) -> Step:
    cache, padding = DynamicCache(config=encoder.config), NemotronAsrStreamingEncoderCausalConvPaddingCache()
    features = torch.randn(1, CHUNK_FEATURES, encoder.config.num_mel_bins)
    settings = {"past_key_values": cache, "padding_cache": padding, "use_cache": True, "num_lookahead_tokens": 7}
    return timed(lambda: encoder(features, **settings))


def whole_pass(pipe: EntropyASRPipeline, samples: np.ndarray) -> None:
    """Features, encoder and prefill of all of it at once, under the streams' mask."""
    inputs = pipe.processor.apply_transcription_request(samples)
    pipe.model.model(**inputs)


def reencoding_steps(pipe: EntropyASRPipeline, elapsed: float) -> Step:
    """What a chunk costs where everything heard so far is computed again."""
    samples = noise(elapsed)
    return timed(lambda: whole_pass(pipe, samples))


def timed(call: Callable[[], object]) -> Step:
    def step() -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    return step


def compare(make: Callable[[], Step], early: float = 5.0, late: float = 305.0) -> tuple[float, float]:
    """Median seconds of a chunk around 10 s and around 310 s of a stream, timed in turn."""
    old = make()
    for _ in range(round(late / CHUNK_SECONDS)):
        old()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        young = make()
        for _ in range(round(early / CHUNK_SECONDS)):
            young()
        for _ in range(CHUNKS_A_ROUND):
            times[0].append(young())
            times[1].append(old())
        for _ in range(round((30 - CHUNKS_A_ROUND * CHUNK_SECONDS) / CHUNK_SECONDS)):
            old()  # to the same place in the next segment of 30 s
    return float(np.median(times[0])), float(np.median(times[1]))


def print_cost_of_a_chunk(pipe: EntropyASRPipeline) -> None:
    nemotron = nemotron_encoder(pipe)
    sizes = [sum(p.numel() for p in model.parameters()) / 1e6 for model in (pipe.model.model.audio_tower, nemotron)]
    print(f"encoders: ours {sizes[0]:.1f}M parameters, NemotronAsrStreaming {sizes[1]:.1f}M")
    print(f"{'CPU ms a chunk of 640 ms, at':44} {'10 s':>8} {'310 s':>8} {'ratio':>7}")
    rows: dict[str, Callable[[], Step]] = {
        "ours: features, encoder, prefill; segments": lambda: transcriber_steps(pipe, 30.0),
        "ours: encoder alone": lambda: encoder_steps(pipe),
        "NemotronAsrStreaming encoder with its cache": lambda: nemotron_steps(nemotron),
    }
    if longest_segment(pipe) == 600:
        rows["ours: as the first, one segment of 600 s"] = lambda: transcriber_steps(pipe, 600.0)
    for name, make in rows.items():
        young, old = compare(make)
        print(f"{name:44} {1000 * young:8.2f} {1000 * old:8.2f} {old / young:7.3f}")
    late = min(300.0, longest_segment(pipe) - CHUNK_SECONDS)
    young, old = (float(np.median([step() for _ in range(3)])) for step in reencoding_at(pipe, (10.0, late)))
    again = f"all that was heard, again, at 10 and {late:.0f} s"
    print(f"{again:44} {1000 * young:8.2f} {1000 * old:8.2f} {old / young:7.3f}", flush=True)


def reencoding_at(pipe: EntropyASRPipeline, elapsed: tuple[float, ...]) -> Iterator[Step]:
    for seconds in elapsed:
        step = reencoding_steps(pipe, seconds)
        step()
        yield step


def print_total_work(pipe: EntropyASRPipeline, seconds: float = 29.46) -> None:
    """Operations and time of chunks against one pass over the same audio (a whole number of chunks)."""
    samples = noise(seconds)
    offline, online = FlopCounterMode(display=False), FlopCounterMode(display=False)
    whole_pass(pipe, samples)
    with offline:
        whole_pass(pipe, samples)
    settings = {"use_vad": False, "endpoints": EndpointSettings(max_segment=30), "guards": False}
    stream = StreamingTranscriber(pipe, **settings)
    stream.batch.clock = time.process_time
    stream.push(samples[:20000])
    stream.reset()
    with online:
        stream.push(samples)
    stream.reset()
    before = dict(stream.batch.seconds)
    stream.push(samples)
    online_seconds = sum(stream.batch.seconds[part] - before[part] for part in PARTS)
    offline_seconds = np.median([reencoding() for reencoding in [timed(lambda: whole_pass(pipe, samples))] * 5])
    operations = online.get_total_flops() / 1e9, offline.get_total_flops() / 1e9
    print(f"work for {seconds:.1f} s: chunks {operations[0]:.2f} GFLOP, one pass {operations[1]:.2f} GFLOP, ", end="")
    print(f"ratio {operations[0] / operations[1]:.3f}; ", end="")
    print(f"CPU time {1000 * online_seconds:.0f} ms against {1000 * offline_seconds:.0f} ms", flush=True)


def print_latency(pipe: EntropyASRPipeline, files: list[Path]) -> None:
    """From the end of speech to the text, of recordings pushed in portions of 20 ms."""
    settings = EndpointSettings()
    rows = []
    for file in files:
        stream = StreamingTranscriber(pipe)
        stream.batch.clock = time.process_time
        samples = np.concatenate([load_audio(file), np.zeros(16000, dtype=np.float32)])
        for start in range(0, len(samples), 320):
            before, started = dict(stream.batch.seconds), time.process_time()
            updates = stream.push(samples[start : start + 320])
            if updates and updates[-1].is_final:
                parts = {part: stream.batch.seconds[part] - before.get(part, 0) for part in stream.batch.seconds}
                encode = sum(parts.get(part, 0) for part in PARTS)
                rows.append((encode, parts["decode"], time.process_time() - started, len(updates[-1].text)))
    table = np.array(rows)
    print(f"from the end of speech to the text, CPU time, {len(table)} segments of {len(files)} recordings:")
    print(f"  silence until the end is decided {1000 * settings.min_silence:.0f} ms, by setting (`min_silence`)")
    for index, name in enumerate(("last chunk: features, encoder, prefill", "decoding", "all computation")):
        median, high = 1000 * np.percentile(table[:, index], [50, 90])
        print(f"  {name:40} median {median:7.1f} ms, p90 {high:7.1f} ms")
    print(f"  characters of text: median {np.median(table[:, 3]):.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "spaces" / "demo" / "checkpoint"
    parser.add_argument("--model", default=str(default))
    parser.add_argument("--audio", type=Path, help="folder of recordings for the latency; left out without")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    pipe = load_pipeline(args.model, device="cpu")
    config = pipe.model.model.audio_tower.config
    config.chunk_size, config.left_chunks = CHUNK_FEATURES // features_a_frame(pipe), LEFT_CHUNKS
    print_conditions(args.threads)
    print(f"{pipe.model.num_parameters() / 1e6:.1f}M parameters")
    with torch.no_grad():
        print_cost_of_a_chunk(pipe)
        print_total_work(pipe)
        if args.audio:
            print_latency(pipe, sorted(file for file in args.audio.iterdir() if file.is_file()))


if __name__ == "__main__":
    main()
