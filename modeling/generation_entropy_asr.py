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
"""Generation in which everything that looks back at token ids looks at the transcript alone.

The prompt of a speech recogniser is no text that is being continued: instruction, hotwords, placeholders of the audio
and padding. A repetition penalty or a ban on repeated n-grams that reads it forbids the very words that were spoken,
and a stop string that begins in it ends the transcript at once. So `generate` shows logits processors and stopping
criteria, its own and those that are given to it, what was generated and nothing else.
"""

import copy
from typing import Any

import torch
from transformers.generation import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)


# Settings about the token ids of an encoder's input, with the values that switch them off: speech has no such ids.
ENCODER_TOKEN_SETTINGS = {"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0}
# Attribute of a configuration: how many tokens at the end of the given ids are the transcript's beginning.
NUM_WRITTEN = "_num_written"


def check_encoder_token_settings(config: GenerationConfig) -> None:
    """Refuse settings that transformers ignores or applies to the prompt here.

    Raises:
        ValueError: one of `ENCODER_TOKEN_SETTINGS` is on.
    """
    for name, off in ENCODER_TOKEN_SETTINGS.items():
        if getattr(config, name, None) not in (None, off):
            raise ValueError(f"`{name}` is not supported: it looks at token ids of what is encoded; speech has none.")


class TranscriptProcessor(LogitsProcessor):
    """Shows logits processors the transcript so far: `(batch_size, num_new_tokens)`, at first none.

    Args:
        processors (`LogitsProcessorList`): what reads it.
        prompt_length (`int`): tokens before it, padding included.
    """

    def __init__(self, processors: LogitsProcessorList, prompt_length: int):
        self.processors = processors
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores `(num_rows, vocab_size)` of the next tokens of rows `(num_rows, length)`, changed."""
        return self.processors(input_ids[:, self.prompt_length :], scores)


class TranscriptCriteria(StoppingCriteriaList):
    """Stopping criteria that are shown the transcript so far.

    Args:
        criteria (`StoppingCriteriaList`): the criteria; lengths in them count the transcript.
        prompt_length (`int`): tokens before it, padding included.
    """

    def __init__(self, criteria: StoppingCriteriaList, prompt_length: int):
        super().__init__(criteria)
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs) -> torch.BoolTensor:
        """Which rows `(num_rows,)` of `(num_rows, length)` are done."""
        return super().__call__(input_ids[:, self.prompt_length :], scores, **kwargs)

    @property
    def max_length(self) -> int | None:
        """Longest sequence with its prompt, as `generate` counts."""
        longest = super().max_length
        return None if longest is None else longest + self.prompt_length


class RowLengthCriteria(StoppingCriteria):
    """Ends each row of a batch at a length of its own, as generating that row alone would.

    Args:
        max_new_tokens (`torch.Tensor` of shape `(batch_size,)`): longest transcript of each row.
    """

    def __init__(self, max_new_tokens: torch.Tensor):
        self.max_new_tokens = max_new_tokens

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **kwargs) -> torch.BoolTensor:
        """Which rows `(num_rows,)` of `(num_rows, length)` are done; an utterance has as many as beams."""
        beams = input_ids.shape[0] // len(self.max_new_tokens)
        return self.max_new_tokens.repeat_interleave(beams) <= input_ids.shape[1]


class RowEndProcessor(LogitsProcessor):
    """Forces an end as the last token of each row of a batch, which transformers does for the longest row only.

    Args:
        max_new_tokens (`torch.Tensor` of shape `(batch_size,)`): longest transcript of each row.
        end (`int` or `list[int]`): ids of the tokens one of which a row must end with.
    """

    def __init__(self, max_new_tokens: torch.Tensor, end: int | list[int]):
        self.max_new_tokens = max_new_tokens
        self.end = end if isinstance(end, list) else [end]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores `(num_rows, vocab_size)` of the next tokens of rows `(num_rows, length)`, changed."""
        beams = input_ids.shape[0] // len(self.max_new_tokens)
        is_last = self.max_new_tokens.repeat_interleave(beams) == input_ids.shape[1] + 1  # (B * beams,)
        forced = torch.full_like(scores, -torch.inf)
        forced[:, self.end] = 0
        return torch.where(is_last[:, None], forced, scores)


class TranscriptGenerationMixin(GenerationMixin):
    """`generate` whose logits processors and stopping criteria read the transcript alone.

    `min_length` and `max_length` count the prompt as in transformers, `min_new_tokens` and `max_new_tokens` do not.
    Processors and criteria that the caller makes for a prompt's length are to be made for one of 0.
    """

    def _prepare_generated_length(self, generation_config: GenerationConfig, **kwargs) -> GenerationConfig:
        """Remember where the transcript begins: what is made of the configuration next needs it."""
        generation_config = super()._prepare_generated_length(generation_config=generation_config, **kwargs)
        # Of a transcript whose beginning is known, that is a part of the ids.
        generation_config._prompt_length = kwargs["input_ids_length"] - getattr(generation_config, NUM_WRITTEN, 0)
        return generation_config

    def _get_logits_processor(
        self,
        generation_config: GenerationConfig,
        input_ids_seq_length: int | None = None,
        logits_processor: LogitsProcessorList | None = None,
        model_kwargs: dict[str, Any] | None = None,  # with the padding, which no processor sees
        device: Any = None,
        **kwargs,
    ) -> LogitsProcessorList:
        """Processors as for an empty prompt, which see no other."""
        check_encoder_token_settings(generation_config)
        config = _count_transcript(generation_config)
        # Made here: there they warn, for an empty prompt, that they do not see it.
        own = LogitsProcessorList()
        if config.repetition_penalty not in (None, 1.0):
            own.append(RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
        if config.no_repeat_ngram_size:
            own.append(NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
        config.repetition_penalty, config.no_repeat_ngram_size = None, None
        processors = super()._get_logits_processor(
            config,
            input_ids_seq_length=0,
            logits_processor=self._merge_criteria_processor_list(own, logits_processor or []),
            device=device,
            **kwargs,
        )
        # This one looks back at nothing: it goes on behind the prompt's last token.
        guidance = [found for found in processors if isinstance(found, UnbatchedClassifierFreeGuidanceLogitsProcessor)]
        readers = [_force_first_token(found, device) for found in processors if found not in guidance]
        if not readers:
            return LogitsProcessorList(guidance)
        transcript = TranscriptProcessor(LogitsProcessorList(readers), generation_config._prompt_length)
        return LogitsProcessorList([*guidance, transcript])

    def _get_stopping_criteria(
        self, generation_config: GenerationConfig, stopping_criteria: StoppingCriteriaList | None, **kwargs
    ) -> StoppingCriteriaList:
        """Criteria as for an empty prompt, which see no other."""
        criteria = super()._get_stopping_criteria(
            _count_transcript(generation_config), stopping_criteria=stopping_criteria, **kwargs
        )
        return TranscriptCriteria(criteria, generation_config._prompt_length)


def rows_at_bound(sequences: torch.Tensor, max_new_tokens: torch.Tensor, config: GenerationConfig) -> torch.BoolTensor:
    """Which rows were cut at their bound: they neither ended by themselves nor by another criterion.

    Args:
        sequences: `(batch_size, num_new_tokens)`; a row that ended is padded.
        max_new_tokens: `(batch_size,)`, longest transcript of each row.
        config: what they were generated with.
    """
    ends = torch.tensor(config.eos_token_id, device=sequences.device).reshape(-1)
    # Behind its bound a row is padded, with a token that may be an end as well.
    within_bound = torch.arange(sequences.shape[1], device=sequences.device) < max_new_tokens[:, None]
    has_ended = (torch.isin(sequences, ends) & within_bound).any(-1)
    num_tokens = (within_bound & (sequences != config.pad_token_id)).sum(-1)
    return ~has_ended & (num_tokens == max_new_tokens)


def transcript_tokens(
    sequences: torch.Tensor, max_new_tokens: torch.Tensor, config: GenerationConfig
) -> list[list[int]]:
    """Tokens of each row without padding; the one that ends it is among them.

    Args:
        sequences: `(batch_size, num_new_tokens)`; a row that ended is padded.
        max_new_tokens: `(batch_size,)`, longest transcript of each row.
        config: what they were generated with.
    """
    ends = set(torch.tensor(config.eos_token_id).reshape(-1).tolist())
    tokens = []
    for row, bound in zip(sequences.tolist(), max_new_tokens.tolist(), strict=True):
        row = row[:bound]
        end = next((index for index, token in enumerate(row) if token in ends), len(row))
        row = row[: end + 1]
        while row and row[-1] == config.pad_token_id and row[-1] not in ends:
            row.pop()
        tokens.append(row)
    return tokens


def beams_for_hypotheses(settings: dict[str, Any], config: GenerationConfig) -> dict[str, int]:
    """Beam search as wide as hypotheses are asked for, unless its width or sampling was set.

    Args:
        settings: arguments of `generate`.
        config: what holds where they say nothing.

    Raises:
        ValueError: a number of hypotheses that is none.
    """
    count, beams, samples = (
        settings.get(name, getattr(config, name)) for name in ("num_return_sequences", "num_beams", "do_sample")
    )
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise ValueError(f"`num_return_sequences` must be a number of hypotheses from 1 on, not {count!r}.")
    return {"num_beams": count} if count is not None and beams is None and not samples else {}


def _count_transcript(generation_config: GenerationConfig) -> GenerationConfig:
    """The configuration with lengths that leave out the prompt."""
    config = copy.copy(generation_config)
    for name in ("min_length", "max_length"):
        if getattr(config, name) is not None:
            setattr(config, name, max(0, getattr(config, name) - generation_config._prompt_length))
    return config


def _force_first_token(processor: LogitsProcessor, device: Any) -> LogitsProcessor:
    """What forces the token behind an encoder-decoder's start token, for transcripts, which have no start token."""
    if isinstance(processor, ForcedBOSTokenLogitsProcessor):
        return ForcedEOSTokenLogitsProcessor(1, processor.bos_token_id, device=device)
    return processor


__all__ = [
    "RowEndProcessor",
    "RowLengthCriteria",
    "TranscriptGenerationMixin",
    "beams_for_hypotheses",
    "check_encoder_token_settings",
    "rows_at_bound",
    "transcript_tokens",
]
