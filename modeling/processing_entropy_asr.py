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
"""Processor: from audio (and a request) to the model's inputs, and from its output back to text."""

import math
import os
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer
from transformers.configuration_utils import PreTrainedConfig
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import PROCESSOR_NAME, auto_docstring

from .adapters_entropy_asr import adapter_base, readable_folder
from .audio import AudioError, load_audio
from .components_entropy_asr import streamable_extractor
from .configuration_entropy_asr import EntropyASRConfig
from .ctc_entropy_asr import ctc_collapse
from .encoder_rules_entropy_asr import output_length
from .hotwords_entropy_asr import HotwordIndex, as_index, is_index
from .optional_parts_entropy_asr import needed_for
from .prompts_entropy_asr import (
    AUDIO_TOKEN,
    CHAT_TEMPLATE,
    TOKENIZER_LOCK,
    TURN_END,
    TURN_START,
    answer_tokens,
    check_hints,
    encode_texts,
    prompt_messages,
)
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer


@auto_docstring(custom_intro="Feature extractor, language model tokenizer and phoneme tokenizer in one.")
class EntropyASRProcessor(ProcessorMixin):
    text_kwargs = {"padding": True, "return_tensors": "pt", "add_special_tokens": False}

    def __init__(
        self,
        feature_extractor,
        tokenizer,
        phoneme_tokenizer,
        chat_template=None,
        audio_token=AUDIO_TOKEN,
        audio_token_stages=None,
    ):
        r"""
        phoneme_tokenizer (`EntropyASRPhonemeTokenizer`):
            Vocabulary of the phoneme head.
        audio_token (`str`, *optional*, defaults to `"<|audio|>"`):
            Placeholder of audio in the text; a token of `tokenizer`.
        audio_token_stages (`list[list[int]]`):
            `[kernel, stride, padding]` of each stage from feature frames to audio tokens: the model's
            `config.audio_token_stages`.
        """
        if audio_token_stages is None:
            raise ValueError("`audio_token_stages` missing: pass the model's `config.audio_token_stages`.")
        self.audio_token = audio_token
        self.audio_token_id = tokenizer.convert_tokens_to_ids(audio_token)
        if self.audio_token_id is None or self.audio_token_id == tokenizer.unk_token_id:
            raise ValueError(f"The tokenizer has no audio token {audio_token!r}: add it as a special token first.")
        self.audio_token_stages = [list(stage) for stage in audio_token_stages]
        chat_template = chat_template or CHAT_TEMPLATE.replace(AUDIO_TOKEN, audio_token)
        super().__init__(feature_extractor, tokenizer, phoneme_tokenizer, chat_template=chat_template)

    @staticmethod
    def prepare_tokenizer(
        tokenizer: PreTrainedTokenizerBase, audio_token: str = AUDIO_TOKEN
    ) -> PreTrainedTokenizerBase:
        """Add to a language model's tokenizer, in place, the special tokens of the prompt that it lacks.

        The language model has to grow with it: pass `vocab_size=len(tokenizer)` to the model's `from_components`.
        """
        tokens = {"additional_special_tokens": [TURN_START, TURN_END, audio_token]}
        tokenizer.add_special_tokens(tokens, replace_extra_special_tokens=False)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or TURN_END
        return tokenizer

    @classmethod
    def from_components(
        cls,
        encoder: str | SequenceFeatureExtractor,
        tokenizer: str | PreTrainedTokenizerBase,
        config: EntropyASRConfig,
        phoneme_tokenizer: EntropyASRPhonemeTokenizer | None = None,
    ) -> "EntropyASRProcessor":
        """Processor of a model that [`EntropyASRForConditionalGeneration.from_components`] has joined.

        Args:
            encoder: the encoder's feature extractor, or where to load it from; Whisper's is made to stream.
            tokenizer: the language model's tokenizer, or where to load it from; see [`prepare_tokenizer`].
            config: configuration of the joined model.
            phoneme_tokenizer: vocabulary of the phoneme head; the built-in one by default.

        Raises:
            ValueError: when a tokenizer does not fit the model.
        """
        extractor = encoder
        if isinstance(encoder, str):
            with needed_for(f"the feature extractor of {encoder}"):
                from .speech_models_entropy_asr import load_own_extractor
            extractor = load_own_extractor(encoder)
        extractor = streamable_extractor(extractor, config.audio_config)
        tokenizer = AutoTokenizer.from_pretrained(tokenizer) if isinstance(tokenizer, str) else tokenizer
        phoneme_tokenizer = _fitting_phonemes(phoneme_tokenizer or EntropyASRPhonemeTokenizer(), config)
        stages = config.audio_token_stages
        processor = cls(extractor, cls.prepare_tokenizer(tokenizer), phoneme_tokenizer, audio_token_stages=stages)
        check_processor(config, processor)
        return processor

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """As in transformers; of adapters saved without a processor, that of their model. See [`readable_folder`]."""
        path = pretrained_model_name_or_path
        with readable_folder(path):
            if os.path.isdir(path) and not os.path.isfile(os.path.join(path, PROCESSOR_NAME)):
                base = adapter_base(path)
                if base not in (None, os.fspath(path)):
                    return cls.from_pretrained(base, **kwargs)
            return _checked(super().from_pretrained(path, **kwargs))

    @property
    def sampling_rate(self) -> int:
        """Rate, in Hz, that the feature extractor works at."""
        return self.feature_extractor.sampling_rate

    @property
    def end_of_text_id(self) -> int:
        """Token that ends a transcription: `<|im_end|>`."""
        return self.tokenizer.convert_tokens_to_ids(TURN_END)

    @cached_property
    def seconds_per_frame(self) -> float:
        """Length of an encoder frame, 0.04 s with the project's encoder: what a phoneme's position is counted in.

        Feature extractors do not agree on how they state their hop: it is the difference that a second makes.
        """
        noise = np.random.default_rng(0).standard_normal(2 * self.sampling_rate).astype(np.float32) / 10
        one, two = (self._process_audio([noise[: n * self.sampling_rate]])[0]["input_features_mask"] for n in (1, 2))
        # The last stage of audio tokens is the adaptor's stacking.
        strides = math.prod(stride for _, stride, _ in self.audio_token_stages[:-1])
        return strides / int(two.sum() - one.sum())

    def num_audio_tokens(self, num_frames):
        """Audio tokens of a number (or tensor of numbers) of feature frames, by the formula that the model uses."""
        return output_length(num_frames, self.audio_token_stages)

    @auto_docstring
    def __call__(self, audio=None, text=None, sampling_rate=None, **kwargs) -> BatchFeature:
        r"""
        audio (array, tensor, path, bytes, mapping, or a list of them, *optional*):
            Speech, see [`load_audio`]; one item for each audio token in `text`.
        text (`str` or `list[str]`, *optional*):
            Prompts; the default transcription prompt where only audio is given.
        sampling_rate (`int`, *optional*):
            Rate of audio given as arrays, converted where it differs from the extractor's; the extractor's by default.

        Returns:
            [`BatchFeature`]: `input_ids` and `attention_mask` of shape `(batch_size, sequence_length)`, padded on the
            left; with audio also `input_features`, `(batch_size, num_frames, num_mel_bins)` or what else the feature
            extractor gives, and `input_features_mask` of shape `(batch_size, num_frames)`.

        Raises:
            ValueError: for tensors other than PyTorch's, or no audio in a list.
            AudioError: for audio that cannot be used; the message says which item it is.
        """
        if kwargs.get("return_tensors", "pt") != "pt":
            raise ValueError(f"{type(self).__name__} returns PyTorch tensors only, not {kwargs['return_tensors']!r}.")
        if audio is not None:
            audio = _load_items(audio, sampling_rate, self.sampling_rate)
            if text is None:
                text = [self.prompt()] * len(audio)
        # Set for every call: as a default it would give way to the side that a tokenizer was saved with, and prompts
        # padded on the right spoil the transcripts of a batch.
        if "padding_side" not in kwargs.get("text_kwargs", {}):
            kwargs.setdefault("padding_side", "left")
        with TOKENIZER_LOCK:
            return super().__call__(audio=audio, text=text, **kwargs)

    def prepare_inputs_layout(self, images=None, text=None, videos=None, audio=None, **kwargs):
        """Audio is loaded in `__call__` already; text becomes a list of its own."""
        text = [text] if isinstance(text, str) else text
        return images, None if text is None else list(text), videos, audio

    def _process_audio(self, audio, **kwargs):
        features, mask = extract_features(self.feature_extractor, audio)
        placeholders = [self.audio_token * count for count in self.num_audio_tokens(mask.long().sum(-1)).tolist()]
        return {"input_features": features, "input_features_mask": mask}, placeholders

    def replace_audio_token(self, audio_inputs: dict, audio_idx: int, **kwargs) -> str:
        """Placeholders of one item of a feature batch."""
        num_frames = int(audio_inputs["input_features_mask"][audio_idx].sum())
        return self.audio_token * self.num_audio_tokens(num_frames)

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "input_features", "input_features_mask"]

    def prompt(self, language: str | None = None, hotwords: list[str] | tuple[str, ...] = ()) -> str:
        """Prompt of one utterance, with one audio token that stands for all.

        Args:
            language: in any form that [`language_code`] understands; the model decides by default.
            hotwords: Contextual hints, all of which the model reads: see [`find_hints`] for choosing them.

        Raises:
            ValueError: for a language the model was not trained on, or a hint that would read as a part of the prompt.
        """
        messages = prompt_messages(self.tokenizer, language, hotwords)
        return self.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def prompt_ids(self, language: str | None = None, hotwords=()) -> tuple[list[int], list[int]]:
        """Token ids of [`prompt`] before the speech, which hints do not change, and after it."""
        parts = self.prompt(language, hotwords).split(self.audio_token)
        with TOKENIZER_LOCK:
            before, after = self.tokenizer(parts, add_special_tokens=False).input_ids
        return before, after

    def find_hints(
        self,
        phoneme_logits: torch.Tensor,
        frame_mask: torch.Tensor,
        hotwords: list[str] | HotwordIndex,
        tolerance: float = 0.0,
    ) -> list[list[str]]:
        """Hotwords among what the phoneme head found: what `hotwords` of a transcription request should be.

        Args:
            phoneme_logits, frame_mask: of the model's `encode_speech`, `(batch_size, num_frames, phonemes)` and
                `(batch_size, num_frames)`.
            hotwords: words, whose phonemes the extra `g2p` gives, or an index of them.
            tolerance: as in [`HotwordIndex.search`].

        Returns:
            The hints of each utterance.
        """
        index = as_index(hotwords, self.phoneme_tokenizer)
        blank = self.phoneme_tokenizer.blank_token_id
        best, masks = phoneme_logits.argmax(-1).cpu(), frame_mask.bool().cpu()  # (B, T)
        return [
            self.find_phoneme_hints(ctc_collapse(frames[mask].tolist(), blank), index, tolerance)
            for frames, mask in zip(best, masks, strict=True)
        ]

    def find_phoneme_hints(self, phonemes: list[int], index: HotwordIndex, tolerance: float = 0.0) -> list[str]:
        """Hotwords of an index in one utterance, given the ids of its phonemes, blanks left out."""
        return index.find_hints(self.phoneme_tokenizer.convert_ids_to_tokens(phonemes), tolerance)

    def tokenize_prompts(
        self, num_audio_tokens: list[int], language: str | None = None, hotwords: list[list[str]] | None = None
    ) -> dict[str, torch.Tensor]:
        """Prompts of encoded utterances: `input_ids` and `attention_mask`, `(B, L)` each, padded on the left.

        Args:
            num_audio_tokens: placeholders of each utterance.
            language: in any form that [`language_code`] understands; the model decides by default.
            hotwords: hints of each utterance.
        """
        hints = [[]] * len(num_audio_tokens) if hotwords is None else hotwords
        texts = [
            self.prompt(language, words).replace(self.audio_token, self.audio_token * count)
            for count, words in zip(num_audio_tokens, hints, strict=True)
        ]
        options = {"padding_side": "left", "add_special_tokens": False, "return_tensors": "pt"}
        with TOKENIZER_LOCK:
            tokens = self.tokenizer(texts, padding=True, **options)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def apply_transcription_request(
        self,
        audio,
        language: str | list[str | None] | None = None,
        hotwords: list[str] | list[list[str]] | None = None,
        sampling_rate: int | None = None,
        tokenize: bool = True,
        **kwargs,
    ) -> BatchFeature | list[str]:
        """Inputs for `generate` that ask for a transcription.

        Args:
            audio: one item or a list of them, as in `__call__`.
            language: as in [`prompt`], one for all or one for each item; the model decides by default.
            hotwords: contextual hints, a list shared by all items or one list for each. The model reads all of them:
                long lists go through [`find_hints`] first.
            sampling_rate: rate of audio given as arrays.
            tokenize: whether to return model inputs; the prompts as strings otherwise.
            **kwargs: passed to `__call__`.
        """
        if is_index(hotwords):
            raise ValueError(
                "A prompt takes the words of an index that were found: `processor.find_hints(speech.phoneme_logits, "
                "speech.frame_mask, index)` with `speech = model.encode_speech(...)`; the pipeline does both."
            )
        if isinstance(hotwords, str):
            check_hints(self.tokenizer, hotwords)
        items = _as_items(audio)
        nested = bool(hotwords) and not isinstance(hotwords[0], str)
        languages = _one_each("language", language, isinstance(language, (list, tuple)), len(items))
        hints = _one_each("hotwords", hotwords or [], nested, len(items))
        prompts = [self.prompt(*request) for request in zip(languages, hints, strict=True)]
        return self(audio=items, text=prompts, sampling_rate=sampling_rate, **kwargs) if tokenize else prompts

    def encode_example(
        self, num_frames: int, transcript: str, language: str | None = None, hotwords: list[str] | tuple[str, ...] = ()
    ) -> tuple[list[int], list[int]]:
        """Token ids of a training example and its labels: the transcription and its end, -100 elsewhere.

        Args:
            num_frames: feature frames of the utterance.
            transcript: what is said in it; empty for audio without speech. Special tokens in it are spelt: they are
                text here, as in [`encode_texts`].
            language, hotwords: as in `apply_transcription_request`.
        """
        before, after = self.prompt_ids(language, hotwords)
        prompt = [*before, *[self.audio_token_id] * self.num_audio_tokens(num_frames), *after]
        target = [*encode_texts(self.tokenizer, [transcript])[0], self.end_of_text_id]
        return prompt + target, [-100] * len(prompt) + target

    def decode(self, token_ids, skip_special_tokens: bool = True, **kwargs):
        """Transcription in a sequence of tokens, prompt and what follows the end cut off; nothing is repaired.

        A batch of sequences gives a list, as `tokenizer.decode` does.
        """
        token_ids = token_ids.tolist() if isinstance(token_ids, (torch.Tensor, np.ndarray)) else token_ids
        if len(token_ids) and isinstance(token_ids[0], (list, tuple, np.ndarray, torch.Tensor)):
            return [self.decode(row, skip_special_tokens=skip_special_tokens, **kwargs) for row in token_ids]
        with TOKENIZER_LOCK:
            answer = answer_tokens(self.tokenizer, token_ids)
            return self.tokenizer.decode(answer, skip_special_tokens=skip_special_tokens, **kwargs)

    def batch_decode(self, sequences, **kwargs) -> list[str]:
        """[`decode`] of each sequence."""
        return [self.decode(sequence, **kwargs) for sequence in sequences]


