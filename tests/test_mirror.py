# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Tests mirror the sources: `trainers/data/text.py` is tested by `tests/trainers/data/test_text.py`.

What is tested through another file, since a user meets it only there, is stated in TESTED_BY, with that test file.
"""

from pathlib import Path

import pytest


TESTS = Path(__file__).parent
ROOT = TESTS.parent
TESTED_BY = {
    # Readers of files, by files that are read.
    "modeling/test_audio.py": ["audio_files", "file_parts"],
    "modeling/test_hotwords_entropy_asr.py": ["hotword_files"],
    # Parts of one pipeline, and of one stream.
    "modeling/test_pipeline_entropy_asr.py": ["modeling/recognition", "pipeline_arguments"],
    "modeling/test_streaming_entropy_asr.py": ["streaming_model", "streaming_state", "streaming_transcriber"],
    "modeling/test_modeling_entropy_asr_other_encoders.py": ["components", "joining", "speech_models"],
    "modeling/test_modeling_entropy_asr_ctc.py": ["modeling/phoneme_head"],
    "modeling/test_adapters_entropy_asr.py": ["merged_adapters"],
    "modeling/test_word_boundaries_entropy_asr.py": ["misheard_words"],
    "modeling/test_loaded_adapters_entropy_asr.py": ["lora_configuration"],
    "modeling/test_hypotheses_entropy_asr.py": ["rescoring"],
    "modeling/test_hotwords_tolerant_entropy_asr.py": ["hotwords_inexact"],
    # Spaces: each by its page or its metric.
    "spaces/demo/test_page.py": ["demo/app", "demo/events"],
    "spaces/entropy_allocation/test_entropy_allocation.py": [
        "entropy_allocation/collection",
        "entropy_allocation/inputs",
        "entropy_allocation/request",
        "entropy_allocation/summaries",
    ],
    "spaces/test_pages.py": ["entropy_allocation/app", "hallucination_rate/app"],
    "spaces/test_hallucination_rate.py": [
        "hallucination_rate/chinese_numbers",
        "hallucination_rate/detection",
        "hallucination_rate/english_forms",
        "hallucination_rate/spoken",
        "hallucination_rate/units",
    ],
    "spaces/test_environment.py": ["server/settings"],
    "spaces/test_openai_server.py": ["server/openai_errors"],
    "hub_cards/test_gguf_export.py": ["hub_cards/run_gguf"],
    "hub_cards/test_publish.py": ["server/app", "commands/publish"],
    "trainers/commands/test_checks.py": ["commands/demo", "commands/report"],
    "trainers/commands/test_stream_session.py": ["commands/stream"],
    "trainers/commands/test_transcribe.py": ["commands/recognition_options"],
    "trainers/commands/test_cli.py": ["runs/errors"],
    "trainers/evaluation/test_report.py": ["evaluation/allocation", "evaluation/report_options"],
    "trainers/recipes/test_recipe.py": ["recipes/places"],
    # What is kept of an experiment is seen on its page.
    "trainers/experiments/test_page.py": [
        "experiments/plots",
        "experiments/results",
        "experiments/summary",
        "experiments/verdicts",
    ],
    "trainers/experiments/test_experiment.py": ["experiments/claims"],
    # Swaps are seen in the stage that swaps.
    "trainers/stages/test_iterative_async_sft.py": ["training/encoder_swaps"],
    "trainers/recipes/test_recipe_table.py": ["stages/evaluation"],
}
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("modeling", "spaces", "hub_cards", "trainers")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py" and "checkpoint" not in path.parts
)


def stated(source: str) -> str | None:
    """The test file that TESTED_BY states for a source file."""
    name = source.removesuffix(".py").removesuffix("_entropy_asr")
    for test, parts in TESTED_BY.items():
        for part in parts:
            if f"/{name}".endswith(f"/{part}") or name == part or (part.endswith("/") and f"/{part}" in source):
                return test
    return None


def own_tests(source: str) -> list[Path]:
    """Where a source file's own tests are looked for: those of a Space lie beside each other."""
    folder, name = Path(source).parent, f"test_{Path(source).name}"
    return [TESTS / folder / name, *([TESTS / "spaces" / name] if folder.parts[0] == "spaces" else [])]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_file_has_its_test_file(source):
    if not any(path.is_file() for path in own_tests(source)):
        test = stated(source)
        assert test, f"{source} has no {own_tests(source)[0].relative_to(ROOT)}, and TESTED_BY states no other"
        assert (TESTS / test).is_file(), f"TESTED_BY: there is no {test}"


def test_nothing_is_stated_that_has_its_own_test():
    own = [source for source in SOURCES if any(path.is_file() for path in own_tests(source))]
    places = [part for parts in TESTED_BY.values() for part in parts if not part.endswith("/")]
    names = [f"/{source.removesuffix('.py').removesuffix('_entropy_asr')}" for source in own]
    assert not [part for part in places if any(name.endswith(f"/{part}") for name in names)]


def test_what_is_stated_is_there():
    names = [source.removesuffix(".py").removesuffix("_entropy_asr") for source in SOURCES]
    for test, parts in TESTED_BY.items():
        assert (TESTS / test).is_file(), f"there is no {test}"
        for part in parts:
            assert any(f"/{name}".endswith(f"/{part}") or f"/{part}" in f"/{name}" for name in names), part
