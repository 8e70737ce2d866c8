# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The bundled checkpoint, as what is exported of it is compared with it."""

import pytest
import torch

from entropy_asr.modeling import EntropyASRForConditionalGeneration, EntropyASRProcessor
from entropy_asr.spaces.environment import BUNDLED_CHECKPOINT


@pytest.fixture(scope="module")
def model() -> EntropyASRForConditionalGeneration:
    return EntropyASRForConditionalGeneration.from_pretrained(BUNDLED_CHECKPOINT, dtype=torch.float32)


@pytest.fixture(scope="module")
def processor() -> EntropyASRProcessor:
    return EntropyASRProcessor.from_pretrained(BUNDLED_CHECKPOINT)
