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

One vocabulary serves every language. English is written in the IPA of espeak-ng's `en-us` voice, without stress marks,
one token a phone (`oʊ`, `ɪɹ` and `tʃ` are one). Mandarin is written as pinyin initials and toned finals (`zh` `ong1`).
A Mandarin initial shares its token with the English phone that its letter also names in IPA (`m`, `s`, `t`, ...); the
three initials whose letter is no IPA symbol or another sound's are written in IPA (see `_INITIAL_TO_TOKEN`). Tokens
carry no word separators; `phonemize_words` gives the words.
"""

import json
import logging
import os
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from transformers import BatchEncoding, PreTrainedTokenizer

from .languages_entropy_asr import language_code


VOCAB_FILES_NAMES = {"vocab_file": "phonemes.json"}
PAD_TOKEN, UNK_TOKEN = "<pad>", "<unk>"

# fmt: off
ENGLISH_VOWELS = (
    "i", "iː", "ɪ", "ᵻ", "eɪ", "ɛ", "æ", "ɑː", "ɔ", "ɔː", "oʊ", "ʊ", "uː", "ʌ", "ɐ", "ə", "ɜː", "ɚ", "aɪ", "aʊ", "ɔɪ",
    "iə", "aɪə", "aɪɚ", "ɪɹ", "ɛɹ", "ɑːɹ", "ɔːɹ", "oːɹ", "ʊɹ", "əl", "n̩",
)
ENGLISH_CONSONANTS = (
    "p", "b", "t", "d", "k", "ɡ", "ʔ", "ɾ", "tʃ", "dʒ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ", "h", "m", "n", "ŋ",
    "l", "ɹ", "j", "w",
)
# The initials b p m f d t n l g k h s share an English token.
MANDARIN_INITIALS = ("tɕ", "q", "x", "zh", "ch", "sh", "r", "ts", "c")
MANDARIN_FINALS = (
    "a1", "a2", "a3", "a4", "a5", "ai1", "ai2", "ai3", "ai4", "ai5", "an1", "an2", "an3", "an4", "an5",
    "ang1", "ang2", "ang3", "ang4", "ang5", "ao1", "ao2", "ao3", "ao4", "ao5",
    "e1", "e2", "e3", "e4", "e5", "ê1", "ê2", "ê3", "ê4", "ê5", "ei1", "ei2", "ei3", "ei4", "ei5",
    "en1", "en2", "en3", "en4", "en5", "eng1", "eng2", "eng3", "eng4", "eng5", "er1", "er2", "er3", "er4", "er5",
    "i1", "i2", "i3", "i4", "i5", "ia1", "ia2", "ia3", "ia4", "ia5", "ian1", "ian2", "ian3", "ian4", "ian5",
    "iang1", "iang2", "iang3", "iang4", "iang5", "iao1", "iao2", "iao3", "iao4", "iao5",
    "ie1", "ie2", "ie3", "ie4", "ie5", "in1", "in2", "in3", "in4", "in5", "ing1", "ing2", "ing3", "ing4", "ing5",
    "iong1", "iong2", "iong3", "iong4", "iong5", "iou1", "iou2", "iou3", "iou4", "iou5",
    "o1", "o2", "o3", "o4", "o5", "ong1", "ong2", "ong3", "ong4", "ong5", "ou1", "ou2", "ou3", "ou4", "ou5",
    "u1", "u2", "u3", "u4", "u5", "ua1", "ua2", "ua3", "ua4", "ua5", "uai1", "uai2", "uai3", "uai4", "uai5",
    "uan1", "uan2", "uan3", "uan4", "uan5", "uang1", "uang2", "uang3", "uang4", "uang5",
    "uei1", "uei2", "uei3", "uei4", "uei5", "uen1", "uen2", "uen3", "uen4", "uen5",
    "ueng1", "ueng2", "ueng3", "ueng4", "ueng5", "uo1", "uo2", "uo3", "uo4", "uo5",
    "v1", "v2", "v3", "v4", "v5", "van1", "van2", "van3", "van4", "van5", "ve1", "ve2", "ve3", "ve4", "ve5",
    "vn1", "vn2", "vn3", "vn4", "vn5",
    "m1", "m2", "m3", "m4", "m5", "n1", "n2", "n3", "n4", "n5", "ng1", "ng2", "ng3", "ng4", "ng5",
)
# fmt: on
DEFAULT_PHONEMES = (
    PAD_TOKEN,
    UNK_TOKEN,
    *ENGLISH_VOWELS,
    *ENGLISH_CONSONANTS,
    *MANDARIN_INITIALS,
    *MANDARIN_FINALS,
)

# In IPA, ASCII g is not a letter of its own, j is the glide of "yes" and z is the voiced s.
_INITIAL_TO_TOKEN = {"g": "ɡ", "j": "tɕ", "z": "ts"}
# Sounds that espeak-ng keeps for foreign names in English text ("loch", "Utrecht", "barr'st"), by the nearest English
# phone. `r` and `x` would otherwise meet the Mandarin initials of that spelling.
_ENGLISH_ALIASES = {"r": "ɹ", "x": "k", "ç": "ʃ", "ɬ": "l", "ɑ̃": "ɑː", "ɔ̃": "ɔː", "ɲ": "n", "ɡʲ": "ɡ", "l̩": "əl"}

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Latin letters that espeak-ng reads in words: ASCII, Latin-1 and Latin Extended-A. It spells others by their numbers.
_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017f"
# Punctuation makes pauses; these symbols are said by their names ("five percent"), all others are silent.
_SYMBOLS = "$%&+@\u00a2\u00a3\u00a5\u00b0\u00b1\u00d7\u00f7\u20a9\u20ac\u20b9\u2212"
_PUNCTUATION = "!\"'(),./:;?\\-\u00a1\u00ab\u00b7\u00bb\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u301f"
_READABLE = re.compile(f"[{_HAN}{_LATIN}0-9{_SYMBOLS}{_PUNCTUATION}]")
_UNREADABLE_RUN = re.compile(rf"[^{_HAN}{_LATIN}0-9{_SYMBOLS}{_PUNCTUATION}\s]+")
# How apostrophes are typed beside ' and ’; an acute accent would become a blank in NFKC.
_APOSTROPHES = "`\u00b4\u02bb\u02bc\u2032"
_HAN_RUN = re.compile(f"[{_HAN}]+")
_FOREIGN_RUN = re.compile(f"(?P<han>{_HAN_RUN.pattern})|(?P<other>{_UNREADABLE_RUN.pattern})")
_SYLLABIC_NASAL = re.compile(r"(h?)(m|ng|n)([1-5])")
_MANDARIN_PIECE = re.compile(
    rf"(?P<han>[{_HAN}]+)"
    r"|(?P<pinyin>(?<![A-Za-z])[a-zêü]+[1-5](?![0-9]))"
    r"|(?P<number>[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?%?)"
    rf"|(?P<english>[{_LATIN}]+(?:['’][{_LATIN}]+)*)"
    rf"|(?P<other>{_UNREADABLE_RUN.pattern})"
)
# What follows the name of a script in the name of a character.
_SCRIPT_END = re.compile(
    r" (?:CAPITAL|SMALL|LETTERS?|SYLLABLE|SYLLABICS|VOWEL|CONSONANT|SIGN|MARK|DIGIT|NUMBER|NUMERAL|CHARACTER|POINT|"
    r"ACCENT|IDEOGRAPH|PROLONGED|ITERATION|CHOSEONG|JUNGSEONG|JONGSEONG|FINAL|INDEPENDENT|DEPENDENT)\b"
)
_MANDARIN_DIGITS = "零一二三四五六七八九"


def _missing_g2p(package: str, error: ImportError) -> ImportError:
    return ImportError(
        f'Phonemes need the package `{package}`, which cannot be imported ({error}): pip install "entropy-asr[g2p]"'
    )


@lru_cache(maxsize=1)
def _english_backend():
    """phonemizer's backend over the espeak-ng library of `espeakng-loader`, and its separator; once a process."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise _missing_g2p("espeakng-loader", error) from error
    try:
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
        from phonemizer.separator import Separator
    except ImportError as error:
        raise _missing_g2p("phonemizer", error) from error
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    quiet = logging.getLogger(f"{__name__}.phonemizer")
    quiet.setLevel(logging.ERROR)
    backend = EspeakBackend(
        "en-us", with_stress=False, language_switch="remove-flags", words_mismatch="ignore", logger=quiet
    )
    return backend, Separator(phone=" ", word=" | ", syllable="")


