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
transcript does not depend on what else is in the batch; and what it cannot honour it refuses.
"""

import copy
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import partial
from types import GeneratorType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import AutomaticSpeechRecognitionPipeline, GenerationConfig, Pipeline
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.generation import LogitsProcessorList, StoppingCriteriaList
from transformers.modeling_utils import PreTrainedModel
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging

from .adapters_entropy_asr import adapter_base
from .alignment_entropy_asr import align_text_phonemes, align_words
from .audio import AudioError, load_audio
from .generation_entropy_asr import RowEndProcessor, RowLengthCriteria, check_encoder_token_settings, rows_at_bound
from .guards_entropy_asr import LENGTH_LIMIT, NO_SPEECH, GuardSettings, is_speech_absent, judge_transcript
from .hotwords_entropy_asr import HotwordIndex, as_index, is_index
from .hotwords_tolerant_entropy_asr import check_tolerance
from .inputs_entropy_asr import as_pipeline_inputs, in_order
from .languages_entropy_asr import AUTOMATIC, language_code
from .long_form_entropy_asr import SEGMENT_SECONDS, LongFormTranscriber, batch_segments, needs_segments
from .modeling_entropy_asr import EntropyASRForConditionalGeneration, EntropyASRSpeechOutput
from .processing_entropy_asr import EntropyASRProcessor
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


logger = logging.get_logger(__name__)

TASK = "automatic-speech-recognition"
MODEL_TYPE = "entropy_asr"
# An audio token is 160 ms with the paper's encoder and stacking: 4 a token are 25 a second. Speech of 6 English words
# or 7 Chinese characters a second stays below with a vocabulary of a few thousand; a repetition loop is cut early.
NEW_TOKENS_PER_AUDIO_TOKEN = 4
# For clips so short that their few audio tokens promise less than one word.
MIN_NEW_TOKENS = 8
# Arguments of the stock pipeline that have no meaning here.
UNSUPPORTED = ("stride_length_s",)
# Arguments of the pipeline that decide on the prompt and what is generated at all.
OWN_ARGUMENTS = ("language", "hotwords", "hotword_tolerance", "guards")
TIMED_UNITS = ("word", "phoneme")
# Ways of `generate` to be faster that look at token ids, where a prompt with speech has embeddings: some of them give
# another text than greedy search, some fail.
UNSUPPORTED_GENERATION = (
    "assistant_model",
    "assistant_early_exit",
    "prompt_lookup_num_tokens",
    "prefill_chunk_size",
    "token_healing",
)
DEFAULT_GUARDS = GuardSettings()


class NumberedItems(Dataset):
    """The items of a sized input with their positions, which error messages name."""

    def __init__(self, items: Sized):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self.items[index]


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
                raise ValueError(f"{type(self).__name__} takes no `{name}`: it hears.")
        for name, part in (("tokenizer", tokenizer), ("feature_extractor", feature_extractor)):
            if processor is not None and part is not None:
                raise ValueError(f"{type(self).__name__} takes no `{name}` beside a processor: it uses its parts.")
        processor = complete_processor(model.config, processor, tokenizer, feature_extractor)
        self._chunk_length_s = kwargs.pop("chunk_length_s", None)
        # Times of segments are asked for before there are segments, whose own parameters know words and phonemes.
        self._times_segments = kwargs.get("return_timestamps") is True
        if self._times_segments:
            del kwargs["return_timestamps"]
        self._last_hotwords: tuple[tuple[str, ...], HotwordIndex] | None = None
        super().__init__(model=model, processor=processor, task=task, **kwargs)

    def __call__(
        self, inputs: Any, chunk_length_s: float | None = None, progress: bool = False, **kwargs
    ) -> dict[str, str] | list[dict[str, str]] | Iterable[dict[str, str]]:
        """Transcribe one item, or several.

        Args:
            inputs: Anything [`load_audio`] reads: a path, the bytes of an audio file, a 1-D or 2-D array or tensor (at
                the model's 16 kHz), or a mapping such as `{"array" or "raw", "sampling_rate"}` or `{"bytes", "path"}`
                at any sampling rate. Or several of them: a list, a tuple, an array of paths, a table's column, a
                generator or other iterator, a PyTorch data set, a Hugging Face data set with one column of audio, or
                its column, as `dataset["audio"]` or a [`~transformers.pipelines.pt_utils.KeyDataset`].
            chunk_length_s (`float`, *optional*): items longer than this are read in blocks, cut at pauses into
                segments of at most so many seconds, and transcribed in batches of them, in little memory. 0 for
                never. By default 30 where an item lasts longer (with `num_workers`, those of generators and PyTorch
                data sets are not looked into).
            progress (`bool`, *optional*, defaults to `False`): whether to show a bar while segments are transcribed.
            batch_size (`int`, *optional*, defaults to 1): items transcribed together; it changes no transcript. Of
                segments by default up to 8 that together last up to 64 s, padding included.
            num_workers (`int`, *optional*, defaults to 0): processes that load audio.
            language (`str`, *optional*): in any form that [`language_code`] understands; the model decides by default.
            hotwords (`list[str]` or [`HotwordIndex`], *optional*): words to listen for, as many as there are. Those
                whose phonemes are heard are hints to the model. A list needs the extra `g2p`.
            hotword_tolerance (`float`, *optional*, defaults to 0): also takes words that are nearly heard, see
                [`HotwordIndex.search`].
            return_timestamps (`str` or `bool`, *optional*): "word" or "phoneme" adds `chunks`; needs the extra `g2p`.
                `True` adds those of segments, however long the item is.
            return_confidence (`bool`, *optional*, defaults to `False`): adds `confidence`, how far the phoneme head
                supports the text, and `flags`; to chunks, `confidence`. Needs the extra `g2p`.
            return_flags (`bool`, *optional*, defaults to `False`): adds `flags`: "no_speech", "length_limit" (the text
                did not end by itself), "low_agreement" (with confidence).
            return_hotwords (`bool`, *optional*, defaults to `False`): adds `hotwords_found`, the hotwords that were
                heard and so were hints to the model; of segments, those of any.
            guards (`bool`, `dict` or [`GuardSettings`], *optional*, defaults to `True`): guards against
                hallucination; a dict sets some of their fields, `False` switches all off.
            num_beams (`int`, *optional*): width of the beam search.
            max_new_tokens (`int`, *optional*): longest transcript in tokens.
            generate_kwargs (`dict`, *optional*): further arguments of `generate`. Whatever reads tokens (repetition
                penalties, `bad_words_ids`, `min_length`, `stop_strings`, your own `logits_processor` and
                `stopping_criteria`, ...) sees the transcript alone: neither the prompt nor its hotwords.

        Returns:
            `{"text": str}` for one item; an iterator over them for generators, iterators and PyTorch data sets; a list
            of them for all other inputs of several.
            Audio without speech has the text `""`. With timestamps, `chunks` is a list of `{"text": str, "timestamp":
            (start, end)}` in seconds; the texts of words or of segments, joined as they are, are the text. Times are
            `None` where the text has more phonemes than the audio has room for.

        Raises:
            AudioError: an item that cannot be read or is longer than the model can take; the message names the item.
            ValueError: an argument that cannot be honoured.
            ImportError: an argument needs an extra that is not installed.
        """
        inputs, wants_list = as_pipeline_inputs(inputs)
        if wants_list and not len(inputs):
            return []
        chunk_length_s = self._chunk_length_s if chunk_length_s is None else chunk_length_s
        if self._times_segments and kwargs.get("return_timestamps") is None:
            kwargs["return_timestamps"] = True
        if needs_segments(inputs, chunk_length_s, kwargs.get("return_timestamps")):
            results = self._transcribe_segments(inputs, chunk_length_s or SEGMENT_SECONDS, progress, **kwargs)
        elif chunk_length_s is None and self._reads_as_it_goes(inputs, **kwargs):
            results = self._transcribe_stream(inputs, progress, **kwargs)
        else:
            results = super().__call__(inputs, **kwargs)
        return list(results) if wants_list else results

    def _reads_as_it_goes(self, inputs: Any, num_workers: int | None = None, **kwargs) -> bool:
        """Whether the lengths of items are not known before each is read, in this process."""
        workers = self._num_workers if num_workers is None else num_workers
        return isinstance(inputs, Dataset | GeneratorType) and not workers

    def _transcribe_stream(
        self, inputs: Iterable[Any], progress: bool, batch_size: int | None = None, **kwargs
    ) -> Iterator[dict[str, Any]]:
        """Results in batches of a size that was asked for; else one by one, each before the next item is read."""
        if (batch_size or self._batch_size or 1) > 1:
            return self._transcribe_segments(inputs, SEGMENT_SECONDS, progress, batch_size=batch_size, **kwargs)
        preprocess_params, forward_params, postprocess_params = self._call_parameters(kwargs)

        def transcribe(numbered: tuple[int, Any]) -> dict[str, Any]:
            index, item = numbered
            if needs_segments([item], None, None):
                return self._transcribe_segments([item], SEGMENT_SECONDS, progress, first_index=index, **kwargs)[0]
            batch = self.collate([self._preprocess_numbered(numbered)], **preprocess_params)
            return self.postprocess(self.forward(batch, **forward_params), **postprocess_params)

        return map(transcribe, enumerate(in_order(inputs)))

    def _call_parameters(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        """Parameters of the three steps: the pipeline's own, and over them those of a call."""
        defaults = (self._preprocess_params, self._forward_params, self._postprocess_params)
        own = self._sanitize_parameters(**given)
        params = [{**default, **given} for default, given in zip(defaults, own, strict=True)]
        self._check_generation(params[1])
        return params

    def _transcribe_segments(
        self,
        inputs: Any,
        chunk_length_s: float,
        progress: bool,
        return_timestamps: bool | str | None = None,
        num_workers: int | None = None,
        batch_size: int | None = None,
        first_index: int = 0,
        **kwargs,
    ) -> dict[str, str] | list[dict[str, str]] | Iterable[dict[str, str]]:
        """Transcribe items of any length by their segments, see [`LongFormTranscriber`]."""
        if num_workers:
            raise ValueError("`num_workers` must be 0 where audio is cut into segments: one reader knows their order.")
        if return_timestamps is not True and return_timestamps is not None:
            kwargs["return_timestamps"] = return_timestamps
        params = self._call_parameters(kwargs)
        transcribe = partial(self._transcribe_batches, params=params, batch_size=batch_size or self._batch_size)
        if return_timestamps is None:
            return_timestamps = params[2].get("return_timestamps")
        run = LongFormTranscriber(transcribe, chunk_length_s, return_timestamps, progress, _silent_result(params[2]))
        if isinstance(inputs, list):
            return list(run(inputs, first_index))
        if isinstance(inputs, (Dataset, GeneratorType)):
            return run(in_order(inputs))
        return next(run([inputs]))

    def _transcribe_batches(
        self, segments: Iterable[dict[str, Any]], params: list[dict[str, Any]], batch_size: int | None
    ) -> Iterator[dict[str, Any]]:
        """Results of segments, in batches of different sizes, which transformers' iterators cannot take apart."""
        preprocess_params, forward_params, postprocess_params = params
        for batch in batch_segments(segments, batch_size):
            items = [self.preprocess(segment) for segment in batch]
            model_inputs = self.collate(items, **preprocess_params)
            self._pad_to_whole_seconds(model_inputs["inputs"])
            outputs = self.forward(model_inputs, **forward_params)
            for number, row in enumerate(outputs["rows"]):
                output = {"sequences": outputs["sequences"][number : number + 1], "rows": row}
                yield self.postprocess(output, **postprocess_params)

    def _pad_to_whole_seconds(self, inputs: dict[str, torch.Tensor]) -> None:
        """Let batches of hours have few shapes: for each new one oneDNN keeps kernels, up to a thousand of them.

        Padding changes nothing in our encoder; others get what their feature extractor gives.
        """
        if self.model.config.audio_config.model_type != "entropy_asr_encoder":
            return
        missing = -inputs["input_features"].shape[1] % round(1000 / self.processor.feature_extractor.frame_shift)
        for name, sides in (("input_features", (0, 0, 0, missing)), ("input_features_mask", (0, missing))):
            inputs[name] = torch.nn.functional.pad(inputs[name], sides)

    def save_pretrained(self, save_directory, **kwargs):
        """Save the model and its processor."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(
        self,
        language: str | None = None,
        hotwords: list[str] | HotwordIndex | None = None,
        hotword_tolerance: float | None = None,
        return_timestamps: str | bool | None = None,
        return_confidence: bool | None = None,
        return_flags: bool | None = None,
        return_hotwords: bool | None = None,
        guards: GuardSettings | dict[str, Any] | bool | None = None,
        num_beams: int | None = None,
        max_new_tokens: int | None = None,
        generate_kwargs: dict[str, Any] | None = None,
        **others,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        _refuse(others)
        # "auto" is kept: it may take back a language that the pipeline was made with.
        language = None if language is None else language_code(language, optional=True) or AUTOMATIC
        forward_params = dict(generate_kwargs or {})
        if misplaced := [name for name in OWN_ARGUMENTS if name in forward_params]:
            raise ValueError(f"`{misplaced[0]}` is no argument of `generate`: give it beside `generate_kwargs`.")
        for name, value in (("num_beams", num_beams), ("max_new_tokens", max_new_tokens)):
            if value is not None and forward_params.setdefault(name, value) != value:
                raise ValueError(f"`{name}` is {value}, but {forward_params[name]} in `generate_kwargs`.")
        # Only what is given: the rest may be a default of the pipeline's.
        if hotwords is not None:
            forward_params["hotwords"] = self._as_index(hotwords)
        if hotword_tolerance is not None:
            check_tolerance(hotword_tolerance)
            forward_params["hotword_tolerance"] = hotword_tolerance
        self._check_wanted(return_timestamps, return_confidence)
        wanted = {
            "return_timestamps": return_timestamps,
            "return_confidence": return_confidence,
            "return_flags": return_flags,
            "return_hotwords": return_hotwords,
            "guards": None if guards is None else GuardSettings.of(guards),
            "language": language,
        }
        wanted = {name: value for name, value in wanted.items() if value is not None}
        shared = {name: value for name, value in wanted.items() if name in ("guards", "language")}
        return {name: value for name, value in shared.items() if name == "language"}, forward_params | shared, wanted

    def _as_index(self, hotwords: list[str] | HotwordIndex) -> HotwordIndex:
        """Index of hotwords; that of a list is kept for the next call with the same list."""
        self._check_phoneme_head("`hotwords`")
        if is_index(hotwords):
            return hotwords
        if not isinstance(hotwords, (list, tuple)) or not all(isinstance(word, str) for word in hotwords):
            raise ValueError(f"`hotwords` must be a list of words or a `HotwordIndex`, not {hotwords!r}.")
        last = self._last_hotwords  # read once: another thread may replace it meanwhile
        if last is None or last[0] != tuple(hotwords):
            last = tuple(hotwords), as_index(hotwords, self.processor.phoneme_tokenizer)
            self._last_hotwords = last
        return last[1]

    def _check_wanted(self, return_timestamps: str | bool | None, return_confidence: bool | None) -> None:
        """Refuse times of unknown units, and what needs phonemes of text where they cannot be had."""
        if return_timestamps not in (None, False, *TIMED_UNITS):
            units = ", ".join(map(repr, TIMED_UNITS))
            raise ValueError(f"`return_timestamps` must be one of {units}, not {return_timestamps!r}.")
        if return_timestamps or return_confidence:
            self._check_phoneme_head("`return_timestamps`" if return_timestamps else "`return_confidence`")
            self.processor.phoneme_tokenizer.phonemize("a 一")  # an ImportError that names the extra, before the work

    def _check_phoneme_head(self, argument: str) -> None:
        if not self.model.config.phoneme_head_trained:
            raise ValueError(
                f"{argument} needs the phoneme head, and that of this model was never trained "
                "(`phoneme_head_trained` in its configuration): the encoder came without one. Train it with "
                "`entropy-asr train phoneme_head`."
            )

    def _check_generation(self, forward_params: dict[str, Any]) -> None:
        """Refuse generation settings before any audio is read."""
        self._generation_config({name: value for name, value in forward_params.items() if name not in OWN_ARGUMENTS})

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> PipelineIterator:
        """As in [`Pipeline`], with the processor's padding and errors that name the position of an item."""
        self._check_generation(forward_params)
        if isinstance(inputs, Sized):
            items = PipelineDataset(NumberedItems(inputs), self._preprocess_numbered, {})
        elif num_workers > 1:
            raise ValueError("`num_workers` above 1 needs inputs with a length: every worker would read all of them.")
        else:
            items = PipelineIterator(enumerate(inputs), self._preprocess_numbered, {})
        collate = partial(self.collate, **preprocess_params)
        batches = DataLoader(items, num_workers=num_workers, batch_size=batch_size, collate_fn=collate)
        outputs = PipelineIterator(batches, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(outputs, self.postprocess, postprocess_params)

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> dict[str, str]:
        """Transcribe one item."""
        self._check_generation(forward_params)
        batch = self.collate([self.preprocess(inputs)], **preprocess_params)
        return self.postprocess(self.forward(batch, **forward_params), **postprocess_params)

    def preprocess(self, input_: Any) -> dict[str, Any]:
        """Load one item: its samples `(num_samples,)` at the model's rate, and what messages call it."""
        waveform = load_audio(input_, target_sampling_rate=self.processor.sampling_rate)
        path = input_.get("path") if isinstance(input_, Mapping) else input_
        return {"waveform": waveform, "name": str(path) if isinstance(path, (str, os.PathLike)) else "audio"}

    def _preprocess_numbered(self, numbered: tuple[int, Any]) -> dict[str, Any]:
        index, item = numbered
        try:
            loaded = self.preprocess(item)
        except AudioError as error:
            raise AudioError(f"item {index}: {error}") from error
        return {**loaded, "name": f"item {index}: {loaded['name']}"}

    def collate(self, items: list[dict[str, Any]], language: str | None = None) -> dict[str, Any]:
        """One batch of the model's inputs: the processor pads features on the right and prompts on the left."""
        waveforms = [item["waveform"] for item in items]
        return {
            "inputs": dict(self.processor.apply_transcription_request(waveforms, language=language)),
            "names": [item["name"] for item in items],
            "seconds": [len(waveform) / self.processor.sampling_rate for waveform in waveforms],
            "waveforms": waveforms,
        }

    def _forward(
        self,
        model_inputs: dict[str, Any],
        language: str | None = None,
        hotwords: HotwordIndex | None = None,
        hotword_tolerance: float = 0.0,
        guards: GuardSettings = DEFAULT_GUARDS,
        **generate_kwargs,
    ) -> dict[str, Any]:
        """Encode once, then let guards and hotwords look at the phonemes, then generate.

        Returns:
            `sequences` of shape `(batch_size, num_new_tokens)`, and `rows`: what else is known of each utterance.
        """
        config, others = self._generation_config(generate_kwargs)
        self._check_lengths(model_inputs, config.max_new_tokens)
        inputs = model_inputs["inputs"]
        speech = self.model.encode_speech(inputs["input_features"], inputs["input_features_mask"])
        rows = self._describe_rows(model_inputs, speech, guards)
        if hotwords is not None and len(hotwords):
            hints = self.processor.find_hints(speech.phoneme_logits, speech.frame_mask, hotwords, hotword_tolerance)
            for row, found in zip(rows, hints, strict=True):
                row["hotwords_found"] = [] if NO_SPEECH in row["flags"] else found
            self._add_hints(inputs, speech, language, hints)
            self._check_lengths(model_inputs, config.max_new_tokens)
        present = [number for number, row in enumerate(rows) if NO_SPEECH not in row["flags"]]
        sequences = inputs["input_ids"].new_full((len(rows), 1), config.pad_token_id)
        if present:
            kept = torch.tensor(present, device=sequences.device)
            generated, reached = self._generate(self._select_rows(inputs, speech, kept), config, others, guards)
            sequences = sequences.new_full((len(rows), generated.shape[1]), config.pad_token_id)
            sequences[kept] = generated
            for number, at_limit in zip(present, reached, strict=True):
                rows[number]["flags"] += [LENGTH_LIMIT] if at_limit else []
        return {"sequences": sequences, "rows": rows}

    def _describe_rows(
        self, model_inputs: dict[str, Any], speech: EntropyASRSpeechOutput, guards: GuardSettings
    ) -> list[dict[str, Any]]:
        """Name, length in seconds, phoneme log-probabilities `(num_frames, phonemes)` and flags of each utterance."""
        log_probs = speech.phoneme_logits.float().log_softmax(-1).cpu()
        frame_mask = speech.frame_mask.bool().cpu()
        rate, blank = self.processor.sampling_rate, self.model.config.phoneme_blank_token_id
        rows = []
        for number, waveform in enumerate(model_inputs["waveforms"]):
            heard = log_probs[number][frame_mask[number]]
            witness = heard if self.model.config.phoneme_head_trained else None
            absent = guards.no_speech and is_speech_absent(witness, waveform, rate, guards, blank)
            row = {"name": model_inputs["names"][number], "seconds": model_inputs["seconds"][number]}
            rows.append({**row, "log_probs": heard, "flags": [NO_SPEECH] if absent else []})
        return rows

    def _add_hints(
        self,
        inputs: dict[str, torch.Tensor],
        speech: EntropyASRSpeechOutput,
        language: str | None,
        hints: list[list[str]],
    ) -> None:
        """Write prompts with the hotwords that were heard; without any, prompts stay as they are."""
        if any(hints):
            prompts = self.processor.tokenize_prompts(speech.audio_token_mask.sum(-1).tolist(), language, hints)
            inputs.update({name: tokens.to(inputs["input_ids"].device) for name, tokens in prompts.items()})

    def _select_rows(
        self, inputs: dict[str, torch.Tensor], speech: EntropyASRSpeechOutput, rows: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """What `generate` takes for some rows of a batch, with the speech already in the prompts' embeddings."""
        input_ids = inputs["input_ids"][rows]
        chosen = EntropyASRSpeechOutput(
            audio_embeddings=speech.audio_embeddings[rows], audio_token_mask=speech.audio_token_mask[rows]
        )
        return {
            "input_ids": input_ids,
            "attention_mask": inputs["attention_mask"][rows],
            "inputs_embeds": self.model.embed_prompt(input_ids, chosen),
        }

    def _generate(
        self,
        inputs: dict[str, torch.Tensor],
        config: GenerationConfig,
        others: dict[str, Any],
        guards: GuardSettings,
    ) -> tuple[torch.Tensor, list[bool]]:
        """New tokens `(batch_size, num_new_tokens)`, and which rows were cut at their bound."""
        audio_tokens = (inputs["input_ids"] == self.processor.audio_token_id).sum(-1)
        new_tokens = self._max_new_tokens(audio_tokens, inputs["attention_mask"].sum(-1), config, guards)  # (B,)
        others = self._bound_rows(config, others, new_tokens)
        sequences = self.model.generate(**inputs, generation_config=config, **others)
        sequences = sequences[:, inputs["input_ids"].shape[1] :]
        return sequences, rows_at_bound(sequences, new_tokens, config).tolist()

    def _max_new_tokens(
        self, audio_tokens: torch.Tensor, prompt_tokens: torch.Tensor, config: GenerationConfig, guards: GuardSettings
    ) -> torch.Tensor:
        """Longest transcript of each row in tokens: as asked for, by the length of the audio, or by the model."""
        if config.max_new_tokens is not None:
            return torch.full_like(audio_tokens, config.max_new_tokens)
        if guards.length_bound:
            bounds = MIN_NEW_TOKENS + NEW_TOKENS_PER_AUDIO_TOKEN * audio_tokens
            return bounds.clamp(min=config.min_new_tokens or 0)
        positions = getattr(self.model.config.text_config, "max_position_embeddings", None)
        if positions is None:
            raise ValueError("Without the length bound, this language model needs `max_new_tokens`.")
        return positions - prompt_tokens

    def _bound_rows(
        self, config: GenerationConfig, others: dict[str, Any], new_tokens: torch.Tensor
    ) -> dict[str, Any]:
        """Arguments of `generate` under which each row ends where it would alone: at its longest transcript.

        Args:
            config: gets the longest of all.
            others: further arguments of `generate`.
            new_tokens: `(batch_size,)`.
        """
        config.max_new_tokens = int(new_tokens.max())
        criteria = [RowLengthCriteria(new_tokens), *_listed(others.get("stopping_criteria"))]
        processors = _listed(others.get("logits_processor"))
        if config.forced_eos_token_id is not None:
            processors.append(RowEndProcessor(new_tokens, config.forced_eos_token_id))
        needed = {"tokenizer": self.processor.tokenizer} if config.stop_strings is not None else {}
        return {
            **needed,
            **others,
            "stopping_criteria": StoppingCriteriaList(criteria),
            "logits_processor": LogitsProcessorList(processors),
        }

    def _generation_config(self, generate_kwargs: dict[str, Any]) -> tuple[GenerationConfig, dict[str, Any]]:
        """What a call generates with, and those of its arguments that are no generation settings."""
        settings = dict(generate_kwargs)
        config = copy.deepcopy(settings.pop("generation_config", None))
        if config is None:
            config = copy.deepcopy(self.model.generation_config)
            config.do_sample, config.max_new_tokens, config.max_length = False, None, None
        others = config.update(**settings)
        for name in UNSUPPORTED_GENERATION:
            if name in others or getattr(config, name, None) not in (None, False):
                raise ValueError(f"`{name}` is not supported: it looks at token ids, and speech has none.")
        check_encoder_token_settings(config)
        _check_transcript_lengths(config)
        if config.num_return_sequences not in (None, 1) or config.return_dict_in_generate:
            raise ValueError(
                "The pipeline returns one text for each item: `num_return_sequences` and `return_dict_in_generate` "
                "need the model's `generate`."
            )
        if config.eos_token_id is None:
            config.eos_token_id = self.processor.end_of_text_id
        if config.pad_token_id is None:
            config.pad_token_id = self.processor.tokenizer.pad_token_id
        return config, others

    def _check_lengths(self, model_inputs: dict[str, Any], max_new_tokens: int | None) -> None:
        """Refuse what is longer than the features, the encoder or the language model take: nothing is cut silently."""
        audio_tokens = (model_inputs["inputs"]["input_ids"] == self.processor.audio_token_id).sum(-1)  # (B,)
        text_tokens = model_inputs["inputs"]["attention_mask"].sum(-1) - audio_tokens
        # Extractors of a fixed window (Whisper's) drop what is behind it.
        window = getattr(self.feature_extractor, "chunk_length", math.inf)
        lengths = zip(audio_tokens.tolist(), text_tokens.tolist(), strict=True)
        rows = zip(model_inputs["names"], model_inputs["seconds"], lengths, strict=True)
        for name, seconds, (num_audio, num_text) in rows:
            if num_audio < 1:
                raise AudioError(f"{name}: lasts {1000 * seconds:.1f} ms, and the encoder hears nothing so short")
            max_audio = self._max_audio_tokens(num_text, max_new_tokens)
            max_seconds = min(window, seconds * max_audio / num_audio)
            if seconds > max_seconds:
                raise AudioError(
                    f"{name}: lasts {seconds:.1f} s, and this model takes at most {max_seconds:.1f} s with this "
                    "prompt and transcript length; transcribe it in shorter pieces"
                )

    def _max_audio_tokens(self, num_text: int, max_new_tokens: int | None) -> float:
        """Audio tokens for which the encoder and, beside prompt and transcript, the language model have positions."""
        config = self.model.config
        # Encoders without absolute positions state no limit.
        frames = getattr(config.audio_config, "max_position_embeddings", math.inf)
        room = getattr(config.text_config, "max_position_embeddings", math.inf) - num_text
        if max_new_tokens is None:
            room = (room - MIN_NEW_TOKENS) / (1 + NEW_TOKENS_PER_AUDIO_TOKEN)
        else:
            room -= max_new_tokens
        return max(0, min(frames / config.adaptor_stacking, room))

    def postprocess(
        self,
        model_outputs: dict[str, Any],
        language: str | None = None,
        return_timestamps: str | bool | None = None,
        return_confidence: bool = False,
        return_flags: bool = False,
        return_hotwords: bool = False,
        guards: GuardSettings = DEFAULT_GUARDS,
    ) -> dict[str, Any]:
        """Result of one utterance: its text without surrounding white space, in which nothing is repaired."""
        row = model_outputs["rows"]
        row = row[0] if isinstance(row, list) else row  # a batch of one comes as it is
        flags, text = list(row["flags"]), ""
        if NO_SPEECH not in flags:
            text = self.processor.decode(model_outputs["sequences"][0]).strip()
        result: dict[str, Any] = {"text": text}
        if return_timestamps:
            result["chunks"] = self._chunks(row, text, language, return_timestamps, return_confidence)
        if return_confidence:
            tokenizer = self.processor.phoneme_tokenizer
            confidence, found = judge_transcript(row["log_probs"], text, tokenizer, guards, language)
            result["confidence"] = 1.0 if NO_SPEECH in flags else confidence
            flags += [] if NO_SPEECH in flags else found
        if return_flags or return_confidence:
            result["flags"] = flags
        if return_hotwords:
            result["hotwords_found"] = row.get("hotwords_found", [])
        return result

    def _chunks(
        self, row: dict[str, Any], text: str, language: str | None, unit: str, with_confidence: bool
    ) -> list[dict[str, Any]]:
        """Words or phonemes with their times, as transformers' pipelines give them."""
        align = align_words if unit == "word" else align_text_phonemes
        tokenizer, seconds_per_frame = self.processor.phoneme_tokenizer, self.processor.seconds_per_frame
        chunks = []
        for piece in align(row["log_probs"], text, tokenizer, seconds_per_frame, language):
            # The last frame may reach beyond the audio.
            times = (
                None if time is None else round(min(time, row["seconds"]), 3) for time in (piece.start, piece.end)
            )
            chunk = {"text": piece.text, "timestamp": tuple(times)}
            chunks.append({**chunk, "confidence": piece.confidence} if with_confidence else chunk)
        if unit == "word" and text and not chunks:  # nothing but punctuation; joined, the chunks are still the text
            chunk = {"text": text, "timestamp": (0.0, round(row["seconds"], 3))}
            chunks.append({**chunk, "confidence": None} if with_confidence else chunk)
        return chunks


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


def complete_processor(
    config: PreTrainedConfig,
    processor: ProcessorMixin | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    feature_extractor: FeatureExtractionMixin | None = None,
) -> ProcessorMixin:
    """The processor of a model, from what is given of it.

    Args:
        config: the model's.
        processor: the processor; else it is looked for where model and tokenizer were loaded from.
        tokenizer, feature_extractor: take the places of the processor's own.

    Raises:
        ValueError: it is not to be found, or does not fit the model.
    """
    if processor is None:
        processor = _find_processor(config, tokenizer, feature_extractor)
    if getattr(processor, "audio_token_stages", None) is None:
        raise ValueError(f"`processor` must be an `EntropyASRProcessor`, not a `{type(processor).__name__}`.")
    tokenizer = processor.tokenizer if tokenizer is None else tokenizer
    feature_extractor = processor.feature_extractor if feature_extractor is None else feature_extractor
    if tokenizer is not processor.tokenizer or feature_extractor is not processor.feature_extractor:
        processor = type(processor)(
            feature_extractor,
            tokenizer,
            processor.phoneme_tokenizer,
            chat_template=processor.chat_template,
            audio_token=processor.audio_token,
            audio_token_stages=processor.audio_token_stages,
        )
    if processor.audio_token_id != config.audio_token_id:
        raise ValueError(
            f"The tokenizer's {processor.audio_token} is token {processor.audio_token_id}, the model's "
            f"`audio_token_id` is {config.audio_token_id}: they belong to different models."
        )
    return processor


def _find_processor(
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase | None,
    feature_extractor: FeatureExtractionMixin | None,
) -> ProcessorMixin:
    """The processor where a model or its tokenizer was loaded from, or the default one around both parts."""
    places = dict.fromkeys(filter(None, (config._name_or_path, getattr(tokenizer, "name_or_path", None))))
    for place in places:
        try:
            return EntropyASRProcessor.from_pretrained(place, revision=getattr(config, "_commit_hash", None))
        except (OSError, ValueError, TypeError) as error:
            places[place] = str(error).split("\n")[0]
    has_default_phonemes = config.phoneme_vocab_size == len(EntropyASRPhonemeTokenizer())
    if tokenizer is not None and feature_extractor is not None and has_default_phonemes:
        return EntropyASRProcessor.from_components(feature_extractor, tokenizer, config)
    reasons = "; ".join(f"{place}: {reason}" for place, reason in places.items())
    raise ValueError(
        f"The model's processor was not found ({reasons or 'the model does not say where it was loaded from'}). "
        "Pass it: `processor=...`, for instance `EntropyASRProcessor.from_pretrained(...)`."
    )


def register_pipeline() -> None:
    """Let `pipeline("automatic-speech-recognition", ...)` run these models without remote code.

    Called where the package is imported; code that is loaded from a checkpoint leaves transformers' table alone.
    """
    # `register_pipeline` of the registry would warn and drop the task's default model.
    task = PIPELINE_REGISTRY.supported_tasks[TASK]
    PIPELINE_REGISTRY.supported_tasks[TASK] = {**task, "impl": SpeechRecognitionDispatcher}


def load_pipeline(
    model: str | os.PathLike, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
) -> EntropyASRPipeline:
    """Load a pipeline with this package's own classes: no remote code.

    Args:
        model: Folder or Hub id, also of adapters (PEFT), which are merged into the model they were trained on.
        device: "cpu", "cuda", "cuda:1", ...; a GPU if there is one by default.
        dtype: Of the weights: "float32", "bfloat16" or "float16". By default the checkpoint's, but float32 on a CPU:
            there bfloat16 takes half the memory and more time (`tiny`: up to a quarter, with bfloat16 instructions).

    Raises:
        OSError: no such folder or model.
        ValueError: a model of another type.
    """
    _check_type(model)
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    device = torch.device(device)
    if dtype is None:
        dtype = torch.float32 if device.type == "cpu" else "auto"
    loaded = EntropyASRForConditionalGeneration.from_pretrained(model, dtype=dtype)
    processor = EntropyASRProcessor.from_pretrained(model)
    return EntropyASRPipeline(model=loaded.eval(), processor=processor, device=device)


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


def _silent_result(postprocess_params: dict[str, Any]) -> dict[str, Any]:
    """What the result of a recording in which nobody speaks has beside text and chunks, as that of any other."""
    silent: dict[str, Any] = {"confidence": 1.0} if postprocess_params.get("return_confidence") else {}
    if silent or postprocess_params.get("return_flags"):
        silent["flags"] = [NO_SPEECH]
    if postprocess_params.get("return_hotwords"):
        silent["hotwords_found"] = []
    return silent


def _listed(value: Any) -> list[Any]:
    """Logits processors or stopping criteria, of which one may be given as it is."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_transcript_lengths(config: GenerationConfig) -> None:
    """Let the shortest transcript be `min_new_tokens`, and refuse lengths that cannot be honoured."""
    if config.max_length is not None:
        raise ValueError("`max_length` counts the prompt and its padding: use `max_new_tokens`.")
    # `generate` would count the prompt and its padding, which no caller knows: what is meant is the transcript.
    if config.min_length:
        config.min_new_tokens, config.min_length = max(config.min_new_tokens or 0, config.min_length), 0
    if None not in (config.min_new_tokens, config.max_new_tokens) and config.min_new_tokens > config.max_new_tokens:
        raise ValueError(
            f"`min_new_tokens` ({config.min_new_tokens}) must not be above `max_new_tokens` ({config.max_new_tokens})."
        )


def _refuse(arguments: dict[str, Any]) -> None:
    """Raise for arguments that are not known, or known from the stock pipeline and not supported."""
    for name, value in arguments.items():
        if name not in UNSUPPORTED:
            raise ValueError(
                f"Unknown argument `{name}`: this pipeline takes `language`, `hotwords`, `hotword_tolerance`, "
                "`return_timestamps`, `return_confidence`, `return_flags`, `return_hotwords`, `guards`, `num_beams`, "
                "`max_new_tokens`, and other arguments of `generate` in `generate_kwargs`."
            )
        if value:
            raise ValueError(f"`{name}` is not supported: segments do not overlap.")


__all__ = ["EntropyASRPipeline", "load_pipeline"]
