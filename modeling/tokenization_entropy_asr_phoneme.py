# Copyright 2026 The entropy-asr authors.
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
"""Phoneme tokenizer of entropy-asr: text to the units that the CTC head predicts.

One vocabulary serves every language. Which symbols a language has and how its texts are read is said by its entry
(`language_english_entropy_asr.py`, `language_mandarin_entropy_asr.py`); nothing here knows a language. Tokens carry no
word separators; `phonemize_words` gives the words.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from transformers import BatchEncoding, PreTrainedTokenizer

from .ctc_entropy_asr import ctc_collapse
from .languages_entropy_asr import (
    LANGUAGES,
    NON_SPEECH,
    PAD_TOKEN,
    UNK_TOKEN,
    Language,
    coarser_phoneme,
    default_phonemes,
    language_code,
    language_of_text,
)
from .spoken_text_entropy_asr import reading_parts, spoken_text


VOCAB_FILES_NAMES = {"vocab_file": "phonemes.json", "common_words_file": "common_words.json"}
# Of the built-in languages; a checkpoint's own code lies in a folder without it, and its tokenizer in one with it.
_COMMON_WORDS = Path(__file__).with_name(VOCAB_FILES_NAMES["common_words_file"])


class EntropyASRPhonemeTokenizer(PreTrainedTokenizer):
    """Tokenizer whose tokens are phonemes: the labels of the CTC head and the keys of the hotword index.

    Grapheme-to-phoneme conversion needs the packages of the extra `g2p`: phonemizer and espeakng-loader (English),
    pypinyin and cn2an (Mandarin), imported at the first text; converting between phonemes and ids needs none of them.

    Args:
        vocab_file (`str`, *optional*):
            JSON object from phoneme to id; the built-in vocabulary if not given.
        common_words_file (`str`, *optional*):
            JSON object from the code of a language to its common words, as lines of them, the most common first
            (`words`), and pairs of them that are said as one (`joined`): what hotwords are told from. Those of the
            built-in languages if not given.
        pad_token (`str`, *optional*, defaults to `"<pad>"`): Padding, and the CTC blank; id 0.
        unk_token (`str`, *optional*, defaults to `"<unk>"`): A phone outside the vocabulary, or a script without a
            backend; id 1.

    Example:

    ```python
    >>> tokenizer = EntropyASRPhonemeTokenizer()
    >>> tokenizer.phonemize("hello")
    ['h', 'ə', 'l', 'oʊ']
    >>> tokenizer.phonemize("中国")
    ['zh', 'ong1', 'ɡ', 'uo2']
    ```
    """

    vocab_files_names = VOCAB_FILES_NAMES
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | None = None,
        pad_token: str = PAD_TOKEN,
        unk_token: str = UNK_TOKEN,
        common_words_file: str | None = None,
        **kwargs,
    ) -> None:
        if vocab_file is None:
            self.encoder = {phoneme: index for index, phoneme in enumerate(default_phonemes())}
        else:
            self.encoder = _read_vocabulary(Path(vocab_file))
        for token, expected in ((pad_token, 0), (unk_token, 1)):
            if self.encoder.get(str(token)) != expected:
                raise ValueError(f"{vocab_file or 'the vocabulary'}: {token} must have the id {expected}")
        self.decoder = {index: phoneme for phoneme, index in self.encoder.items()}
        self._word_lists: dict[str, dict] = {}
        if common_words_file is not None or _COMMON_WORDS.is_file():
            self._word_lists = _read_word_lists(Path(common_words_file or _COMMON_WORDS))
        super().__init__(pad_token=pad_token, unk_token=unk_token, **kwargs)

    @property
    def vocab_size(self) -> int:
        return len(self.encoder)

    @property
    def blank_token_id(self) -> int:
        """The CTC blank, which is the padding token."""
        return self.pad_token_id

    def common_words(self, code: str) -> tuple[str, str]:
        """Common words of a language, the most common first, and pairs said as one ("of_the"), separated by blanks.

        Args:
            code (`str`): Of the language. Of one that no list is known of, both are empty.
        """
        lists = self._word_lists.get(code, {})
        return " ".join(lists.get("words", ())), " ".join(lists.get("joined", ()))

    def get_vocab(self) -> dict[str, int]:
        return dict(self.encoder) | self.added_tokens_encoder

    def _convert_token_to_id(self, token: str) -> int:
        return self.encoder.get(token, self.encoder[str(self.unk_token)])

    def _convert_id_to_token(self, index: int) -> str:
        return self.decoder.get(index, str(self.unk_token))

    def phonemize(self, text: str, language: str | None = None) -> list[str]:
        """Phonemes of a text, without word separators.

        Args:
            text (`str`): Any mixture of scripts; each goes to the language that reads it.
            language (`str`, *optional*):
                In any usual form: which language the text is in, and so reads the digits. "zh" also takes lower-case
                `ma1` as pinyin, and Latin words one by one, so that spelled letters keep their names. Not given or
                "none": "zh" if there is any Chinese character, else "en".

        Returns:
            `list[str]`: the phonemes, those that this vocabulary lacks by the coarser ones of their language where it
                names some; `<unk>` stands for a run of letters of another script ([`unreadable_characters`] names
                them).

        Raises:
            ValueError: a language that is not known, or has no phonemes.
        """
        return self.phonemize_batch([text], [language])[0]

    def phonemize_batch(
        self, texts: Sequence[str], languages: str | Sequence[str | None] | None = None
    ) -> list[list[str]]:
        """As `phonemize` for many texts, with one call of each backend; `languages` is one for all or one for each."""
        languages = self._languages_of_batch(texts, languages)
        rows = [_parts_of(text, language) for text, language in zip(texts, languages, strict=True)]
        known: dict[Language, dict[str, list[str]]] = {}
        for reader, part in (pair for row in rows for pair in row if pair[0] is not None):
            known.setdefault(reader, {})[part] = []
        for reader, parts in known.items():
            known[reader] = dict(zip(parts, reader.g2p.phonemize(list(parts)), strict=True))
        return [
            [
                self._fitted(phoneme)
                for reader, part in row
                for phoneme in ([str(self.unk_token)] if reader is None else known[reader][part])
            ]
            for row in rows
        ]

    def phonemize_words(self, text: str, language: str | None = None) -> list[tuple[str, list[str]]]:
        """Words of a text with their phonemes as spoken in that text.

        The phonemes of all words in order are `phonemize(text, language)`. What a word is, its language decides: of
        English what stands between blanks, with its punctuation stripped at both ends; one Chinese character, one
        pinyin syllable or one number.
        """
        words: list[tuple[str, list[str]]] = []
        for reader, part in _parts_of(text, language):
            found = [(part, [str(self.unk_token)])] if reader is None else reader.g2p.words(part)
            words += [(word, [self._fitted(phoneme) for phoneme in phonemes]) for word, phonemes in found]
        return words

    def _fitted(self, phoneme: str) -> str:
        """The phoneme as this vocabulary has it: where it lacks one, the coarser one that older vocabularies have."""
        symbol: str | None = phoneme
        while symbol is not None and symbol not in self.encoder:
            symbol = coarser_phoneme(symbol)
        return phoneme if symbol is None else symbol

    @staticmethod
    def _languages_of_batch(
        texts: Sequence[str], languages: str | Sequence[str | None] | None
    ) -> Sequence[str | None]:
        if languages is None or isinstance(languages, str):
            return [languages] * len(texts)
        if len(languages) != len(texts):
            raise ValueError(f"{len(texts)} texts but {len(languages)} languages")
        return languages

    def tokenize(self, text: str, language: str | None = None) -> list[str]:
        return self.phonemize(text, language)

    def __call__(
        self,
        text: str | Sequence[str],
        language: str | Sequence[str | None] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool = False,
        max_length: int | None = None,
        **kwargs,
    ) -> BatchEncoding:
        """Phoneme ids of one text or of a batch; `language` as in `phonemize`, the rest as for any tokenizer.

        `add_special_tokens` changes nothing: a phoneme sequence has no special tokens around it. What pads, such as
        `return_tensors`, goes to `pad`, which refuses what it does not know.
        """
        if isinstance(text, str):
            ids = self.convert_tokens_to_ids(self.phonemize(text, language))
        else:
            ids = [self.convert_tokens_to_ids(phonemes) for phonemes in self.phonemize_batch(text, language)]
        if truncation:
            if max_length is None:
                raise ValueError("truncation=True needs max_length")
            ids = ids[:max_length] if isinstance(text, str) else [row[:max_length] for row in ids]
        kwargs.setdefault("return_attention_mask", True)
        return self.pad({"input_ids": ids}, padding=padding, max_length=max_length, **kwargs)

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        group_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Phonemes separated by spaces, without blanks; `group_tokens=True` first merges repeats, as CTC does.

        `skip_special_tokens` also leaves out `<unk>`. Clean-up has nothing to do here and is refused.
        """
        if clean_up_tokenization_spaces:
            raise ValueError("phonemes have no tokenization spaces to clean up")
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        blank = self.pad_token_id
        ids = ctc_collapse(ids, blank) if group_tokens else [index for index in ids if index != blank]
        return self.convert_tokens_to_string(self.convert_ids_to_tokens(ids, skip_special_tokens=skip_special_tokens))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes `phonemes.json`, phoneme to id in the order of the ids, and `common_words.json`."""
        paths = []
        for name, content in zip(VOCAB_FILES_NAMES.values(), (self.encoder, self._word_lists), strict=True):
            paths.append(os.path.join(save_directory, f"{filename_prefix}-{name}" if filename_prefix else name))
            text = json.dumps(content, ensure_ascii=False, indent=1)
            Path(paths[-1]).write_text(text + "\n", encoding="utf-8")
        return tuple(paths)


def read_json_object(path: Path) -> dict:
    """A JSON object.

    Raises:
        ValueError: the file holds none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must hold a JSON object, not a {type(value).__name__}")
    return value


