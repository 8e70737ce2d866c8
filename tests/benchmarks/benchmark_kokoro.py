# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What Whisper hears of Kokoro's voices, and what a second of speech costs one core.

python tests/benchmarks/benchmark_kokoro.py KOKORO WHISPER --english TEXTS --mandarin TEXTS --voices af_heart zm_yunxi

KOKORO and WHISPER are folders or ids on the Hub, TEXTS are files of sentences, one a line, of which pieces are drawn
as recipes do. Error rates are bounds: Whisper errs too, and pieces of sentences tell it little.
"""

import argparse
import time

import torch
from rapidfuzz.distance import Levenshtein
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from entropy_asr.trainers.data.section import SynthesisSource, choose_texts
from entropy_asr.trainers.data.speech_engines import SpeechEngine, speech_engine
from entropy_asr.trainers.data.synthesis import SAMPLING_RATE
from entropy_asr.trainers.data.text import simplify_characters, units


# Shorter pieces say more about Whisper than about the voice.
LEAST_UNITS = 5


class Listener:
    """Whisper, greedy."""

    def __init__(self, path: str):
        self.processor = WhisperProcessor.from_pretrained(path)
        self.model = WhisperForConditionalGeneration.from_pretrained(path).eval()

    def hear(self, samples, language: str) -> str:
        """What is said, simplified where it is Chinese."""
        features = self.processor(samples, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features
        tokens = self.model.generate(features, language=language, task="transcribe", max_length=120)
        heard = self.processor.decode(tokens[0], skip_special_tokens=True)
        return simplify_characters(heard) if language == "zh" else heard


def measure(engine: SpeechEngine, voice, texts: list[str], listener: Listener) -> str:
    """A line of the voice's error rate and cost."""
    errors = total = 0
    processor_time = duration = 0.0
    for text in texts:
        reading = engine.reading(text, voice)
        start = time.process_time()
        samples = engine.speak(reading, voice)
        processor_time += time.process_time() - start
        duration += len(samples) / SAMPLING_RATE
        said, heard = units(text, voice.language), units(listener.hear(samples, voice.language), voice.language)
        errors += Levenshtein.distance(said, heard)
        total += len(said)
    return (
        f"{voice.name}: {errors} of {total} wrong ({errors / total:.1%}), {processor_time / duration:.2f} s of a core "
        f"for a second of {duration:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kokoro")
    parser.add_argument("whisper")
    parser.add_argument("--english")
    parser.add_argument("--mandarin")
    parser.add_argument("--voices", nargs="*", help="by default all")
    parser.add_argument("--sentences", type=int, default=10, help="each voice's own")
    args = parser.parse_args()
    torch.set_num_threads(1)
    engine, listener = speech_engine("kokoro", args.kokoro), Listener(args.whisper)
    speakers = [voice for voice in engine.all_voices if voice.name in args.voices] if args.voices else engine.voices
    for language, path in (("en", args.english), ("zh", args.mandarin)):
        voices = [voice for voice in speakers if voice.language == language]
        if path is None or not voices:
            continue
        source = SynthesisSource(path, language, num_texts=2000, max_units=16, seed=1, simplify=language == "zh")
        texts = [text for text in choose_texts(source) if len(units(text, language)) >= LEAST_UNITS]
        engine.speak(engine.reading(texts[0], voices[0]), voices[0])  # loads the network
        for index, voice in enumerate(voices):
            own = texts[index * args.sentences : (index + 1) * args.sentences]
            print(measure(engine, voice, own, listener), flush=True)


if __name__ == "__main__":
    main()
