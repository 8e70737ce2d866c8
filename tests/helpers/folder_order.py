# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The folders of the package, from the bottom up: a module imports nothing above its own."""

TRAINERS_FOLDERS = (
    "runs",
    "data",
    "transcription",
    "evaluation",
    "training",
    "stages",
    "recipes",
    "experiments",
    "commands",
)
# Folders beside each other do not import each other.
LAYERS = ({"modeling"}, {"hub_cards", "spaces"}, *({f"trainers/{folder}"} for folder in TRAINERS_FOLDERS))
ORDER = ("modeling", "hub_cards", "spaces", *(f"trainers/{folder}" for folder in TRAINERS_FOLDERS))
