# Copyright 2026 The entropy-asr authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Speech recognition pipeline: what `pipeline("automatic-speech-recognition", ...)` runs for these models.

How it differs from transformers' own speech recognition pipeline: it loads the processor, which writes the prompt;
it pads features on the right and prompts on the left in one call of the processor for a whole batch, so that a
transcript does not depend on what else is in the batch; an item that cannot be transcribed costs itself and not the
others; and what it cannot honour it refuses.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import replace
from functools import partial
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Pipeline
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.modeling_utils import PreTrainedModel
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .adapters_entropy_asr import adapter_base, readable_folder
from .audio import AudioError, load_audio
from .decoding_entropy_asr import DecodingRequest, TranscriptDecoder
from .encoder_rules_entropy_asr import encoder_rules
from .hotword_entries_entropy_asr import check_tolerance_used
from .inputs_entropy_asr import as_pipeline_inputs, in_order
from .long_form_entropy_asr import LongFormTranscriber, item_name
from .modeling_entropy_asr import EntropyASRForConditionalGeneration
from .optional_parts_entropy_asr import needed_for
from .pipeline_arguments_entropy_asr import PipelineArguments
from .processing_entropy_asr import EntropyASRProcessor, check_processor, window_samples
from .recognition_entropy_asr import BatchedUtterance, BatchRecognizer
from .results_entropy_asr import WantedOutputs, make_result


if TYPE_CHECKING:
    from .diarization_entropy_asr import Diarizations

TASK = "automatic-speech-recognition"
MODEL_TYPE = "entropy_asr"


