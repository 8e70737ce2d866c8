# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""English numbers as people say them."""

import pytest

from entropy_asr.modeling.numerals_english_entropy_asr import read_numbers


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("it costs $5", "it costs five dollars"),
        ("$1", "one dollar"),
        ("-$5", "minus five dollars"),
        ("($3.50)", "three dollars and fifty cents"),
        ("$0.99", "ninety nine cents"),
        ("$5 million, or £2bn", "five million dollars or two billion pounds"),
        ("$1,000", "one thousand dollars"),
        ("$5-10", "five to ten dollars"),
        ("€2.5", "two point five euros"),
        ("-5", "minus five"),
        ("\u22125 degrees", "minus five degrees"),
        ("100°C", "one hundred degrees celsius"),
        ("1/2", "one half"),
        ("2/3 of it", "two thirds of it"),
        ("3/4", "three quarters"),
        ("2 1/2", "two and a half"),
        ("24/7", "twenty four seven"),
        ("3.5", "three point five"),
        ("in 1984,", "in nineteen eighty four"),
        ("1905", "nineteen oh five"),
        ("1900", "nineteen hundred"),
        ("the 1990s", "the nineteen nineties"),
        ("2005", "two thousand five"),
        ("2023", "twenty twenty three"),
        ("1990-1995", "nineteen ninety to nineteen ninety five"),
        ("10:30", "ten thirty"),
        ("10:05", "ten oh five"),
        ("5-10", "five to ten"),
        ("555-1234", "five five five one two three four"),
        ("(650) 555-1234", "six five zero five five five one two three four"),
        ("650.555.1234", "six five zero five five five one two three four"),
        ("call 6505551234.", "call six five zero five five five one two three four"),
        ("1000000000", "one billion"),
        ("123456", "one hundred twenty three thousand four hundred fifty six"),
        ("650 people", "six hundred fifty people"),
        ("12/25/2023", "twelve twenty five twenty twenty three"),
        ("50%", "fifty percent"),
        ("1,000,000", "one million"),
        ("21st", "twenty first"),
        ("$1 billion", "one billion dollars"),
        ("$-5", "minus five dollars"),
        ("100$", "one hundred dollars"),
        ("$5/month", "five dollars per month"),
        ("a 1/2-inch bolt", "a one half inch bolt"),
        ("mid-1990s", "mid nineteen nineties"),
        ("2½", "two and a half"),
        ("3\u201110", "three to ten"),
        ("007", "zero zero seven"),
        ("call 555 123 4567", "call five five five one two three four five six seven"),
        ("+44 20 7946 0958", "plus four four two zero seven nine four six zero nine five eight"),
        ("(650) 555 1234, ok", "six five zero five five five one two three four ok"),
        ("1 000 000", "one zero zero zero zero zero zero"),  # no telephone number: each by itself
        ("in 1990 1995 2001", "in nineteen ninety nineteen ninety five two thousand one"),
        ("-$1/2", "minus half a dollar"),
        ("$3/4", "three quarters of a dollar"),
        ("3²", "three squared"),
        ("x³ + 10⁴", "x cubed + ten to the power of four"),
        ("25 m² or 25m²", "twenty five square meters or twenty five square meters"),
        ("a word² here", "a word here"),  # a footnote's mark
    ],
)
def test_numbers_are_read_as_people_say_them(phoneme_tokenizer, written: str, said: str) -> None:
    assert phoneme_tokenizer.phonemize(written, "en") == phoneme_tokenizer.phonemize(said, "en")


def test_words_without_digits_are_left_as_they_are() -> None:
    words = ["U.S.", "-", "--", "well-known", "$", "a/b", "(x)"]
    assert read_numbers(words) == words