def _read_vocabulary(path: Path) -> dict[str, int]:
    """Ids of phonemes, from 0 on without a gap.

    Raises:
        ValueError: the file holds something else.
    """
    vocabulary = read_json_object(path)
    ids = [index for index in vocabulary.values() if isinstance(index, int) and not isinstance(index, bool)]
    if sorted(ids) != list(range(len(vocabulary))):
        raise ValueError(f"{path}: phonemes must have the ids 0 to {len(vocabulary) - 1}, each of them once.")
    return vocabulary


def _read_word_lists(path: Path) -> dict[str, dict[str, list[str]]]:
    """Common words of languages, see [`EntropyASRPhonemeTokenizer`].

    Raises:
        ValueError: the file holds something else.
    """
    lists = read_json_object(path)
    for code, words in lists.items():
        lines = [words.get(name, []) for name in ("words", "joined")] if isinstance(words, dict) else [None]
        if not all(isinstance(line, list) and all(isinstance(word, str) for word in line) for line in lines):
            raise ValueError(f"{path}: `words` and `joined` of {code!r} must be lists of text.")
    return lists


def _parts_of(text: str, language: str | None) -> list[tuple[Language | None, str]]:
    """Parts of a text, each with the language that reads it; `language` as in `phonemize`."""
    code = language_code(language, optional=True, non_speech=True)
    text = spoken_text(text)
    entry = language_of_text(text) if code in (None, NON_SPEECH) else LANGUAGES[code]
    if entry.g2p is None:
        raise ValueError(f"{entry.name} ({entry.code}) has no phonemes: its entry has no `g2p`.")
    return reading_parts(text, entry)


__all__ = ["EntropyASRPhonemeTokenizer", "read_json_object"]