class EntropyASRPipeline(Pipeline):
    r"""
    Transcribes audio: `pipe("speech.wav")` gives `{"text": "..."}`.

    Decoding is greedy unless `generate_kwargs` say otherwise, whatever the checkpoint's generation configuration says
    about sampling and length; its other settings hold. An utterance gets at most 8 new tokens and 4 for each of its
    audio tokens (25 a second with the paper's encoder), unless `max_new_tokens` is given.

    Args:
        model ([`EntropyASRForConditionalGeneration`]): the model.
        processor ([`EntropyASRProcessor`], *optional*): its processor; by default the one that lies where the model
            was loaded from.
        tokenizer, feature_extractor (*optional*): without a processor, what takes the places of its own.
        kwargs: what `__call__` takes, as defaults of all calls, and the arguments of [`Pipeline`].

    Example:

    ```python
    >>> from transformers import pipeline

    >>> pipe = pipeline("automatic-speech-recognition", "path/or/hub-id", trust_remote_code=True)
    >>> pipe("speech.flac", language="en")
    {'text': 'hello world'}
    >>> pipe(["one.wav", {"array": samples, "sampling_rate": 8000}], batch_size=2, hotwords=["Kaldi"])
    [{'text': ...}, {'text': ...}]
    ```
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(
        self,
        model: PreTrainedModel,
        processor: ProcessorMixin | None = None,
        task: str = TASK,
        tokenizer: PreTrainedTokenizerBase | None = None,
        feature_extractor: FeatureExtractionMixin | None = None,
        **kwargs,
    ):
        if model.config.model_type != MODEL_TYPE:
            raise ValueError(f"{type(self).__name__} runs `{MODEL_TYPE}` models, not `{model.config.model_type}`.")
        for name in ("image_processor", "video_processor"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"{type(self).__name__} takes no `{name}`: its input is audio.")
        for name, part in (("tokenizer", tokenizer), ("feature_extractor", feature_extractor)):
            if processor is not None and part is not None:
                raise ValueError(f"{type(self).__name__} takes no `{name}` beside a processor: it uses its parts.")
        if processor is None:
            with needed_for("a pipeline without a processor"):
                from .pipeline_parts_entropy_asr import complete_processor
            processor = complete_processor(model.config, None, tokenizer, feature_extractor)
        check_processor(model.config, processor)
        self._chunk_length_s = kwargs.pop("chunk_length_s", None)
        self._carry_context = kwargs.pop("carry_context", False)
        self.decoder = TranscriptDecoder(model, processor)
        self._recognizer = BatchRecognizer(self.decoder)
        super().__init__(model=model, processor=processor, task=task, **kwargs)

    def __call__(
        self,
        inputs: Any,
        chunk_length_s: float | None = None,
        progress: bool = False,
        batch_size: int | None = None,
        num_workers: int | None = None,
        diarization: Any = None,
        carry_context: bool | None = None,
        **kwargs,
    ) -> dict[str, Any] | list[dict[str, Any]] | Iterator[dict[str, Any]]:
        """Transcribe one item, or several.

        Args:
            inputs: Anything [`load_audio`] reads: a path, the bytes of an audio file, a 1-D or 2-D array or tensor (at
                the model's 16 kHz), or a mapping such as `{"array" or "raw", "sampling_rate"}` or `{"bytes", "path"}`
                at any sampling rate. Or several of them: a list, a tuple, an array of paths, a table's column, a
                generator or other iterator, a PyTorch data set, a Hugging Face data set with one column of audio, or
                its column, as `dataset["audio"]` or a [`~transformers.pipelines.pt_utils.KeyDataset`].
            chunk_length_s (`float`, *optional*): items longer than this are read in blocks, cut at pauses into
                segments of at most so many seconds, and transcribed in batches of them, in little memory (but with
                `num_workers`, which load whole items). By default 30; 0 for never.
            progress (`bool`, *optional*, defaults to `False`): whether to show a bar while segments are transcribed.
            batch_size (`int`, *optional*): items or segments transcribed together; it changes no transcript. By
                default each item alone, and of segments up to 8 that together last up to 64 s, padding included.
            num_workers (`int`, *optional*, defaults to 0): processes that load audio.
            diarization (*optional*): who speaks when, in any form that [`read_diarization`] reads; of several items a
                list of them, or an RTTM file that names recordings as their files are named. Items are then cut where
                the speaker changes too, see [`~diarization_entropy_asr`]: adds `segments` with `speaker`, `None` where
                nobody is known to speak, and `other_speakers` at the same time; chunks of words have `speaker`.
            carry_context (`bool`, *optional*, defaults to `False`): whether each segment of a long item is told the
                last sentence of the one before, as a hint; they are then transcribed one by one.
            kwargs: further settings, by name, which [`PipelineArguments`] explains: `language`, `hotwords`,
                `hotword_tolerance`, `adapter`, `text_style`, `guards`, `return_timestamps`, `return_segments`,
                `return_confidence`, `return_flags`, `return_hotwords`, `return_language`, `num_return_sequences`,
                `rescoring_weight`, `num_beams`, `max_new_tokens`, `generate_kwargs`.

        Returns:
            `{"text": str}` for one item; an iterator over them for generators, iterators and PyTorch data sets; a list
            of them for all other inputs of several.
            Audio without speech has the text `""`. With timestamps, `chunks` is a list of `{"text": str, "timestamp":
            (start, end)}` in seconds; the texts of words or of segments, joined as they are, are the text. Times are
            `None` where the text has more phonemes than the audio has room for.
            Of several items, one that cannot be read or is longer than the model can take has the result
            `{"text": "", "error": str}`, which names it and the reason; the others have theirs.

        Raises:
            AudioError: the one item cannot be read or is longer than the model can take; the message names it.
            ValueError: an argument that cannot be honoured.
            ImportError: an argument needs an extra that is not installed.
        """
        inputs, wants_list = as_pipeline_inputs(inputs)
        if wants_list and not len(inputs):
            return []
        params = self._call_parameters(kwargs)
        is_single = not isinstance(inputs, list | Dataset | GeneratorType)
        if diarization is not None:
            diarization = self._diarizations(diarization, inputs, is_single)
        run = self._transcriber(params, chunk_length_s, progress, diarization, carry_context)
        num_workers = self._num_workers if num_workers is None else num_workers
        if run.is_asked_to_cut and num_workers:
            raise ValueError("`num_workers` must be 0 where audio is cut into segments: one reader knows their order.")
        batch_size = batch_size or self._batch_size
        if is_single:
            return _unless_error(next(run([inputs], batch_size, numbered=False)))
        across_items = run.is_asked_to_cut or (batch_size or 1) > 1
        results = run(self._loaded(inputs, num_workers), batch_size, across_items)
        return list(results) if wants_list else results

    @staticmethod
    def _diarizations(given: Any, inputs: Any, is_single: bool) -> "Diarizations":
        with needed_for("`diarization`"):
            from .diarization_entropy_asr import Diarizations
        num_items = len(inputs) if isinstance(inputs, Sized) else None
        return Diarizations(given, None if is_single else num_items, is_single)

    def _transcriber(
        self,
        params: tuple[dict[str, Any], ...],
        chunk_length_s: float | None,
        progress: bool,
        diarization: "Diarizations | None",
        carry_context: bool | None,
    ) -> LongFormTranscriber:
        """What runs the items of a call; `chunk_length_s` and `carry_context` are the pipeline's where it has none."""
        wanted = WantedOutputs(**params[2])
        if diarization is not None:
            wanted = replace(wanted, return_segments=True)
        if chunk_length_s is None:
            chunk_length_s = self._chunk_length_s
        recognize = partial(self._recognize, params=params)
        rate = self.processor.sampling_rate
        context = self._next_context if (self._carry_context if carry_context is None else carry_context) else None
        return LongFormTranscriber(recognize, wanted, chunk_length_s, rate, progress, diarization, context)

    def _next_context(self, utterance: BatchedUtterance) -> str:
        with needed_for("`carry_context`"):
            from .segment_context_entropy_asr import next_context
        return next_context(utterance.transcript, utterance.context, self.processor.tokenizer)

    def _loaded(self, inputs: Any, num_workers: int | None) -> Iterable[Any]:
        """Items in their order; with workers, what these loaded of them, or why they could not."""
        if not num_workers:
            return in_order(inputs)
        if isinstance(inputs, Sized):
            items = PipelineDataset(inputs, self._load, {})
        elif num_workers > 1:
            raise ValueError("`num_workers` above 1 needs inputs with a length: every worker would read all of them.")
        else:
            items = PipelineIterator(inputs, self._load, {})
        return DataLoader(items, num_workers=num_workers, batch_size=None, collate_fn=_unchanged)

    def _load(self, item: Any) -> dict[str, Any] | AudioError:
        try:
            loaded = self.preprocess(item)
        except AudioError as error:
            return error
        return {"array": loaded.waveform, "sampling_rate": self.processor.sampling_rate, "path": loaded.name}

    def _recognize(
        self, utterances: list[BatchedUtterance], are_pieces: bool, params: tuple[dict[str, Any], ...]
    ) -> list[dict[str, Any]]:
        """Results of a batch."""
        preprocess_params, forward_params, postprocess_params = params
        model_inputs = self.collate(utterances, **preprocess_params)
        if are_pieces:
            self._pad_to_whole_seconds(model_inputs["inputs"])
        outputs = self.forward(model_inputs, **forward_params)
        return [self.postprocess(utterance, **postprocess_params) for utterance in outputs["utterances"]]

    def _pad_to_whole_seconds(self, inputs: dict[str, torch.Tensor]) -> None:
        """Let batches of hours have few shapes: for each new one oneDNN keeps kernels, up to a thousand of them.

        Padding changes nothing in our encoders; others get what their feature extractor gives.
        """
        if not encoder_rules(self.model.config.audio_config).streams:
            return
        missing = -inputs["input_features"].shape[1] % round(1000 / self.processor.feature_extractor.frame_shift)
        for name, sides in (("input_features", (0, 0, 0, missing)), ("input_features_mask", (0, missing))):
            inputs[name] = torch.nn.functional.pad(inputs[name], sides)

    @property
    def request(self) -> DecodingRequest:
        """What the pipeline was made to ask of the model, where a call says nothing else."""
        return DecodingRequest(**self._forward_params)

    @property
    def wanted(self) -> WantedOutputs:
        """What the pipeline was made to give beside texts, where a call says nothing else."""
        return WantedOutputs(**self._postprocess_params)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that were loaded."""
        return self.decoder.adapters.names

    def load_adapter(self, path: str | os.PathLike, name: str) -> None:
        """Load LoRA adapters beside the model, for calls and streams to choose by `adapter=name`.

        Calls without are answered by the model as it is. While a call with an adapter is at work, others wait for it.

        Args:
            path: folder or Hub id, as PEFT and the trainers save adapters.
            name: what calls name them by.

        Raises:
            ImportError: peft is not installed.
            OSError: the path cannot be read.
            ValueError: no adapters of this model, or of a kind that would change it for others; or a name that is
                taken.
        """
        self.decoder.adapters.load(path, name)

    def save_pretrained(self, save_directory, **kwargs):
        """Save the model and its processor.

        Raises:
            ValueError: the model has adapters beside it.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    def _call_parameters(self, given: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        """Parameters of the three steps: the pipeline's own, and over them those of a call."""
        defaults = (self._preprocess_params, self._forward_params, self._postprocess_params)
        own = self._sanitize_parameters(**given)
        params = tuple({**default, **given} for default, given in zip(defaults, own, strict=True))
        generate_kwargs = [values.get("generate_kwargs", {}) for values in (self._forward_params, own[1])]
        params[1]["generate_kwargs"] = generate_kwargs[0] | generate_kwargs[1]
        # What cannot be honoured is refused before any audio is read.
        settings = self.decoder.generation_settings(params[1]["generate_kwargs"])
        request = DecodingRequest(**params[1])
        self.decoder.check_rescoring(settings, request.rescoring_weight)
        self.decoder.check_language(request.return_language, request.language)
        WantedOutputs(**params[2]).check(request.language)
        if "rescoring_weight" in own[1] and not settings.wants_hypotheses:
            raise ValueError("`rescoring_weight` ranks hypotheses: ask for some with `num_return_sequences`.")
        check_tolerance_used(own[1].get("hotword_tolerance"), request.hotwords)
        params[2]["return_hypotheses"] = settings.wants_hypotheses
        return params

    def _sanitize_parameters(self, **given) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return PipelineArguments.of(given).of_steps(self.decoder)

    def preprocess(self, input_: Any) -> BatchedUtterance:
        """Load one item: its samples `(num_samples,)` at the model's rate, and what messages call it.

        Raises:
            AudioError: it cannot be read; the message names it.
        """
        rate = self.processor.sampling_rate
        waveform = load_audio(input_, target_sampling_rate=rate)
        return BatchedUtterance(item_name(input_), waveform, len(waveform) / rate)

    def collate(self, utterances: list[BatchedUtterance], language: str | None = None) -> dict[str, Any]:
        """One batch of the model's inputs: the processor pads features on the right and prompts on the left."""
        # What is longer than the features' window gets an error of its own from its length, and the others go on.
        window = window_samples(self.processor.feature_extractor)
        waveforms = [utterance.waveform[:window] for utterance in utterances]
        inputs = dict(self.processor.apply_transcription_request(waveforms, language=language))
        return {"inputs": inputs, "utterances": utterances}

    def _forward(self, model_inputs: dict[str, Any], **request) -> dict[str, Any]:
        """Encode once, then let guards and hotwords look at the phonemes, then generate: `{"utterances": list}`."""
        utterances = self._recognizer(model_inputs["utterances"], model_inputs["inputs"], DecodingRequest(**request))
        return {"utterances": utterances}

    def postprocess(self, model_outputs: BatchedUtterance, **wanted) -> dict[str, Any]:
        """Result of one utterance: its text without surrounding white space, in which nothing is repaired."""
        return make_result(model_outputs, self.decoder, WantedOutputs(**wanted))


def load_pipeline(
    model: str | os.PathLike,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    adapters: Mapping[str, str | os.PathLike] | None = None,
) -> EntropyASRPipeline:
    """Load a pipeline with this package's own classes: no remote code.

    Args:
        model: Folder or Hub id, also of adapters (PEFT), which are merged into the model they were trained on.
        device: "cpu", "cuda", "cuda:1", ...; a GPU if there is one by default.
        dtype: Of the weights: "float32", "bfloat16" or "float16". By default the checkpoint's, but float32 on a CPU:
            there bfloat16 takes half the memory and more time (`tiny`: up to a quarter, with bfloat16 instructions).
        adapters: Folders or Hub ids of LoRA adapters beside the model, by the names that calls choose them by, see
            [`EntropyASRPipeline.load_adapter`].

    Raises:
        OSError: no such folder or model.
        ValueError: a model of another type, a folder that is damaged, or adapters that cannot lie beside it.
    """
    with readable_folder(model):
        _check_type(model)
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    device = torch.device(device)
    if dtype is None:
        dtype = torch.float32 if device.type == "cpu" else "auto"
    with readable_folder(model):
        loaded, info = EntropyASRForConditionalGeneration.from_pretrained(model, dtype=dtype, output_loading_info=True)
        _check_weights(model, info["missing_keys"])
        processor = EntropyASRProcessor.from_pretrained(model)
        processor(np.zeros(processor.sampling_rate // 10, np.float32))  # what it cannot do, it shall say now
        pipeline = EntropyASRPipeline(model=loaded.eval(), processor=processor, device=device)
    for name, path in (adapters or {}).items():
        pipeline.load_adapter(path, name)
    return pipeline


def _check_weights(model: str | os.PathLike, missing: Iterable[str]) -> None:
    """Refuse a model without some of its weights, which would be random; of the phoneme head it is known."""
    missing = sorted(name for name in missing if not name.startswith("phoneme_head."))
    if missing:
        raise ValueError(f"{os.fspath(model)} lacks {len(missing)} weights of its model, such as {missing[0]}.")


def _check_type(model: str | os.PathLike) -> None:
    """Refuse models of another type, also those that adapters stand on."""
    base = adapter_base(model)
    if base is not None and base != os.fspath(model):
        if os.path.isdir(base):  # otherwise loading says what is missing
            _check_type(base)
        return
    model_type = PreTrainedConfig.get_config_dict(model)[0].get("model_type")
    if model_type != MODEL_TYPE:
        raise ValueError(f"{model} holds a model of type `{model_type}`, not `{MODEL_TYPE}`.")


def _unchanged(item: Any) -> Any:
    return item


def _unless_error(result: dict[str, Any]) -> dict[str, Any]:
    if "error" in result:
        raise AudioError(result["error"])
    return result


__all__ = ["EntropyASRPipeline", "load_pipeline"]