def _phonemize_english(texts: Sequence[str]) -> list[list[str]]:
    """IPA phones of English texts; espeak-ng is called once for all of them."""
    if not texts:
        return []
    backend, separator = _english_backend()
    lines = backend.phonemize(list(texts), separator=separator, strip=True)
    return [[_ENGLISH_ALIASES.get(phone, phone) for phone in line.split() if phone != "|"] for line in lines]


def _phonemize_han(text: str) -> list[list[str]]:
    """Units of each character of a run of Chinese characters; polyphones are read by pypinyin's phrases."""
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise _missing_g2p("pypinyin", error) from error
    syllables = lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, errors=list)
    return [_phonemize_syllable(syllable) for syllable in syllables]


@lru_cache(maxsize=4096)
def _syllable_units(syllable: str) -> tuple[str, ...]:
    try:
        from pypinyin.contrib.tone_convert import to_finals_tone3, to_initials
    except ImportError as error:
        raise _missing_g2p("pypinyin", error) from error
    nasal = _SYLLABIC_NASAL.fullmatch(syllable)
    if nasal:
        breath, consonant, tone = nasal.groups()
        return ("h", consonant + tone) if breath else (consonant + tone,)
    if re.fullmatch("r[1-5]", syllable):  # 儿 as the ending of the syllable before it
        return ("er" + syllable[1],)
    initial = to_initials(syllable, strict=True)
    final = to_finals_tone3(syllable, strict=True, v_to_u=False, neutral_tone_with_five=True)
    if final not in MANDARIN_FINALS:
        return (UNK_TOKEN,)
    return (_INITIAL_TO_TOKEN.get(initial, initial), final) if initial else (final,)


