# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A small language model from text, for where no pretrained one is used.

Not a stage of the paper, which starts from Qwen3-1.7B: a real user names such a model in the next stages and leaves
this one out. Besides plain text the model learns to write text from phonemes, since that is the part of the work the
paper gives to the language model (arXiv 2604.08003: the encoder maps sound to phonemes, the LLM phonemes to text).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
)
from transformers.configuration_utils import PreTrainedConfig

from entropy_asr.modeling import EntropyASRConfig, EntropyASRPhonemeTokenizer
from entropy_asr.modeling.language_entry_entropy_asr import CHARACTER
from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, language_code
from entropy_asr.modeling.prompts_entropy_asr import HINTS, INSTRUCTION, SYSTEM_PROMPT, encode_texts

from ..data.data_source import DataSource
from ..data.section import SynthesisSource, choose_texts
from ..data.sources import load_source
from ..data.text import (
    DICTIONARY,
    TRANSCRIPT,
    WRITTEN,
    check_style,
    cut_text,
    frequent_words,
    read_lines,
    simplify_characters,
    transcript_style,
    written_style,
)
from ..runs.settings import checked, typed
from ..training.optimization import OptimizationArguments, OptimizationMixin
from ..training.stage_run import StageRun, TrainingStage


SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio|>"]
END_OF_TEXT = "<|im_end|>"


@dataclass
@typed
class TextSource:
    """A text file to learn from, one sentence or passage a line.

    Args:
        path: UTF-8 file; or "jieba": the words of that package's Chinese dictionary, the most frequent first.
        language: In any usual form.
        simplify: Write traditional Chinese characters as simplified ones.
        max_lines: Largest number of lines, evenly spread over the file (of a dictionary: the first). None: all.
        max_units: Longest piece that is learnt from phonemes, in words or, as errors are, in characters; of the
            latter, clauses that are longer are left out.
        plain: Learn the lines as plain text.
        from_phonemes: Learn pieces of the lines from their phonemes.
        repeat: How often each is learnt in an epoch.
        style: How it is written: "transcript", as the language's transcripts, without marks and capitals, or
            "written", with those of the file; see [`~text.cut_text`].
    """

    path: str
    language: str
    simplify: bool = False
    max_lines: int | None = None
    max_units: int = 12
    plain: bool = True
    from_phonemes: bool = True
    repeat: int = 1
    style: str = TRANSCRIPT

    def __post_init__(self):
        self.language = language_code(self.language)
        check_style(self.style)

    def lines(self) -> list[str]:
        """The lines, as they are in the file but for `simplify`."""
        if self.path == DICTIONARY:
            return frequent_words(self.max_lines)
        lines = list(read_lines([self.path]))
        if self.max_lines is not None:
            kept = np.linspace(0, len(lines) - 1, min(self.max_lines, len(lines))).astype(int)
            lines = [lines[index] for index in kept]
        return [simplify_characters(line) for line in lines] if self.simplify else lines

    def styled(self, line: str) -> str:
        """A line in the source's style."""
        return written_style(line) if self.style == WRITTEN else transcript_style(line, self.language)

    def pieces(self, line: str, seed: int) -> list[str]:
        """Pieces of a line that are learnt from phonemes, in the source's style."""
        return cut_text(line, self.language, self.max_units, seed, self.style)