def _checked(processor: EntropyASRProcessor) -> EntropyASRProcessor:
    """The processor, unless it cannot write a prompt or make a batch of prompts."""
    prompt = processor.prompt()
    if (count := prompt.count(processor.audio_token)) != 1:
        raise ValueError(f"the chat template has {count} places for the audio in place of one")
    processor.tokenizer([prompt, prompt], padding=True)
    return processor


def extract_features(
    feature_extractor: SequenceFeatureExtractor, waveforms: list[np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of a batch, padded, by any feature extractor of transformers.

    Args:
        feature_extractor: the extractor.
        waveforms: float32 samples `(num_samples,)` of each utterance, at the extractor's rate.

    Returns:
        Features `(batch_size, num_frames, num_mel_bins)`, or what else the extractor gives, and their mask
        `(batch_size, num_frames)`.

    Raises:
        AudioError: an utterance is longer than what the extractor would cut it to.
    """
    window, rate = window_samples(feature_extractor), feature_extractor.sampling_rate
    for index, waveform in enumerate(waveforms):
        if window is not None and len(waveform) > window:
            raise AudioError(
                f"Audio item {index} lasts {len(waveform) / rate:.1f} s, and the feature extractor takes at most "
                f"{window / rate:.1f} s: give it in shorter pieces"
            )
    # Extractors of waveforms do not pad by default; those of a fixed window (Whisper's) pad to it.
    padding = {"padding": True} if window is None else {}
    extracted = feature_extractor(
        waveforms,
        sampling_rate=rate,
        return_attention_mask=True,
        return_tensors="pt",
        **padding,
    )
    return extracted[feature_extractor.model_input_names[0]], extracted["attention_mask"]


def window_samples(feature_extractor: SequenceFeatureExtractor) -> int | None:
    """Samples of the fixed window behind which an extractor (Whisper's) drops everything; None where it has none."""
    if not hasattr(feature_extractor, "chunk_length"):
        return None
    return feature_extractor.chunk_length * feature_extractor.sampling_rate


def _one_each(name: str, value: Any, are_several: bool, count: int) -> list:
    """Values of an argument for each of so many items, where it is not one for all."""
    values = value if are_several else [value] * count
    if len(values) != count:
        raise ValueError(f"`{name}` has {len(values)} entries for {count} audio items.")
    return values


def _fitting_phonemes(
    phoneme_tokenizer: EntropyASRPhonemeTokenizer, config: EntropyASRConfig
) -> EntropyASRPhonemeTokenizer:
    if len(phoneme_tokenizer) != config.phoneme_vocab_size:
        raise ValueError(
            f"The phoneme tokenizer has {len(phoneme_tokenizer)} phonemes, the model's phoneme head "
            f"{config.phoneme_vocab_size}: pass the tokenizer it was trained with, or build the model with "
            "`phoneme_vocab_size`."
        )
    return phoneme_tokenizer


def _load_item(item, index: int, sampling_rate: int | None, target_rate: int) -> np.ndarray:
    # Encoded audio brings its own rate; the argument speaks of bare samples.
    bare = isinstance(item, (np.ndarray, torch.Tensor, list, tuple))
    try:
        item = np.asarray(item, dtype=np.float32) if isinstance(item, (list, tuple)) else item
        return load_audio(item, sampling_rate if bare else None, target_rate)
    except AudioError as error:
        raise AudioError(f"Audio item {index}: {error}") from error


def _load_items(audio, sampling_rate: int | None, target_rate: int) -> list[np.ndarray]:
    """Samples `(num_samples,)` of each item at the target rate; bare samples are at the other one, in Hz."""
    return [_load_item(item, index, sampling_rate, target_rate) for index, item in enumerate(_as_items(audio))]


def _as_items(audio) -> list:
    """Audio items of an argument that is one item (a list of numbers is one waveform) or a list of them."""
    if not isinstance(audio, (list, tuple)):
        return [audio]
    if not audio:
        raise ValueError("`audio` is empty: give at least one item.")
    return [audio] if isinstance(audio[0], Real) else list(audio)


def check_processor(config: PreTrainedConfig, processor: ProcessorMixin) -> None:
    """Refuse a processor of another kind, or of another model than the one with this configuration.

    Raises:
        ValueError: it is one.
    """
    if getattr(processor, "audio_token_stages", None) is None:
        raise ValueError(f"`processor` must be an `EntropyASRProcessor`, not a `{type(processor).__name__}`.")
    if processor.audio_token_id != config.audio_token_id:
        raise ValueError(
            f"The tokenizer's {processor.audio_token} is token {processor.audio_token_id}, the model's "
            f"`audio_token_id` is {config.audio_token_id}: they belong to different models, or the model was built "
            "before `EntropyASRProcessor.prepare_tokenizer(tokenizer)`."
        )


__all__ = ["EntropyASRProcessor"]