def _phonemize_syllable(syllable: str) -> list[str]:
    """Initial and toned final of one pinyin syllable with its tone number: `zhong1` -> `["zh", "ong1"]`."""
    return list(_syllable_units(syllable.lower().replace("ü", "v").replace("u:", "v")))


def _read_four_digits(number: int) -> str:
    """Mandarin reading of 1 to 9999."""
    reading, pending_zero = "", False
    for power, unit in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // power % 10
        if digit:
            reading += ("零" if pending_zero else "") + _MANDARIN_DIGITS[digit] + unit
        pending_zero = bool(reading) and not digit
    return reading


def _read_integer(digits: str) -> str:
    """Mandarin reading of an integer; digit by digit for codes (a leading zero, or nine digits and more)."""
    if len(digits) > 8 or (len(digits) > 1 and digits[0] == "0"):
        return "".join(_MANDARIN_DIGITS[int(digit)] for digit in digits)
    myriads, rest = divmod(int(digits), 10000)
    if not myriads and not rest:
        return "零"
    reading = _read_four_digits(myriads) + "万" if myriads else ""
    if rest:
        reading += ("零" if myriads and rest < 1000 else "") + _read_four_digits(rest)
    return reading[1:] if reading.startswith("一十") else reading


def _read_number(number: str, following: str) -> str:
    """Mandarin reading of a number in digits: `3.5%` -> 百分之三点五; four digits before 年 are read one by one."""
    percent = "百分之" if number.endswith("%") else ""
    integer, _, decimals = number.rstrip("%").replace(",", "").partition(".")
    if len(integer) == 4 and following == "年" and not decimals:
        return "".join(_MANDARIN_DIGITS[int(digit)] for digit in integer)
    reading = percent + _read_integer(integer)
    return reading + "点" + "".join(_MANDARIN_DIGITS[int(digit)] for digit in decimals) if decimals else reading


class _Spoken(dict):
    """Table for `str.translate`: what is left of a character of NFKC text for those who speak it."""

    def __missing__(self, code: int) -> str:
        self[code] = spoken = _spoken_character(chr(code))
        return spoken


def _spoken_character(character: str) -> str:
    kind, name = unicodedata.category(character), unicodedata.name(character, "")
    # Zero-width characters, soft hyphens; accents that no letter has, the circles around numbers, kinds of emoji.
    if kind in ("Cf", "Me") or (kind == "Mn" and name.startswith(("COMBINING", "VARIATION SELECTOR"))):
        return ""
    if _READABLE.match(character):
        return character
    if character in _APOSTROPHES:
        return "'"
    if kind[0] in "PSZC":  # espeak-ng would read out "underscore", "rightwards arrow", "grinning face"
        return " "
    base = unicodedata.normalize("NFD", character)[0]
    return base if base.isascii() else character  # the letters of Vietnamese, but not another script's


