# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""transformers' own tests of any model (`ModelTesterMixin`, `ConfigTester`), run on ours.

They are in the source distribution only:

```shell
pip download transformers==5.23.0 --no-deps --no-binary transformers -d /tmp/transformers
tar xzf /tmp/transformers/transformers-5.23.0.tar.gz -C /tmp/transformers
pytest tests/modeling/test_common.py --run_slow --transformers_tests /tmp/transformers/transformers-5.23.0/tests
```
"""

import importlib
import os
import sys
import unittest
from types import ModuleType
from unittest.mock import patch

import pytest
import torch
import transformers
from small_models import small_config, small_encoder_config
from transformers.models.auto import modeling_auto

from entropy_asr.modeling import (
    EntropyASRConfig,
    EntropyASRCTCConfig,
    EntropyASREncoder,
    EntropyASREncoderConfig,
    EntropyASRForConditionalGeneration,
    EntropyASRForCTC,
    EntropyASRModel,
)


FOLDER = os.environ.get("TRANSFORMERS_TESTS")
if FOLDER is None:
    pytest.skip("needs transformers' tests: give their folder with --transformers_tests", allow_module_level=True)

pytestmark = pytest.mark.slow
PACKAGE = "transformers_tests"


def stub(name: str, **contents) -> None:
    """A module of transformers' tests that the source distribution leaves out."""
    module = ModuleType(f"{PACKAGE}.{name}")
    vars(module).update(contents)
    sys.modules[module.__name__] = module


def import_common_tests() -> tuple[ModuleType, ModuleType]:
    """transformers' `test_modeling_common` and `test_configuration_common`."""
    package = ModuleType(PACKAGE)
    package.__path__ = [FOLDER]
    sys.modules[PACKAGE] = package
    stub("exporters")
    stub("exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
    stub("generation")
    stub("generation.test_utils", GenerationTesterMixin=type("GenerationTesterMixin", (), {}))
    stub("utils")
    stub("utils.test_configuration_utils", config_common_kwargs={"return_dict": False, "output_hidden_states": True})
    with patch("transformers.utils.direct_transformers_import", lambda path: transformers):
        names = ("test_modeling_common", "test_configuration_common")
        return tuple(importlib.import_module(f"{PACKAGE}.{name}") for name in names)


modeling_tests, configuration_tests = import_common_tests()
# These tables say which classes have no loss, and which take a label for each token.
modeling_tests.MODEL_MAPPING_NAMES = {
    **modeling_auto.MODEL_MAPPING_NAMES,
    "entropy_asr": "EntropyASRModel",
}
modeling_tests.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES = {
    **modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "entropy_asr": "EntropyASRForConditionalGeneration",
}

BATCH_SIZE, NUM_FRAMES = 3, 50


def speech(mask_name: str) -> dict[str, torch.Tensor]:
    """Features of three utterances, one of them padded."""
    mask = torch.ones(BATCH_SIZE, NUM_FRAMES, dtype=torch.long)
    mask[1, 37:] = 0
    return {"input_features": torch.randn(BATCH_SIZE, NUM_FRAMES, 80), mask_name: mask}


class ModelTester:
    """What the common tests ask of a model's tester, without text."""

    batch_size = BATCH_SIZE
    is_training = True
    num_hidden_layers = 2
    num_attention_heads = 4
    hidden_size = 32
    seq_length = encoder_seq_length = key_length = 13  # encoder frames of NUM_FRAMES
    config_class: type
    config_settings: dict

    def __init__(self, parent: unittest.TestCase):
        self.parent = parent

    def get_config(self):
        return self.config_class(**self.config_settings)

    def prepare_config_and_inputs_for_common(self) -> tuple:
        return self.get_config(), speech("attention_mask")


class EncoderTester(ModelTester):
    config_class = EntropyASREncoderConfig
    config_settings = small_encoder_config().to_dict()


class CTCTester(ModelTester):
    config_class = EntropyASRCTCConfig
    config_settings = {"audio_config": small_encoder_config().to_dict(), "vocab_size": 20}


class FullModelTester(ModelTester):
    config_class = EntropyASRConfig
    config_settings = {
        "audio_config": small_config().audio_config.to_dict(),
        # Weights of usual size: half precision is compared with tolerances made for them.
        "text_config": {**small_config().text_config.to_dict(), "pad_token_id": 0, "initializer_range": 0.02},
        "audio_token_id": 3,
    }
    seq_length = encoder_seq_length = key_length = 12
    vocab_size = 300

    def prepare_config_and_inputs_for_common(self) -> tuple:
        ids = torch.randint(4, 300, (BATCH_SIZE, self.seq_length))
        ids[:, 1:5] = 3  # four audio tokens of 50 feature frames
        ids[1, :2] = 0  # 37 frames are three
        attention_mask = (ids != 0).long()
        return self.get_config(), {"input_ids": ids, "attention_mask": attention_mask, **speech("input_features_mask")}


class CommonTests(modeling_tests.ModelTesterMixin):
    model_tester_class: type[ModelTester]
    config_scalars: dict
    test_resize_embeddings = False

    def setUp(self):
        self.model_tester = self.model_tester_class(self)
        self.config_tester = configuration_tests.ConfigTester(
            self,
            config_class=self.model_tester_class.config_class,
            has_text_modality=False,
            **self.config_scalars,
        )

    def test_config(self):
        self.config_tester.run_common_tests()


class SpeechOnlyTests(CommonTests):
    @unittest.skip("speech goes in as features: there are no token embeddings")
    def test_model_get_set_embeddings(self):
        pass

    def test_model_outputs_equivalence(self):
        """In place of transformers', which subtracts outputs: the mask of valid frames is boolean."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            model = model_class(config).eval()
            with torch.no_grad():
                by_name = model(**inputs, output_hidden_states=True)
                as_tuple = model(**inputs, output_hidden_states=True, return_dict=False)
            for value, expected in zip(as_tuple, by_name.to_tuple(), strict=True):
                torch.testing.assert_close(value, expected)


class EncoderTest(SpeechOnlyTests, unittest.TestCase):
    model_tester_class = EncoderTester
    config_scalars = {"hidden_size": 64, "num_attention_heads": 4, "chunk_size": 3}
    all_model_classes = (EntropyASREncoder,)


class CTCTest(SpeechOnlyTests, unittest.TestCase):
    model_tester_class = CTCTester
    config_scalars = {"vocab_size": 20, "ctc_loss_reduction": "sum"}
    all_model_classes = (EntropyASRForCTC,)


class FullModelTest(CommonTests, unittest.TestCase):
    model_tester_class = FullModelTester
    all_model_classes = (EntropyASRForConditionalGeneration, EntropyASRModel)
    config_scalars = {"adaptor_stacking": 2, "phoneme_vocab_size": 20}
    test_resize_embeddings = True
    _is_composite = True
    # The phoneme head is trained in the CTC stage; the loss of the full model does not reach it.
    test_all_params_have_gradient = False
    # Audio embeddings are a flat list of all utterances' audio tokens.
    skip_test_audio_features_output_shape = True

    # Generation has tests of its own; transformers' are not in the source distribution.
    all_generative_model_classes = ()
