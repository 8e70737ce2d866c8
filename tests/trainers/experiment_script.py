# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The experiment on the paper's claims at the size of a toy, for test_seeds.py; all stages in one process.

python experiment_script.py ARGUMENTS_OF_ENTROPY_ASR -- FILE ... runs it in a process of its own, which is killed as
soon as the first file is there, then again until the second is there, and at last to its end.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import transformers
from audio_rows import encode, write_parquet
from kept_seeds import ENGLISH, MANDARIN
from small_models import small_whisper
from training_helpers import make_rows

from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.experiments import seeds
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe, run_section


SIZES = {
    "encoder_layers": 1,
    "encoder_neurons": 32,
    "language_model_layers": 1,
    "half_language_model_layers": 1,
    "text_steps": 2,
    "head_steps": 1,
    "encoder_steps": 3,
    "drift_interval": 1,
    "alignment_steps": 1,
    "ia_sft_steps": 3,
    "joint_sft_steps": 2,
    "all_sft_steps": 5,
    "test_rows": 2,
    "disturbed_rows": 1,
    "non_speech": 1,
    "max_lines": 600,
    "bf16": "false",
    "save_steps": 1,
}


def write_data(folder: Path) -> None:
    """Data sets by the names that the recipe has, of a few tones each, texts, and a public encoder."""
    languages = {**dict.fromkeys(ENGLISH, "en"), **dict.fromkeys(MANDARIN, "zh"), "esc10_noise": "none"}
    for name, language in languages.items():
        for split in ("train", "dev", "test", "extra"):
            # So many that PAI can be measured on them.
            count = 24 if (name, split) == ("speechocean762", "test") else 4
            rows = make_rows(" ".join([language] * count), seed=len(name + split))
            rows = [
                {
                    "audio": {"bytes": encode(np.asarray(row["samples"]) / 32768), "path": f"{index}.ogg"},
                    **{key: row[key] for key in ("text", "language", "duration")},
                }
                for index, row in enumerate(rows)
            ]
            write_parquet(folder / name, split, rows=rows)
    (folder / "text_lm").mkdir(parents=True)
    texts = folder / "text_lm" / "librispeech_train_clean_100_text.txt"
    texts.write_text("go on then\n" * 600, encoding="utf-8")
    small_whisper("WhisperForConditionalGeneration").save_pretrained(folder / "whisper")
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder / "whisper")


def run_here(until: float, arguments: list[str], log: Path, watch: Callable[[], None], seconds: float) -> bool:
    """Takes the place of `seeds.run_until`: runs the recipe's stages, or the report, in this process."""
    if arguments[0] == "report":
        return cli.main(arguments) == 0
    overrides = arguments[2:]
    position = overrides.index("--output_dir")
    for plan in check_recipe(load_recipe(Path(arguments[1]), overrides[position + 1], overrides[:position])):
        run_section(plan.stage, plan.section, plan.output_dir, plan.seed)
    watch()
    return True


def run_and_kill(main: Callable[[], int], file: Path) -> None:
    """Run in a fork of this process, which spares it all imports, and kill it as soon as a file is there."""
    if (process := os.fork()) == 0:
        os._exit(main())
    while not file.exists():
        if os.waitpid(process, os.WNOHANG) != (0, 0):
            sys.exit(f"ended before {file}")
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


if __name__ == "__main__":
    seeds.run_until = run_here
    end = sys.argv.index("--")
    arguments = sys.argv[1:end]
    for place in sys.argv[end + 1 :]:
        run_and_kill(lambda: cli.main(arguments), Path(place))
    sys.exit(cli.main(arguments))