_SPOKEN = _Spoken()
_SPOKEN_APOSTROPHES = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))


def spoken_text(text: str) -> str:
    """Text as it is read aloud: in one form of Unicode, without what has no sound.

    Composed and decomposed letters, full-width letters and digits and ligatures become the same characters (NFKC);
    zero-width characters and soft hyphens are left out; pictures, mark-up and symbols without a name in speech become
    blanks. Characters of scripts that cannot be read stay as they are, see [`unreadable_characters`].
    """
    # Not `text.translate`: what is no string is a TypeError, as everywhere.
    return unicodedata.normalize("NFKC", str.translate(text, _SPOKEN_APOSTROPHES)).translate(_SPOKEN)


def spoken_characters(text: str) -> list[tuple[str, int]]:
    """Characters of [`spoken_text`], each with the place in `text` of the character that it comes from."""
    starts = [index for index, character in enumerate(text) if not index or not _is_joined(character)]
    limits = pairwise([*starts, len(text)])
    return [(character, start) for start, end in limits for character in spoken_text(text[start:end])]


def _is_joined(character: str) -> bool:
    """Whether it may become one with the character before it: accents, parts of Korean and Japanese letters."""
    joined = unicodedata.combining(character) or unicodedata.category(character)[0] == "M"
    return bool(joined) or "\u1160" <= character <= "\u11ff" or character in "\uff9e\uff9f"


def unreadable_characters(text: str) -> list[tuple[str, str]]:
    """Runs of characters that have no phonemes here, each with the name of its script, in the order of the text.

    What is read are Latin letters with and without accents, Chinese characters and the digits 0 to 9; punctuation is a
    pause, and symbols and pictures without a name in speech are silent.

    Example:

    ```python
    >>> unreadable_characters("Zürich, 北京 и Łódź 😀")
    [('и', 'Cyrillic')]
    ```
    """
    runs = dict.fromkeys(_UNREADABLE_RUN.findall(spoken_text(text)))
    return [(run, _script_of(run[0])) for run in runs]


def _script_of(character: str) -> str:
    script = _SCRIPT_END.split(unicodedata.name(character, "unknown").partition("-HIRAGANA")[0])[0].title()
    return "phonetic symbols" if script == "Latin" else script


def explain_unreadable(text: str) -> str | None:
    """Why a text cannot be turned into phonemes, naming words, scripts and what can be read; None where it can."""
    runs = unreadable_characters(text)
    if not runs:
        return None
    named = ", ".join(f"{run!r} ({script})" for run, script in runs[:3]) + (", ..." if len(runs) > 3 else "")
    return f"{named} cannot be read: phonemes are known for Latin letters, Chinese characters and the digits 0 to 9"


def _split_mandarin(text: str) -> list[tuple[str, str, str]]:
    """Cuts Chinese text into `(kind, surface, spoken)`; punctuation is left out, spelled letters stay single words."""
    pieces = []
    for match in _MANDARIN_PIECE.finditer(text):
        kind, surface = match.lastgroup, match.group()
        if kind == "pinyin" and _phonemize_syllable(surface) == [UNK_TOKEN]:  # "mp3" is a word and a number
            pieces.append(("english", surface[:-1], surface[:-1]))
            kind, surface = "number", surface[-1]
        spoken = _read_number(surface, text[match.end() : match.end() + 1]) if kind == "number" else surface
        pieces.append((kind, surface, spoken))
    return pieces


def _split_english(text: str) -> list[tuple[str, str, str]]:
    """Cuts English text into what stands between runs of other characters, and those, as `(kind, surface, spoken)`."""
    pieces, start = [], 0
    for match in _FOREIGN_RUN.finditer(text):
        pieces.append(("english", text[start : match.start()], text[start : match.start()]))
        pieces.append((match.lastgroup, match.group(), match.group()))
        start = match.end()
    pieces.append(("english", text[start:], text[start:]))
    return [piece for piece in pieces if piece[0] != "english" or re.search(r"\w", piece[1])]


def _split_text(text: str, language: str | None) -> list[tuple[str, str, str]]:
    language = language_code(language, optional=True, non_speech=True)
    text = spoken_text(text)
    if language in (None, "none"):
        language = "zh" if _HAN_RUN.search(text) else "en"
    return _split_mandarin(text) if language == "zh" else _split_english(text)


