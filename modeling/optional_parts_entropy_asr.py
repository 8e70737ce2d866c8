# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files beside this one that not every checkpoint and not every request needs, and what needs them.

A Space takes along what its modules import, at their top or in functions, but for these where neither its checkpoint
nor its own code needs them (`hub_cards/space_files.py`). So they are imported where they are needed, inside of
[`needed_for`]. Kinds of speech encoders are such files too: `ENCODER_CLASSES` of `components_entropy_asr.py` has them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec


# What makes models, reads others than whole checkpoints of the full model, and checks those of strangers; and files of
# hotwords.
MAKING = (
    "checkpoint_folders_entropy_asr",
    "firered_checkpoint_entropy_asr",
    "hotword_files_entropy_asr",
    "joining_entropy_asr",
    "merged_adapters_entropy_asr",
    "modeling_entropy_asr_ctc",
    "pipeline_parts_entropy_asr",
    "pipeline_registration_entropy_asr",
    "speech_models_entropy_asr",
    "thin_checkpoints_entropy_asr",
)
# By the argument, or the name, that asks for it.
REQUESTED = {
    "diarization_entropy_asr": "diarization",
    "hotwords_inexact_entropy_asr": "hotword_tolerance",
    "hotwords_tolerant_entropy_asr": "hotword_tolerance",
    "loaded_adapters_entropy_asr": "adapters",
    "lora_configuration_entropy_asr": "adapters",
    "misheard_words_entropy_asr": "hotword_tolerance",
    "rescoring_entropy_asr": "num_return_sequences",
    "segment_context_entropy_asr": "carry_context",
    "spoken_language_entropy_asr": "return_language",
    "streaming_transcriber_entropy_asr": "StreamingTranscriber",
    "sure_numbers_entropy_asr": "text_style",
    "text_style_entropy_asr": "text_style",
    "url_entropy_asr": "is_url",
}


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Around an import of what is optional: says so where it is missing.

    Args:
        what: what is asked for.

    Raises:
        ImportError: the file is not here.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if __package__ is None or not (error.name or "").startswith(f"{__package__}."):
            raise
        file = error.name.rpartition(".")[2]
        raise ImportError(
            f"{what} needs {file}.py, which is not here. A Space has what its checkpoint and its own code need: "
            "`entropy-asr publish --space NAME --model MODEL` publishes one for another checkpoint."
        ) from error


def is_here(module: str) -> bool:
    """Whether a file beside this one is there."""
    return find_spec(f"{__package__}.{module}") is not None


__all__ = ["MAKING", "REQUESTED", "is_here", "needed_for"]
