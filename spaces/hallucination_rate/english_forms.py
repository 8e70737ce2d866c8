# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""English that is said alike and written differently: times, amounts, fractions, short forms, British spelling.

These rules stand before and after transformers' `EnglishTextNormalizer`, which knows number words, currencies and
contractions, but neither times of day, fractions, spoken web addresses nor spellings.
"""

import re


_HOURS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12,
}  # fmt: skip
_HOUR = rf"(\d{{1,2}}|{'|'.join(_HOURS)})"
_MINUTES = {"quarter": 15, "a quarter": 15, "half": 30, "five": 5, "ten": 10, "twenty": 20, "twenty five": 25}
_MINUTE = rf"({'|'.join(sorted(_MINUTES, key=len, reverse=True))}|\d{{1,2}})"
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4,
    "fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6, "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10,
}  # fmt: skip
_COUNTS = {"a": 1} | _HOURS
_SHORT_UNITS = {
    "km": "kilometers", "kms": "kilometers", "cm": "centimeters", "mm": "millimeters", "kg": "kilograms",
    "kgs": "kilograms", "kilos": "kilograms", "lb": "pounds", "lbs": "pounds", "oz": "ounces", "ft": "feet",
    "mph": "miles per hour", "kmh": "kilometers per hour", "km/h": "kilometers per hour", "hr": "hours",
    "hrs": "hours", "min": "minutes", "mins": "minutes", "sec": "seconds", "secs": "seconds", "mb": "megabytes",
    "gb": "gigabytes", "tb": "terabytes", "hz": "hertz", "khz": "kilohertz", "mhz": "megahertz", "ml": "milliliters",
    "k": "thousand", "bn": "billion", "mn": "million", "yrs": "years", "quid": "pounds", "bucks": "dollars",
    "°c": "degrees celsius", "°f": "degrees fahrenheit", "°": "degrees", "usd": "dollars", "x": "times",
}  # fmt: skip
_SHORT_UNIT = "|".join(re.escape(unit) for unit in sorted(_SHORT_UNITS, key=len, reverse=True))
# Said alike or meant alike, whatever is written.
_WORDS = {
    "okay": "ok", "okey": "ok", "o k": "ok", "yeah": "yes", "yep": "yes", "yup": "yes", "yea": "yes", "nope": "no",
    "nah": "no", "alright": "ok", "all right": "ok", "gimme": "give me", "lemme": "let me", "kinda": "kind of",
    "sorta": "sort of", "dunno": "do not know", "outta": "out of", "cuz": "because", "'cause": "because",
    "coz": "because", "'em": "them", "c'mon": "come on", "ya": "you", "thru": "through", "til": "until",
    "till": "until", "tho": "though", "whatcha": "what are you", "gotcha": "got you", "cannot": "can not",
    "tryna": "trying to", "shoulda": "should have", "hafta": "have to", "oughta": "ought to", "hi": "hello",
    "hey": "hello", "mommy": "mom", "mum": "mom", "mummy": "mom", "daddy": "dad", "thank you": "thanks",
    "vs": "versus", "etc": "et cetera", "approx": "approximately", "dept": "department", "tv": "television",
    "ave": "avenue", "rd": "road", "blvd": "boulevard", "uhhuh": "yes", "goodbye": "bye",
    "good bye": "bye", "e mail": "email",
    "miles an hour": "miles per hour", "kilometers an hour": "kilometers per hour", "photo": "photograph",
}  # fmt: skip
_WORD = re.compile(rf"(?<![\w'])(?:{'|'.join(sorted(map(re.escape, _WORDS), key=len, reverse=True))})(?![\w'])")
_LENGTHS = {"m": "meters", "ft": "feet"} | {unit: _SHORT_UNITS[unit] for unit in ("km", "cm", "mm")}
_SYMBOLS = {"%": " percent ", "$": " dollar ", "£": " pound ", "€": " euro ", "¢": " cent "}
_AMERICAN = {
    "grey": "gray", "tyre": "tire", "kerb": "curb", "cheque": "check", "programme": "program", "plough": "plow",
    "mould": "mold", "sceptical": "skeptical", "aluminium": "aluminum", "jewellery": "jewelry", "pyjamas": "pajamas",
    "draught": "draft", "whilst": "while", "amongst": "among", "learnt": "learned", "burnt": "burned",
    "spelt": "spelled", "dreamt": "dreamed", "smelt": "smelled", "spoilt": "spoiled", "leapt": "leaped",
    "storey": "story", "manoeuvre": "maneuver", "moustache": "mustache", "practise": "practice",
    "artefact": "artifact",
    "cosy": "cozy", "analyse": "analyze", "judgement": "judgment", "acknowledgement": "acknowledgment", "axe": "ax",
    "skilful": "skillful", "fulfil": "fulfill", "enrol": "enroll", "instalment": "installment", "catalogue": "catalog",
    "dialogue": "dialog", "towards": "toward", "afterwards": "afterward", "licence": "license", "defence": "defense",
    "offence": "offense", "pretence": "pretense", "doughnut": "donut", "omelette": "omelet", "yoghurt": "yogurt",
}  # fmt: skip
_BRITISH = [
    (re.compile(pattern), written)
    for pattern, written in (
        (r"^(?=.{5,})(.*[bcdhklmnpvt])our(s|ed|ing|ful|less|able|ably|ites?|hood|ers?|ist|y|ly|some|al)?$", r"\1or\2"),
        (r"^(?=.{6,})(.+[^aeiou])is(e|es|ed|er|ers|ing|ation|ations|able)$", r"\1iz\2"),
        (r"^(.+[bcdht])re(s|d)?$", r"\1er\2"),
        (r"^(.+l)ys(e|es|ed|ing)$", r"\1yz\2"),
        (r"^(.+[aeiou])ll(ed|ing|er|ers|or|ors|ous)$", r"\1l\2"),
        (r"^(.*)(?:ae|oe)(m|st|di|d|n|r|p|l)(.{2,})$", r"\1e\2\3"),
    )
]  # fmt: skip


def before_normalizer(text: str) -> str:
    """Lower-case text with times, fractions, units and addresses in a way that the normaliser keeps apart."""
    text = re.sub(r"[\[\](){}<>]", " ", text)  # remarks in brackets are output like any other
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))|(?<=\d)\s+(?=%)", "", text)
    text = re.sub(r"(?<![\w-])-(?=[$£€]?\d)", "minus ", text)
    text = re.sub(r"\b([ap])\.?\s?m\b\.?", r"\1m", text)
    text = re.sub(r"\bhalf a (million|billion|trillion)\b", r"0.5 \1", text)
    text = re.sub(r"\bhalf an? (?=[a-z])", "1/2 ", text)
    text = re.sub(r"\ba (hundred|thousand|million|billion|trillion)\b", r"one \1", text)
    text = _write_times(text)
    text = re.sub(r"(?<![\d.])0\d+", lambda match: " ".join(match[0]), text)  # else a number loses its zeros
    text = re.sub(r"(?<=[a-z\d])@(?=[a-z\d])", " at ", text)
    text = re.sub(r"(?<=[a-z]{2})\.(?=[a-z]{2})", " dot ", text)
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text).replace("&", " and ")
    text = _write_fractions(text)
    text = re.sub(r"(?<=\d)\s*(km|cm|mm|m|ft) (squared|cubed)\b", _area, text)
    text = re.sub(rf"(?<=\d)\s*({_SHORT_UNIT})(?![a-z])", lambda match: f" {_SHORT_UNITS[match[1]]}", text)
    text = re.sub(rf"\b(\w+) ({'quid|bucks'})\b", lambda match: f"{match[1]} {_SHORT_UNITS[match[2]]}", text)
    return _WORD.sub(lambda match: _WORDS[match[0]], text)


def after_normalizer(text: str) -> str:
    """What the normaliser leaves: ordinals as numbers, symbols as words after their number, a 1 as a digit."""
    text = re.sub(r"(?<![\w-])-(?=[$£€¢]?\d)", "minus ", text)
    text = re.sub(r"([$£€]\d+) (\d\d)(?!\d)", r"\1.\2", text)  # five pounds fifty
    text = re.sub(r"([$£€¢])(\d[\d.]*)", r"\2\1", text)
    text = re.sub(r"\bones?\b", "1", text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th|s)\b", "", text)
    text = re.sub(r"(?<=\d)\.0+(?!\d)|(?<=\.\d)0+(?!\d)", "", text)
    text = re.sub(r"(?<=\d)\.(?=\d)", " ", text)
    return re.sub(r"[%$£€¢]", lambda match: _SYMBOLS[match[0]], text)


def _area(match: re.Match) -> str:
    return f" {'square' if match[2] == 'squared' else 'cubic'} {_LENGTHS[match[1]]}"


def american_spelling(word: str) -> str:
    """A word as it is spelled in America; where a rule is too wide ("course"), it is so on both sides."""
    stem = word.removesuffix("s")
    if stem in _AMERICAN:
        return _AMERICAN[stem] + word[len(stem) :]
    if word in _AMERICAN:
        return _AMERICAN[word]
    for pattern, written in _BRITISH:
        word = pattern.sub(written, word)
    return word


def _write_times(text: str) -> str:
    """Hours and minutes side by side, 12 hours a half day: 3:30, half past three, 15:30 are "3 30"."""
    text = re.sub(r"\b(\d{1,2}):(\d{2})(?::00)?(?!\d)", _clock, text)
    text = re.sub(
        rf"\b{_MINUTE}(?: minutes)? (past|after|to|before|of|till) {_HOUR}\b(?! \w+(?:teen|ty)\b)", _spoken_clock, text
    )
    text = re.sub(r"\b(?:at )?12 (?:pm|noon)\b|\b(?:twelve )?noon\b", "12", text)
    return re.sub(rf"\b{_HOUR} o'? ?clock\b", r"\1", text)


def _clock(match: re.Match) -> str:
    hour, minute = int(match[1]), int(match[2])
    half_day = " pm" if 12 < hour < 24 else ""
    hour = hour - 12 if half_day else hour
    return f"{hour}{f' {match[2]}' if minute else ''}{half_day}"


def _spoken_clock(match: re.Match) -> str:
    minute = _MINUTES.get(match[1]) or int(match[1])
    hour = _HOURS.get(match[3]) or int(match[3])
    if match[2] in ("to", "before", "of", "till"):
        if match[1].isdigit() or minute in (30,):  # "10 to 12" is a span
            return match[0]
        hour, minute = (hour - 2) % 12 + 1, 60 - minute
    return f"{hour} {minute:02}"


def _write_fractions(text: str) -> str:
    """Spoken fractions as written ones, and a mixed number with its "and"."""
    counts, parts = "|".join(_COUNTS), "|".join(_PARTS)
    text = re.sub(
        rf"\b({counts})[ -]({parts})\b(?! past| to| after)",
        lambda match: f"{_COUNTS[match[1]]}/{_PARTS[match[2]]}",
        text,
    )
    text = re.sub(r"\band (\d/\d+)", r"\1", text)
    text = re.sub(r"([$£€])(\d+/\d+)", lambda match: f"{match[2]}{_SYMBOLS[match[1]].rstrip()}", text)
    text = re.sub(r"(\d/\d+) of an? (?=[a-z])", r"\1 ", text)
    return re.sub(r"(\d+)/(\d+)", r"\1 \2", text)