def _phonemize_piece(piece: tuple[str, str, str], english: dict[str, list[str]]) -> list[list[str]]:
    """Units of each word of a piece; an English piece counts as one word here."""
    kind, _, spoken = piece
    if kind == "english":
        return [english[spoken]]
    if kind == "pinyin":
        return [_phonemize_syllable(spoken)]
    if kind == "han":
        return _phonemize_han(spoken)
    if kind == "number":
        return [[unit for units in _phonemize_han(spoken) for unit in units]]
    return [[UNK_TOKEN]]


def _substitution_cost(phone: str, other: str) -> float:
    if phone == other:
        return 0.0
    return 1.0 if (phone in ENGLISH_VOWELS) == (other in ENGLISH_VOWELS) else 2.0


def _assign_to_words(phones: list[str], words: list[list[str]]) -> list[list[str]]:
    """Divides the phones of a sentence among its words, given each word's phones in isolation.

    espeak-ng joins short words ("of the" is one) and expands numbers, so that its own word breaks are not the text's.
    Connected speech differs from isolated words by weak forms and linking sounds only: a minimum edit alignment.
    """
    flat = [(phone, index) for index, word in enumerate(words) for phone in word]
    rows, columns = len(phones), len(flat)
    cost = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows + 1):
        for column in range(columns + 1):
            options = []
            if row and column:
                substitution = _substitution_cost(phones[row - 1], flat[column - 1][0])
                options.append(cost[row - 1][column - 1] + substitution)
            if row:
                options.append(cost[row - 1][column] + 1)
            if column:
                options.append(cost[row][column - 1] + 1)
            cost[row][column] = min(options, default=0.0)
    return _trace_words(phones, flat, cost, len(words))


def _trace_words(
    phones: list[str], flat: list[tuple[str, int]], cost: list[list[float]], num_words: int
) -> list[list[str]]:
    assigned: list[list[str]] = [[] for _ in range(num_words)]
    row, column = len(phones), len(flat)
    while row:
        substitution = _substitution_cost(phones[row - 1], flat[column - 1][0]) if column else None
        if column and cost[row][column] == cost[row - 1][column - 1] + substitution:
            row, column = row - 1, column - 1
            assigned[flat[column][1]].insert(0, phones[row])
        elif cost[row][column] == cost[row - 1][column] + 1:  # a linking sound belongs to the word before it
            row -= 1
            assigned[flat[max(column - 1, 0)][1]].insert(0, phones[row])
        else:
            column -= 1
    return assigned


