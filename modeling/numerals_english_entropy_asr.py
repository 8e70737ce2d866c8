# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What English says for amounts, fractions, years, times and ranges that are written in digits.

espeak-ng reads numbers itself; it reads "$5" as "dollar five", "1/2" as "one slash two" and "1984" as a quantity. Here
those become what is said, with the digits left to it: "5 dollars", "one half", "19 84".
"""

import re


# Currency: one, many, and the hundredth part, one and many.
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_MAGNITUDES = {
    **{word: word for word in ("hundred", "thousand", "million", "billion", "trillion")},
    **{"k": "thousand", "m": "million", "bn": "billion", "b": "billion", "tn": "trillion"},
}
# Denominators that are read as parts; a greater one stands in dates and scores rather than in fractions.
_PARTS = {
    **{2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth", 9: "ninth"},
    **{10: "tenth", 16: "sixteenth", 32: "thirty-second", 100: "hundredth", 1000: "thousandth"},
}
_NUMBER = r"\d{1,3}(?:,\d{3})+|\d+"
_SIGN = "[-\u2212]"
_AMOUNT = re.compile(
    rf"(?P<sign>{_SIGN})?(?P<currency>[$£€¥₩₹])(?=\.?\d)(?P<whole>{_NUMBER})?(?:\.(?P<decimals>\d+))?"
    rf"(?:[-\u2013](?P<to>[$£€¥₩₹]?(?:{_NUMBER})(?:\.\d+)?))?(?P<magnitude>k|m|bn|b|tn)?",
    re.IGNORECASE,
)
_SIGN_INSIDE = re.compile(rf"^([$£€¥₩₹])({_SIGN})(?=\d)")
_CURRENCY_LAST = re.compile(rf"^((?:{_NUMBER})(?:\.\d+)?)([$£€¥₩₹])$")
_RATE = re.compile(rf"(?P<amount>[$£€¥₩₹](?:{_NUMBER})(?:\.\d+)?)/(?P<of>[A-Za-z]+)")
_FRACTION = re.compile(rf"(?P<sign>{_SIGN})?(?P<numerator>\d+)/(?P<denominator>\d+)")
_YEAR = re.compile(r"(?P<century>1[1-9]|20)(?P<year>\d\d)(?P<decade>['’]?s)?")
_TIME = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?P<half>[ap]m)?", re.IGNORECASE)
_RANGE = re.compile(r"(?P<first>\d{1,4})[-\u2013](?P<last>\d{1,4})")
_PARTED = re.compile(r"\d+(?:[-/:\u2013]\d+)+")  # dates, telephone numbers, scores
_TELEPHONE = re.compile(r"(?:\d{1,3}-)*\d{3}-\d{4}")  # digit by digit
# Digits of a telephone number or a code, which are no quantity: nine and more without commas that are not round.
_CODE = re.compile(r"(?!\d*0000$)\d{9,}|\d{3}\.\d{3}\.\d{4}")
_FRACTION_OF = re.compile(rf"(?P<sign>{_SIGN})?(?P<currency>[$£€¥₩₹])(?P<fraction>\d+/\d+)")
# What `spoken_text` writes for "3²", "x³" and "m²".
_POWER = re.compile(r"(?P<base>[\d.,]*\d|[A-Za-z])(?P<exponent>(?:\^\d)+)")
_AREA = re.compile(r"(?P<number>\d[\d.,]*)?(?P<unit>km|cm|mm|m|ft)\^(?P<exponent>[23])")
_LENGTHS = {"km": "kilometers", "cm": "centimeters", "mm": "millimeters", "m": "meters", "ft": "feet"}
_POWERS = {"2": ("squared", "square"), "3": ("cubed", "cubic")}
_TEMPERATURE = re.compile(rf"(?P<degrees>{_SIGN}?\d+(?:\.\d+)?)°(?P<scale>[CF])")
# A word between its punctuation; signs and symbols of numbers belong to it.
_WORD = re.compile(r"(?P<before>[^\w$£€¥₩₹\u2212.-]*)(?P<word>.*?)(?P<after>[^\w$£€¥₩₹%°¢+]*)")


def read_numbers(words: list[str]) -> list[str]:
    """What is said for each word of a text that was cut at its blanks; words without digits stay as they are.

    Example:
        >>> read_numbers(["$3.50,", "or", "$5", "million", "in", "1905:", "1/2"])
        ['3 dollars and 50 cents,', 'or', '5', 'million dollars', 'in', '19 oh 5:', 'one half']
    """
    spoken, dialled = list(words), _telephone_words(words)
    for index, written in enumerate(words):
        if not re.search(r"\d", written):
            continue
        before, word, after = _WORD.fullmatch(written).groups()
        following = words[index + 1] if index + 1 < len(words) and not after else ""
        word = _CURRENCY_LAST.sub(r"\2\1", _SIGN_INSIDE.sub(r"\2\1", word))
        amount = _AMOUNT.fullmatch(word)
        if amount and following.lower().rstrip(".,;:!?") in _MAGNITUDES:
            reading, _ = _amount_and_unit(amount)
            unit = _CURRENCIES[amount["currency"]][1]
            spoken[index + 1] = re.sub(r"^\w+", lambda found, unit=unit: f"{found.group()} {unit}", following)
        elif amount:
            reading = _read_amount(amount)
        elif index in dialled or _is_area_code(word, words[index + 1 : index + 2]):
            reading = " ".join(word.replace("+", ""))
            reading = f"plus {reading}" if "+" in written else reading
            before, after = before.replace("+", ""), after.replace("+", "")
        else:
            reading = _read_word(word, after_number=index > 0 and words[index - 1].isdecimal())
        spoken[index] = before + reading + after
    return spoken


def _is_area_code(word: str, following: list[str]) -> bool:
    """Whether three digits go before the rest of a telephone number: "(650) 555-1234"."""
    is_before = bool(following) and _TELEPHONE.fullmatch(following[0].rstrip(",.;:!?)"))
    return bool(is_before) and re.fullmatch(r"\d{3}", word) is not None


def _telephone_words(words: list[str]) -> set[int]:
    """Places of numbers in a row that are the parts of one telephone or card number: "+44 20 7946 0958".

    Not those of one number with blanks for its thousands ("1 000 000"), nor years.
    """
    found: set[int] = set()
    run: list[int] = []
    for index, word in enumerate([*words, ""]):
        if re.fullmatch(r"\d{2,5}" if run else r"[(+]*\d{1,5}\)?", word.rstrip(",.;:!?")):
            run.append(index)
            if word[-1].isdigit() or word[-1] == ")":
                continue
        parts = [re.sub(r"\D", "", words[place]) for place in run]
        if _is_dialled(parts):
            found.update(run)
        run = []
    return found


def _is_dialled(parts: list[str]) -> bool:
    if len(parts) < 3 or not 9 <= sum(map(len, parts)) <= 19:
        return False
    if parts[0][0] == "0":
        return True
    is_list_of_years = all(_YEAR.fullmatch(part) for part in parts)
    return len(parts[-1]) == 4 and sum(len(part) > 2 for part in parts) > 1 and not is_list_of_years


def _amount_and_unit(amount: re.Match) -> tuple[str, str]:
    """An amount without its unit, and that: "3.5", "dollars"."""
    sign = "minus " if amount["sign"] else ""
    number = (amount["whole"] or "0") + (f".{amount['decimals']}" if amount["decimals"] else "")
    last = f" to {amount['to'].lstrip('$£€¥₩₹')}" if amount["to"] else ""
    one, many, _, _ = _CURRENCIES[amount["currency"]]
    is_one = number == "1" and not last
    return sign + number + last, one if is_one and not amount["magnitude"] else many


def _read_amount(amount: re.Match) -> str:
    reading, unit = _amount_and_unit(amount)
    decimals = amount["decimals"] or ""
    if amount["magnitude"]:
        return f"{reading} {_MAGNITUDES[amount['magnitude'].lower()]} {unit}"
    if len(decimals) != 2 or amount["to"]:
        return f"{reading} {unit}"
    whole, cents = (amount["whole"] or "0").replace(",", ""), int(decimals)
    _, _, cent, many_cents = _CURRENCIES[amount["currency"]]
    parts = [f"{amount['whole']} {_CURRENCIES[amount['currency']][whole != '1']}"] if int(whole) or not cents else []
    parts += [f"{cents} {cent if cents == 1 else many_cents}"] if cents else []
    return ("minus " if amount["sign"] else "") + " and ".join(parts)


def _read_word(word: str, after_number: bool) -> str:
    """What is said for a word with digits that is no amount; `after_number`: as of the "1/2" of "2 1/2"."""
    if found := _TEMPERATURE.fullmatch(word):
        return f"{found['degrees']} degrees {'Celsius' if found['scale'] == 'C' else 'Fahrenheit'}"
    if (found := _FRACTION.fullmatch(word)) and _is_fraction(found):
        return _read_fraction(found, after_number)
    if (found := _FRACTION_OF.fullmatch(word)) and (part := _FRACTION.fullmatch(found["fraction"])):
        return _read_fraction_of(found, part)
    if "^" in word:
        return _read_power(word)
    if _CODE.fullmatch(word):
        return " ".join(word.replace(".", ""))
    if found := _YEAR.fullmatch(word):
        return _read_year(found["century"], found["year"], bool(found["decade"]))
    if found := _TIME.fullmatch(word):
        return _read_time(found)
    if found := _RANGE.fullmatch(word):
        first, last = found["first"], found["last"]
        if int(first) < int(last) and "0" not in (first[0], last[0]) and (len(first), len(last)) != (3, 4):
            return f"{_read_word(first, False)} to {_read_word(last, False)}"
    if _PARTED.fullmatch(word):
        parts, is_telephone = re.split(r"[-/:\u2013]", word), _TELEPHONE.fullmatch(word)
        return " ".join(" ".join(part) if is_telephone else _read_word(part, False) for part in parts)
    if found := _RATE.fullmatch(word):
        return f"{_read_amount(_AMOUNT.fullmatch(found['amount']))} per {found['of']}"
    if re.search(r"[A-Za-z]", word) and re.search(r"[\w%]-\w", word):  # "1/2-inch", "mid-1990s", "3-year-old"
        return " ".join(_read_word(part, False) for part in re.split(r"(?<=[\w%])-(?=\w)", word))
    return word


def _is_fraction(found: re.Match) -> bool:
    return 0 < int(found["numerator"]) < int(found["denominator"]) and int(found["denominator"]) in _PARTS


def _read_fraction(found: re.Match, after_number: bool) -> str:
    numerator, part = int(found["numerator"]), _PARTS[int(found["denominator"])]
    if numerator == 1:
        reading = f"{'a' if after_number else 'one'} {part}"
    else:
        reading = f"{numerator} {'halves' if part == 'half' else part + 's'}"
    return ("and " if after_number else "minus " if found["sign"] else "") + reading


def _read_fraction_of(found: re.Match, part: re.Match) -> str:
    """ "$1/2" is half a dollar, "-$3/4" minus 3 quarters of a dollar."""
    unit = _CURRENCIES[found["currency"]][0]
    reading = _read_fraction(part, False) if _is_fraction(part) else found["fraction"].replace("/", " over ")
    reading = f"half a {unit}" if reading == "one half" else f"{reading} of a {unit}"
    return f"minus {reading}" if found["sign"] else reading


def _read_power(word: str) -> str:
    """A word with an exponent; one that is a footnote's mark is not said."""
    if found := _AREA.fullmatch(word):
        number = f"{found['number']} " if found["number"] else ""
        return f"{number}{_POWERS[found['exponent']][1]} {_LENGTHS[found['unit']]}"
    if not (found := _POWER.fullmatch(word)):
        return re.sub(r"(?:\^\d)+", "", word)
    exponent = found["exponent"].replace("^", "")
    return f"{found['base']} {_POWERS[exponent][0] if exponent in _POWERS else f'to the power of {exponent}'}"


def _read_year(century: str, year: str, is_decade: bool) -> str:
    """Four digits of a year, or of another number that is read as one: two and two, but "two thousand five"."""
    plural = "s" if is_decade else ""
    if century == "20" and year[0] == "0":
        return century + year + plural
    if year == "00":
        return f"{century} hundred{plural}"
    if year[0] == "0":
        return f"{century} oh {year[1]}{plural}"
    return f"{century} {year}{plural}"


def _read_time(found: re.Match) -> str:
    hour, minute = found["hour"], found["minute"]
    half = " " + " ".join(found["half"].upper()) if found["half"] else ""
    if minute == "00":
        return f"{hour}{half}" if half or int(hour) > 12 else f"{hour} o'clock"
    return f"{hour} {minute if minute[0] != '0' else 'oh ' + minute[1]}{half}"


__all__ = ["read_numbers"]