@dataclass
@typed
class TextSection:
    """Section `data` of this stage.

    Args:
        text: Fields of [`TextSource`], one entry a file.
        transcripts: Fields of [`~data_source.DataSource`]: the rows' texts are learnt, plain and from phonemes.
        synthetic: Fields of [`~section.SynthesisSource`]: the same for sentences that later stages get synthesised.
        transcripts_from_phonemes: Learn these two from phonemes too, not as plain text alone.
        block_size: Tokens of one training sequence.
        phoneme_errors: Share of phonemes that are dropped, doubled or exchanged in the input, as an encoder errs.
        seed: Seed of pieces and errors.
    """

    text: list[dict] = field(default_factory=list)
    transcripts: list[dict] = field(default_factory=list)
    synthetic: list[dict] = field(default_factory=list)
    transcripts_from_phonemes: bool = True
    block_size: int = 256
    phoneme_errors: float = 0.1
    seed: int = 0

    def __post_init__(self):
        for name, cls in (("text", TextSource), ("transcripts", DataSource), ("synthetic", SynthesisSource)):
            sources = getattr(self, name)
            setattr(self, name, [checked(cls, source, "data", name, i) for i, source in enumerate(sources)])
        if not 0 <= self.phoneme_errors <= 1:
            raise ValueError(f"phoneme_errors is a share, got {self.phoneme_errors}.")

    def pieces(self) -> Iterator[tuple[str, str, bool]]:
        """All material as (text, language, whether from phonemes)."""
        for fields in self.text:
            source = TextSource(**fields)
            lines = source.lines()
            for _ in range(source.repeat):
                for line in lines:
                    if source.plain and (styled := source.styled(line)):
                        yield styled, source.language, False
                    if source.from_phonemes:
                        for piece in source.pieces(line, self.seed):
                            yield piece, source.language, True
        for text, language in self._transcripts():
            yield text, language, False
            if self.transcripts_from_phonemes:
                yield text, language, True

    def _transcripts(self) -> Iterator[tuple[str, str]]:
        for fields in self.transcripts:
            source = DataSource(**fields)
            for row in load_source(source).select_columns(["text", "language"]):
                if row["text"]:
                    yield from [(row["text"], row["language"])] * source.repeat
        for fields in self.synthetic:
            source = SynthesisSource(**fields)
            yield from ((text, source.language) for text in choose_texts(source) * source.repeat)


@dataclass
class TokenizerSection:
    """Section `tokenizer` of this stage: a byte-level BPE trained on the material.

    Args:
        vocab_size: Number of tokens, special ones included.
    """

    vocab_size: int = 4096