class EntropyASRPhonemeTokenizer(PreTrainedTokenizer):
    """Tokenizer whose tokens are phonemes: the labels of the CTC head and the keys of the hotword index.

    Grapheme-to-phoneme conversion needs the packages phonemizer and espeakng-loader (English) and pypinyin (Mandarin),
    imported at the first text; converting between phonemes and ids needs none of them.

    Args:
        vocab_file (`str`, *optional*):
            JSON object from phoneme to id; the built-in vocabulary if not given.
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
        self, vocab_file: str | None = None, pad_token: str = PAD_TOKEN, unk_token: str = UNK_TOKEN, **kwargs
    ) -> None:
        if vocab_file is None:
            self.encoder = {phoneme: index for index, phoneme in enumerate(DEFAULT_PHONEMES)}
        else:
            with open(vocab_file, encoding="utf-8") as file:
                self.encoder = json.load(file)
        for token, expected in ((pad_token, 0), (unk_token, 1)):
            if self.encoder.get(str(token)) != expected:
                raise ValueError(f"{vocab_file or 'the vocabulary'}: {token} must have the id {expected}")
        self.decoder = {index: phoneme for phoneme, index in self.encoder.items()}
        super().__init__(pad_token=pad_token, unk_token=unk_token, **kwargs)

    @property
    def vocab_size(self) -> int:
        return len(self.encoder)

    @property
    def blank_token_id(self) -> int:
        """The CTC blank, which is the padding token."""
        return self.pad_token_id

    def get_vocab(self) -> dict[str, int]:
        return dict(self.encoder) | self.added_tokens_encoder

    def _convert_token_to_id(self, token: str) -> int:
        return self.encoder.get(token, self.encoder[str(self.unk_token)])

    def _convert_id_to_token(self, index: int) -> str:
        return self.decoder.get(index, str(self.unk_token))

    def phonemize(self, text: str, language: str | None = None) -> list[str]:
        """Phonemes of a text, without word separators.

        Args:
            text (`str`): Any mixture of Latin and Chinese script; each script goes to its own backend.
            language (`str`, *optional*):
                "en" or "zh": which language reads the digits. "zh" also takes lower-case `ma1` as pinyin, and Latin
                words one by one, so that spelled letters keep their names. Not given or "none": "zh" if there is any
                Chinese character, else "en".

        Returns:
            `list[str]`: the phonemes; `<unk>` stands for a run of letters of another script
                ([`unreadable_characters`] names them).
        """
        return self.phonemize_batch([text], [language])[0]

    def phonemize_batch(
        self, texts: Sequence[str], languages: str | Sequence[str | None] | None = None
    ) -> list[list[str]]:
        """As `phonemize` for many texts, with one call of espeak-ng; `languages` is one for all or one for each."""
        languages = self._languages_of_batch(texts, languages)
        pieces = [_split_text(text, language) for text, language in zip(texts, languages, strict=True)]
        english = self._phonemize_english_pieces(pieces)
        return [
            [unit for piece in row for units in _phonemize_piece(piece, english) for unit in units] for row in pieces
        ]

    def phonemize_words(self, text: str, language: str | None = None) -> list[tuple[str, list[str]]]:
        """Words of a text with their phonemes as spoken in that text.

        The phonemes of all words in order are `phonemize(text, language)`. A word is a whitespace-separated word of
        English, with its punctuation stripped at both ends, one Chinese character, one pinyin syllable or one number.
        """
        pieces = _split_text(text, language)
        english = self._phonemize_english_pieces([pieces])
        words: list[tuple[str, list[str]]] = []
        for piece in pieces:
            kind, surface, _ = piece
            units = _phonemize_piece(piece, english)
            if kind == "english":
                words.extend(self._split_english_words(surface, units[0]))
            elif kind == "han":
                words.extend(zip(surface, units, strict=True))
            else:
                words.append((surface, units[0]))
        return words

    def _split_english_words(self, text: str, phones: list[str]) -> list[tuple[str, list[str]]]:
        spoken = [word for word in text.split() if re.search(r"\w", word)]
        words = [re.sub(r"^\W+|\W+$", "", word) for word in spoken]
        if len(words) < 2:
            return [(word, phones) for word in words]
        return list(zip(words, _assign_to_words(phones, _phonemize_english(spoken)), strict=True))

    @staticmethod
    def _phonemize_english_pieces(pieces: list[list[tuple[str, str, str]]]) -> dict[str, list[str]]:
        texts = list(dict.fromkeys(spoken for row in pieces for kind, _, spoken in row if kind == "english"))
        return dict(zip(texts, _phonemize_english(texts), strict=True))

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
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool = True,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Phoneme ids of one text or of a batch; `language` as in `phonemize`, the rest as for any tokenizer.

        `add_special_tokens` changes nothing: a phoneme sequence has no special tokens around it.
        """
        if isinstance(text, str):
            ids = self.convert_tokens_to_ids(self.phonemize(text, language))
        else:
            ids = [self.convert_tokens_to_ids(phonemes) for phonemes in self.phonemize_batch(text, language)]
        if truncation:
            if max_length is None:
                raise ValueError("truncation=True needs max_length")
            ids = ids[:max_length] if isinstance(text, str) else [row[:max_length] for row in ids]
        return self.pad(
            {"input_ids": ids},
            padding=padding,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )

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
        if group_tokens:
            ids = [index for position, index in enumerate(ids) if position == 0 or index != ids[position - 1]]
        ids = [index for index in ids if index != self.pad_token_id]
        return self.convert_tokens_to_string(self.convert_ids_to_tokens(ids, skip_special_tokens=skip_special_tokens))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return " ".join(tokens)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        """Writes `phonemes.json`, phoneme to id in the order of the ids."""
        name = VOCAB_FILES_NAMES["vocab_file"]
        path = os.path.join(save_directory, f"{filename_prefix}-{name}" if filename_prefix else name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.encoder, file, ensure_ascii=False, indent=1)
            file.write("\n")
        return (path,)


__all__ = [
    "EntropyASRPhonemeTokenizer",
    "explain_unreadable",
    "spoken_characters",
    "spoken_text",
    "unreadable_characters",
]
