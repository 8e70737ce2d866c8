# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Arguments of a pipeline, when it is made and when it is called: each is honoured, or refused with the reason."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from .decoding_entropy_asr import TranscriptDecoder, check_generate_kwargs
from .guards_entropy_asr import GuardSettings
from .hotword_entries_entropy_asr import check_tolerance
from .hotwords_entropy_asr import HotwordIndex
from .hypotheses_entropy_asr import check_weight
from .languages_entropy_asr import AUTOMATIC, language_code
from .optional_parts_entropy_asr import needed_for


if TYPE_CHECKING:
    from .text_style_entropy_asr import TextStyle

# Arguments of the stock pipeline that have no meaning here.
UNSUPPORTED = ("stride_length_s",)


@dataclass(frozen=True, eq=False)
class PipelineArguments:
    """What a call of the pipeline may ask for beside its audio; `None` is what was not given.

    Args:
        language (`str`, *optional*): in any form that [`language_code`] understands; the model decides by default.
        hotwords (`list[str]` or [`HotwordIndex`], *optional*): words to listen for, as many as there are. Those
            whose phonemes are found are hints to the model. A list needs the extra `g2p`.
        adapter (`str`, *optional*): name of the adapter that the model has meanwhile, of those that were loaded by
            [`load_adapter`]; none by default. Calls of several threads may name several.
        hotword_tolerance (`float`, *optional*, defaults to 0): also takes words of similar phonemes, see
            [`HotwordIndex.search`].
        return_timestamps (`str` or `bool`, *optional*): "word" or "phoneme" adds `chunks`; needs the extra `g2p`.
            `True` adds those of segments, however long the item is.
        return_confidence (`bool`, *optional*, defaults to `False`): adds `confidence`, how far the phoneme head
            supports the text, and `flags`; to chunks, `confidence`. Needs the extra `g2p`.
        return_flags (`bool`, *optional*, defaults to `False`): adds `flags`: "no_speech", "length_limit" (the text
            did not end by itself), "low_agreement" (with confidence).
        return_hotwords (`bool`, *optional*, defaults to `False`): adds `hotwords_found`, the hotwords that were
            found and so were hints to the model; of segments, those of any.
        return_segments (`bool`, *optional*, defaults to `False`): adds `segments`, as `return_timestamps=True`
            gives them, beside the `chunks` of words.
        text_style (`str`, `dict` or [`TextStyle`], *optional*): "written" writes numbers in digits, "spoken" in
            words (extra: style); a dict `{"numbers", "punctuation"}` also says whether punctuation is "full" or
            "half" wide, or "auto", as the script wants it. Nothing is added. `hypotheses` and `confidence` are of
            the text as the model wrote it.
        guards (`bool`, `dict` or [`GuardSettings`], *optional*, defaults to `True`): guards against
            hallucination; a dict sets some of their fields, `False` switches all off.
        return_language (`bool`, *optional*, defaults to `False`): adds `language`, the code of the one that was
            spoken, and `language_probability`; of several segments, by the mean over the speech. Both are `None`
            where nobody speaks.
        num_return_sequences (`int`, *optional*): adds `hypotheses`, at most so many different texts with their
            scores, the best by the joint score first: it is the text. Beam search is as wide unless `num_beams` or
            sampling says otherwise. Needs the extra `g2p` unless `rescoring_weight` is 0. Of a hypothesis there are
            `{"text", "score", "llm_log_prob", "token_log_probs", "ctc_log_prob", "confidence"}`: natural logarithms of
            the whole text's probability and of each token's, the joint score, a mean for a unit, and its exponential
            in [0, 1], see [`Hypothesis`]. `ctc_log_prob` and `score` are `None` where the audio is too short for the
            text's phonemes.
        rescoring_weight (`float`, *optional*, defaults to 0.3): share of the phoneme head in the joint score of
            hypotheses, 0 for the language model's alone, 1 for the phoneme head's.
        num_beams (`int`, *optional*): width of the beam search.
        max_new_tokens (`int`, *optional*): longest transcript in tokens.
        generate_kwargs (`dict`, *optional*): further arguments of `generate`. Whatever reads tokens (repetition
            penalties, `bad_words_ids`, `min_length`, `stop_strings`, your own `logits_processor` and
            `stopping_criteria`, ...) sees the transcript alone: neither the prompt nor its hotwords.
    """

    language: str | None = None
    hotwords: list[str] | HotwordIndex | None = None
    hotword_tolerance: float | None = None
    return_timestamps: str | bool | None = None
    return_confidence: bool | None = None
    return_flags: bool | None = None
    return_hotwords: bool | None = None
    return_segments: bool | None = None
    return_language: bool | None = None
    adapter: str | None = None
    text_style: "TextStyle | dict[str, Any] | str | None" = None
    guards: GuardSettings | dict[str, Any] | bool | None = None
    rescoring_weight: float | None = None
    num_return_sequences: int | None = None
    num_beams: int | None = None
    max_new_tokens: int | None = None
    generate_kwargs: dict[str, Any] | None = None

    @staticmethod
    def of(given: dict[str, Any]) -> "PipelineArguments":
        """Arguments by their names.

        Raises:
            ValueError: one that is not known, or that is known from the stock pipeline and not supported.
        """
        known = [field.name for field in fields(PipelineArguments)]
        for name, value in given.items():
            if name not in (*known, *UNSUPPORTED):
                listed = ", ".join(f"`{one}`" for one in known[:-1])
                raise ValueError(
                    f"Unknown argument `{name}`: this pipeline takes {listed}, and other arguments of `generate` in "
                    "`generate_kwargs`."
                )
            if value and name in UNSUPPORTED:
                raise ValueError(f"`{name}` is not supported: segments do not overlap.")
        return PipelineArguments(**{name: value for name, value in given.items() if name in known})

    def of_steps(self, decoder: TranscriptDecoder) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Those of the three steps of a pipeline, of [`DecodingRequest`] and of [`WantedOutputs`] the latter two.

        Args:
            decoder: of the pipeline.

        Raises:
            ValueError: one that cannot be honoured.
            ImportError: one that needs an extra which is not installed.
        """
        check_generate_kwargs(self.generate_kwargs or {})
        decoder.adapters.check(self.adapter)
        # Times of segments need no phonemes.
        timestamps = None if self.return_timestamps is True else self.return_timestamps
        decoder.check_outputs(timestamps, self.return_confidence)
        # "auto" is kept: it may take back a language that the pipeline was made with.
        language = None if self.language is None else language_code(self.language, optional=True) or AUTOMATIC
        shared = {"language": language, "guards": None if self.guards is None else GuardSettings.of(self.guards)}
        weight, tolerance = self.rescoring_weight, self.hotword_tolerance
        if tolerance is not None:
            check_tolerance(tolerance)
        request = {
            "hotwords": None if self.hotwords is None else decoder.index_hotwords(self.hotwords),
            "hotword_tolerance": tolerance,
            "rescoring_weight": None if weight is None else check_weight(weight),
            "return_language": self.return_language,
            "adapter": self.adapter,
            "generate_kwargs": self._generate_kwargs(),
        }
        wanted = {
            "return_timestamps": self.return_timestamps,
            "return_confidence": self.return_confidence,
            "return_flags": self.return_flags,
            "return_hotwords": self.return_hotwords,
            "return_segments": self.return_segments,
            "return_language": self.return_language,
            "text_style": _text_style(self.text_style),
        }
        return _given(language=language), _given(**shared, **request), _given(**shared, **wanted)

    def _generate_kwargs(self) -> dict[str, Any] | None:
        """Arguments of `generate` with those that may also stand beside them; `None` for none."""
        merged = dict(self.generate_kwargs or {})
        for name in ("num_beams", "num_return_sequences", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and merged.setdefault(name, value) != value:
                raise ValueError(f"`{name}` is {value}, but {merged[name]} in `generate_kwargs`.")
        return merged or None


def _given(**arguments: Any) -> dict[str, Any]:
    """Those of the arguments that were given: the rest may be a default of the pipeline's."""
    return {name: value for name, value in arguments.items() if value is not None}


def _text_style(given: "TextStyle | dict[str, Any] | str | None") -> "TextStyle | None":
    if given is None:
        return None
    with needed_for("`text_style`"):
        from .text_style_entropy_asr import TextStyle
    return TextStyle.of(given)


__all__ = ["PipelineArguments"]