@dataclass
class LanguageModelSection:
    """Section `model` of this stage.

    Args:
        preset: "tiny": the language model of that size, at random weights.
        num_layers: Its number of layers; the preset's by default.
    """

    preset: str = "tiny"
    num_layers: int | None = None

    def __post_init__(self):
        if self.preset != "tiny":
            raise ValueError(
                f"`preset` {self.preset!r}: only 'tiny' is trained from scratch; name a pretrained language model in "
                "the alignment stage instead."
            )
        if self.num_layers is not None and self.num_layers < 1:
            raise ValueError(f"`num_layers` must be at least 1, not {self.num_layers}.")

    def text_config(self, tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
        """Configuration of the language model with this tokenizer."""
        preset = EntropyASRConfig.tiny(vocab_size=len(tokenizer)).text_config.to_dict()
        if self.num_layers is not None:
            preset |= {"num_hidden_layers": self.num_layers, "layer_types": None}
        preset |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        return AutoConfig.for_model(**preset)


@dataclass
class LanguageModelTrainingConfig(OptimizationArguments, TrainingArguments):
    """Arguments of transformers and [`~optimization.OptimizationArguments`]."""


class LanguageModelTrainer(OptimizationMixin, Trainer):
    """Next-token training on blocks of text; `predict` gives the likeliest token after each position."""

    def __init__(self, *args, **kwargs):
        # Not the scores of the whole vocabulary, gigabytes for a few thousand blocks.
        kwargs.setdefault("preprocess_logits_for_metrics", lambda logits, labels: logits.argmax(-1))
        super().__init__(*args, **kwargs)


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen's chat markers and the audio placeholder as special tokens.

    No token spans two letters of a language whose errors are counted in characters, such as Chinese: each is one
    syllable, and a small model learns syllables, not words.
    """
    bpe = Tokenizer(models.BPE())
    letters = "".join(entry.letters for entry in LANGUAGES.values() if entry.unit == CHARACTER)
    characters = pre_tokenizers.Split(Regex(f"[{letters}]"), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence([characters, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|endoftext|>",
        eos_token=END_OF_TEXT,
        additional_special_tokens=["<|im_start|>", "<|audio|>"],
        clean_up_tokenization_spaces=False,
    )


def spell_phonemes(phonemes: list[str]) -> str:
    """Phonemes as text."""
    return " ".join(phonemes)


def disturb(phonemes: list[str], share: float, rng: np.random.Generator) -> list[str]:
    """Drop, double or exchange (with one of the same utterance) a share of the phonemes."""
    disturbed = []
    for phoneme in phonemes:
        kind = rng.integers(3) if rng.random() < share else None
        if kind is None:
            disturbed.append(phoneme)
        elif kind == 1:
            disturbed += [phoneme, phoneme]
        elif kind == 2:
            disturbed.append(phonemes[rng.integers(len(phonemes))])
    return disturbed


def prompt_texts() -> list[str]:
    """The words of the transcription prompt, so that the tokenizer has them."""
    instructions = [INSTRUCTION.format(language=f" {entry.name}") for entry in LANGUAGES.values()]
    return [SYSTEM_PROMPT, *instructions, HINTS, "system\nuser\nassistant\n"]


def build_blocks(section: TextSection, pieces: list, tokenizer: PreTrainedTokenizerFast) -> Dataset:
    """Training sequences of `block_size` tokens: examples one after another, in a random order.

    Columns: `input_ids`, `labels` with -100 on phonemes, and `position_ids`, which start anew with each example:
    transformers takes that for examples that must not see one another.
    """
    phonemizer = EntropyASRPhonemeTokenizer()
    rng = np.random.default_rng(section.seed)
    spoken = [(text, language) for text, language, from_phonemes in pieces if from_phonemes]
    phonemes = iter(phonemizer.phonemize_batch(*zip(*spoken, strict=True)) if spoken else [])
    inputs = [
        f"<|im_start|>user\n{spell_phonemes(disturb(next(phonemes), section.phoneme_errors, rng))}<|im_end|>\n"
        "<|im_start|>assistant\n"
        if from_phonemes
        else ""
        for _, _, from_phonemes in pieces
    ]
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    input_ids = tokenizer(inputs, add_special_tokens=False).input_ids
    target_ids = [[*ids, end] for ids in encode_texts(tokenizer, [text for text, _, _ in pieces])]
    ids, labels, positions = [], [], []
    for index in rng.permutation(len(pieces)):
        example = input_ids[index] + target_ids[index]
        ids += example
        labels += [-100] * len(input_ids[index]) + target_ids[index]
        positions += range(len(example))
    size = section.block_size
    starts = range(0, len(ids) - size + 1, size)
    if not starts:
        raise ValueError(f"data: {len(ids)} tokens of text do not fill one block of {size}.")
    columns = {"input_ids": ids, "labels": labels, "position_ids": positions}
    return Dataset.from_dict({name: [values[i : i + size] for i in starts] for name, values in columns.items()})


def build(run: StageRun) -> LanguageModelTrainer:
    """The trainer of this stage, of a tokenizer and a model that it makes."""
    settings, data = run.settings, run.settings.data
    pieces = list(data.pieces())
    phonemes = [" ".join(EntropyASRPhonemeTokenizer().get_vocab())] * 1000
    corpus = [*prompt_texts() * 1000, *phonemes, *(text for text, _, _ in pieces)]
    tokenizer = train_tokenizer(iter(corpus), settings.tokenizer.vocab_size)
    torch.manual_seed(run.seed)
    return LanguageModelTrainer(
        AutoModelForCausalLM.from_config(settings.model.text_config(tokenizer)),
        settings.training,
        train_dataset=build_blocks(data, pieces, tokenizer),
        data_collator=default_data_collator,
        processing_class=tokenizer,
    )


def save(trainer: LanguageModelTrainer, run: StageRun) -> None:
    """Save the language model and its tokenizer."""
    trainer.save_model(str(run.output_dir))


STAGE = TrainingStage(
    {
        "data": TextSection,
        "tokenizer": TokenizerSection,
        "model": LanguageModelSection,
        "training": LanguageModelTrainingConfig,
    },
    build,
    save,
)
