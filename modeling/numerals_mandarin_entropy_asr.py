# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What Mandarin says for numbers in digits: quantities, years, dates, times, money, fractions, codes.

Integers are cn2an's. What that package reads otherwise than people do is decided here: "2个" (两个, not 二个), codes
with a leading zero, telephone numbers, "5-10" (a range, not "minus"), thousands commas, money, dates and times.
"""

import re

from .language_entry_entropy_asr import missing_g2p


DIGITS = "零一二三四五六七八九"
_NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+"
_CURRENCIES = {"$": "美元", "¥": "元", "€": "欧元", "£": "英镑", "₩": "韩元", "₹": "卢比"}
_OPERATORS = {"+": "加", "×": "乘", "÷": "除以", ":": "比", ".": "点", "-": "减"}
# One number with all that belongs to it, in any of the ways that `read_number` knows. Signs inside words are hyphens.
NUMBER = (
    rf"[-\u2212]?[$¥€£₩₹](?:{_NUMBER})(?:\.[0-9]+)?[百千万亿萬億]+"
    rf"|(?:(?<![0-9A-Za-z)])[-+\u2212])?[$¥€£₩₹]?(?:{_NUMBER})(?:\.[0-9]+)?(?:[%‰]|°[CF]?)?"
    rf"(?:[-/:.\u2013~×÷+](?:{_NUMBER})(?:\.[0-9]+)?(?:%|°[CF]?)?)*(?:\^[0-9])*"
    r"|\^[23]"  # of a unit: "25m²"
)
_SIGNED = re.compile(
    rf"(?P<sign>[-+\u2212])?(?P<currency>[$¥€£₩₹])?(?P<whole>{_NUMBER})(?:\.(?P<decimals>[0-9]+))?"
    r"(?P<unit>[%‰]|°[CF]?|[百千万亿萬億]+)?"
)
_FRACTION = re.compile(r"(?P<sign>[-\u2212])?(?P<currency>[$¥€£₩₹])?(?P<numerator>[0-9]+)/(?P<denominator>[0-9]+)")
_POWER = re.compile(r"(?P<base>.*?)(?P<exponent>(?:\^[0-9])+)")
# Numbers in a row with blanks between them, of which one telephone or card number is made.
_PARTS_BEFORE, _PARTS_AFTER = re.compile(r"(?:\+?[0-9]{1,5} )*$"), re.compile(r"(?: [0-9]{2,5}(?![0-9]))*")
# Numbers that are dialled, of banks, networks, emergencies; and what is said before one.
_HOTLINE = re.compile("955[0-9]{2,3}|96[0-9]{3,4}|100(?:10|86)|12[0-9]{3}|1[12][0-9]|911")
_WELL_KNOWN = re.compile("955[0-9]{2}|100(?:10|86)|123(?:06|15)")
_DIALLED = re.compile("(?:拨打?|打|致电|呼叫|热线|电话|客服|号码|短信|发送到?|联系)[是为了通:：\\s]*$")
_DATE = re.compile(r"(?P<year>[0-9]{4})[-/.](?P<month>1[0-2]|0?[1-9])[-/.](?P<day>3[01]|[12][0-9]|0?[1-9])")
_TIME = re.compile(r"(?P<hour>[01]?[0-9]|2[0-4]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?")
_END = rf"(?:{_NUMBER})(?:\.[0-9]+)?(?:%|°[CF]?)?"
_RANGE = re.compile(rf"(?P<first>[-\u2212]?[$¥€£₩₹]?{_END})[-\u2013~](?P<last>{_END})")
# Words that count: before these a lone 2 is 两. Not 月, 号, 日, 楼, 级, 班, which number: those take 二.
MEASURES = (
    "个位只条本张件天年次种块元米里斤吨秒点倍家名头匹辆座栋幢杯瓶碗盘双套层岁周句段首部台间片颗棵口把支枝枚份封篇场站"
    "步人者边手组遍回趟顿阵所扇面幅届束群对国队门项起笔桶袋包盒箱壶串排节堂课厅代轮架艘架毛角刻类样股桌堆伙批滴根"
    "千百万亿公小分英海平立"
    "個隻條張塊點頭輛雙層歲間顆場陣屆盤對隊門項節課廳輪萬億"
)
_MONEY = (*_CURRENCIES.values(), "美金", "日元", "港元", "港币", "人民币")
_NO_MEASURE = re.compile("分之|[点點][零一二三四五六七八九]|小学|小學|平均")


def _integer(digits: str) -> str:
    """Reading of an integer of at most sixteen digits as a quantity."""
    try:
        import cn2an
    except ImportError as error:
        raise missing_g2p("cn2an", error) from error
    return cn2an.an2cn(digits, "low")


def _one_by_one(digits: str) -> str:
    return "".join(DIGITS[int(digit)] for digit in digits)


def _is_code(digits: str) -> bool:
    """Whether digits are read one by one: a leading zero, or nine and more that are no round number."""
    if len(digits) > 1 and digits[0] == "0":
        return True
    return len(digits) > 16 or (len(digits) > 8 and not digits.endswith("0000"))


def _read_whole(written: str) -> str:
    digits = written.replace(",", "")
    if "," in written and len(digits) <= 16:
        return _integer(digits)
    is_mobile = re.fullmatch("1[3-9][0-9]{9}", digits)
    return _one_by_one(digits) if is_mobile or _is_code(digits) else _integer(digits)


def read_number(written: str, before: str = "", after: str = "") -> str:
    """Mandarin reading of what [`NUMBER`] finds.

    Args:
        written: As it stands in the text.
        before, after: The text on both sides: "第2" takes 二, "2个" 两, "1998年" its digits one by one.

    Example:
        >>> read_number("3.5%"), read_number("2", after="个"), read_number("1/2"), read_number("-5")
        ('百分之三点五', '两', '二分之一', '负五')
        >>> read_number("1998", after="年"), read_number("$5"), read_number("10:05")
        ('一九九八', '五美元', '十点零五分')
        >>> read_number("95588"), read_number("8000", before="138 0013 "), read_number("3^2")
        ('九五五八八', '八零零零', '三的平方')
    """
    if _is_dialled(written, before, after):
        return ("加" if written.startswith("+") else "") + _one_by_one(written.lstrip("+"))
    if found := _POWER.fullmatch(written):
        return _read_power(found["base"], found["exponent"].replace("^", ""))
    if found := _DATE.fullmatch(written):
        return f"{_one_by_one(found['year'])}年{_integer(found['month'])}月{_integer(found['day'])}日"
    if found := _TIME.fullmatch(written):
        return _read_time(found)
    if (found := _FRACTION.fullmatch(written)) and int(found["denominator"]):
        sign, unit = "负" if found["sign"] else "", _CURRENCIES.get(found["currency"], "")
        return f"{sign}{_read_whole(found['denominator'])}分之{_read_whole(found['numerator'])}{unit}"
    if (found := _RANGE.fullmatch(written)) and _is_range(found["first"], found["last"]):
        return _read_range(found["first"], found["last"], after)
    if found := _SIGNED.fullmatch(written):
        return _read_signed(found, before, after)
    return _read_parts(written)


def _is_dialled(written: str, before: str, after: str) -> bool:
    """Whether digits are read one by one: a hotline ("拨打95588"), or part of a telephone number with blanks."""
    if not re.fullmatch(r"\+?[0-9]+", written):
        return False
    if _HOTLINE.fullmatch(written) and not _counts(None, after):
        return _WELL_KNOWN.fullmatch(written) is not None or _DIALLED.search(before) is not None
    parts = f"{_PARTS_BEFORE.search(before).group()}{written}{_PARTS_AFTER.match(after).group()}".split()
    sizes = [len(part.lstrip("+")) for part in parts]
    if len(parts) < 3 or not 9 <= sum(sizes) <= 19:
        return False
    # Not "1 000 000".
    return parts[0][0] == "0" or (sizes[-1] == 4 and sum(size > 2 for size in sizes) > 1)


def _read_power(base: str, exponent: str) -> str:
    """ "3²" is 三的平方; of a unit ("m²") 平方."""
    name = {"2": "平方", "3": "立方"}.get(exponent, f"{_integer(exponent)}次方")
    return f"{read_number(base)}的{name}" if base else name


def _read_time(found: re.Match) -> str:
    hour, minute, second = found["hour"], found["minute"], found["second"]
    reading = f"{'两' if hour == '2' else _integer(hour)}点"
    if int(minute) or second:
        reading += f"{'零' if 0 < int(minute) < 10 else ''}{_integer(minute)}分"
    return reading + (f"{_integer(second)}秒" if second else "")


def _is_range(first: str, last: str) -> bool:
    """Whether "a-b" is from a to b: not the parts of a telephone number or a score."""
    numbers = [number.strip("$¥€£₩₹%°CF").replace(",", "") for number in (first, last)]
    is_long = any(len(number) > 6 or (number[0] == "0" and "." not in number) for number in numbers)
    first, last = (float(number.replace("\u2212", "-")) for number in numbers)
    return not is_long and first < last


def _read_range(first: str, last: str, after: str) -> str:
    """ "5-10" is 五到十; "$5-10" 五到十美元; "1998-2003年" two years."""
    if after.startswith("年") and re.fullmatch("[0-9]{4}", first) and re.fullmatch("[0-9]{4}", last):
        return f"{_one_by_one(first)}到{_one_by_one(last)}"
    currency = _CURRENCIES.get(first[0], "")
    first += "%" if last.endswith("%") and not first.endswith("%") else ""
    return f"{read_number(first.lstrip('$¥€£₩₹'))}到{read_number(last, after=after)}{currency}"


def _read_signed(found: re.Match, before: str, after: str) -> str:
    whole, decimals, unit = found["whole"], found["decimals"], found["unit"]
    sign = {None: "", "+": "正"}.get(found["sign"], "负")
    if len(whole) == 4 and after.startswith("年") and not (decimals or unit or found["currency"] or sign):
        return _one_by_one(whole)
    if found["currency"] and decimals:
        decimals = decimals.rstrip("0")
    reading = _read_whole(whole) + (f"点{_one_by_one(decimals)}" if decimals else "")
    magnitude = unit if unit and unit[0] in "百千万亿萬億" else ""
    if (
        reading == "二"
        and not before.endswith("第")
        and not sign
        and _counts(found["currency"], magnitude or unit or after)
    ):
        reading = "两"
    if unit in ("%", "‰"):
        return f"{sign}{'百' if unit == '%' else '千'}分之{reading}"
    degrees = {"°": "度", "°C": "摄氏度", "°F": "华氏度"}.get(unit, "")
    return f"{sign}{reading}{magnitude}{degrees}{_CURRENCIES.get(found['currency'], '')}"


def _counts(currency: str | None, after: str) -> bool:
    return (
        bool(currency)
        or after.startswith(_MONEY)
        or (after[:1] in MEASURES and after[:1] != "" and not _NO_MEASURE.match(after))
    )


def _read_parts(written: str) -> str:
    """Numbers with signs between them that are neither date nor range: sums, scores, telephone numbers."""
    parts = re.findall(r"[0-9]+(?:\.[0-9]+)?%?|[^0-9]", written)
    numbers = [part for part in parts if part[0].isdigit()]
    is_telephone = "-" in parts and any(len(number) > 3 or number[0] == "0" for number in numbers)
    read = _one_by_one if is_telephone and all(map(str.isdigit, numbers)) else read_number
    is_sum = not {"+", "×", "÷"}.isdisjoint(parts)
    return "".join(
        read(part) if part in numbers else _OPERATORS.get(part, "") if is_sum or part != "-" else "" for part in parts
    )


__all__ = ["DIGITS", "MEASURES", "NUMBER", "read_number"]
