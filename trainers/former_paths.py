# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Import paths of before `trainers` had folders: code that imports from them goes on working.

A former module gives whatever name the modules that it became have; nothing is imported before it is asked for.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


PACKAGE = __name__.rpartition(".")[0]
# Former module: the modules that it became.
FORMER_PATHS = {
    **{
        name: (f"data.{name}",)
        for name in ("augmentation", "batching", "collation", "encoded_speech", "keywords", "text")
    },
    **{name: (f"runs.{name}",) for name in ("console", "launch", "stage_records")},
    **{name: (f"evaluation.{name}",) for name in ("frames", "phone_times", "report_plots", "report_text")},
    **{
        name: (f"training.{name}",)
        for name in (
            *("base", "consistency", "drift", "encoder_swaps", "entropy_monitor", "label_positions", "muon"),
            *("recognition", "rewards", "sharding", "shared_prompts", "snapshots", "training_record"),
        )
    },
    **{
        name: (f"stages.{name}",)
        for name in (
            *("alignment", "attention_pretraining", "context_sft", "encoded_sft", "grpo", "iterative_async_sft"),
            *("joint_sft", "lm_pretraining", "phoneme_head"),
        )
    },
    **{name: (f"recipes.{name}",) for name in ("places", "recipe", "schedule", "stage_reports")},
    **{name: (f"commands.{name}",) for name in ("checks", "cli")},
    "columns": ("data.columns_beside_audio", "data.shared_columns"),
    "encoder_pretraining": ("stages.encoder_pretraining", "data.phoneme_labels"),
    "evaluation_stage": ("stages.evaluation",),
    "ledger": ("entropy_asr.modeling.ledger_entropy_asr",),
    "publish": ("entropy_asr.hub_cards.publish",),
    "recordings": ("commands.audio_inputs",),
    "report": ("evaluation.report", "evaluation.report_options", "evaluation.allocation"),
    "rows": ("data.row_checks", "data.shared_columns"),
    "server": ("entropy_asr.spaces.server.server",),
    "settings": ("runs.settings", "runs.errors"),
    "sft": ("stages.sft", "training.stage_run"),
    "sources": ("data.sources", "data.data_source", "data.decoding", "data.speech_dataset", "data.shared_columns"),
    "stage": ("data.section", "training.stage_run", "runs.records", "runs.clock", "runs.locks"),
    "streaming": ("data.streamed_rows",),
    "subtitles": ("entropy_asr.modeling.subtitles_entropy_asr",),
    "synthesis": ("data.synthesis", "data.synthetic_dataset", "data.synthetic_sentences"),
}


class FormerPaths(MetaPathFinder, Loader):
    """Finds the former modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == PACKAGE and name in FORMER_PATHS else None

    def exec_module(self, module: ModuleType) -> None:
        """Give a module the names of those that it became."""
        places = FORMER_PATHS[module.__name__.rpartition(".")[2]]
        names = [place if place.startswith("entropy_asr.") else f"{PACKAGE}.{place}" for place in places]
        module.__doc__ = f"Import path of before; now {', '.join(names)}."

        def find(name: str) -> Any:
            for other in map(importlib.import_module, names if not name.startswith("__") else ()):
                if hasattr(other, name):
                    return getattr(other, name)
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}; it is {', '.join(names)} now")

        module.__getattr__ = find


def install() -> None:
    """Let Python find the former modules, after all others."""
    if not any(isinstance(finder, FormerPaths) for finder in sys.meta_path):
        sys.meta_path.append(FormerPaths())
