# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Our pipeline in transformers' table of tasks, so that `pipeline("automatic-speech-recognition", ...)` finds it."""

from transformers import AutomaticSpeechRecognitionPipeline, Pipeline
from transformers.modeling_utils import PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.processing_utils import ProcessorMixin
from transformers.utils import logging

from .pipeline_entropy_asr import MODEL_TYPE, TASK, EntropyASRPipeline
from .pipeline_parts_entropy_asr import complete_processor


logger = logging.get_logger(__name__)


class SpeechRecognitionDispatcher:
    """Stands for the speech recognition task in transformers' table: our pipeline for our models, else the stock one.

    The table has one class a task, and that class says what is loaded before the model is known. So this one asks for
    processor, tokenizer and feature extractor as options, since models of ours need but the first and others the last
    two, and checks what has come when it knows the model.
    """

    _load_processor = None
    _load_tokenizer = None
    _load_feature_extractor = None
    _load_image_processor = AutomaticSpeechRecognitionPipeline._load_image_processor
    _load_video_processor = AutomaticSpeechRecognitionPipeline._load_video_processor

    def __new__(cls, model: PreTrainedModel, processor: ProcessorMixin | None = None, **kwargs) -> Pipeline:
        if model.config.model_type == MODEL_TYPE:
            parts = [kwargs.pop(name, None) for name in ("tokenizer", "feature_extractor")]
            if processor is None and parts == [None, None]:
                logger.warning(
                    "No processor was given, or it could not be loaded: the model's own folder is looked in."
                )
            return EntropyASRPipeline(model, complete_processor(model.config, processor, *parts), **kwargs)
        for name in ("tokenizer", "feature_extractor"):
            if kwargs.get(name) is None:
                raise ValueError(
                    f"No {name} could be loaded for this `{model.config.model_type}` model: give `{name}=`, an object "
                    "or where to load it from."
                )
        return AutomaticSpeechRecognitionPipeline(model=model, processor=processor, **kwargs)


def register_pipeline() -> None:
    """Let `pipeline("automatic-speech-recognition", ...)` run these models without remote code.

    Called where the package is imported; code that is loaded from a checkpoint leaves transformers' table alone.
    """
    # `register_pipeline` of the registry would warn and drop the task's default model.
    task = PIPELINE_REGISTRY.supported_tasks[TASK]
    PIPELINE_REGISTRY.supported_tasks[TASK] = {**task, "impl": SpeechRecognitionDispatcher}


__all__ = ["register_pipeline"]
