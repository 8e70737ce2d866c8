# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Valid inputs made invalid, by a seeded generator: bytes, texts, and values that JSON holds."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np


# Bytes that headers are at; most mutations are there.
HEAD = 256
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**200, -(2**63), 0.5, -1e308, 1e308, float("nan"), float("inf")),
    *(
        "",
        " ",
        "0",
        "true",
        "none",
        "../../outside",
        "/etc/passwd",
        "\ud800",
        "\0",
        "x" * 10_000,
        "{data_dir}",
        "你好",
    ),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": {"c": []}}}, [0] * 1000, ["a", 1, None]),
)


def pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    """One of them, as it is."""
    return choices[int(rng.integers(len(choices)))]


def mutated_bytes(rng: np.random.Generator, data: bytes, others: Sequence[bytes] = (b"",), most: int = 6) -> bytes:
    """A few of: bits, numbers and blocks changed, blocks left out, repeated, or taken from another input.

    Args:
        rng: Draws.
        data: The input.
        others: Further ones, to take blocks from.
        most: Number of changes.
    """
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, most + 1))):
        _BYTE_CHANGES[int(rng.integers(len(_BYTE_CHANGES)))](rng, changed, others)
    return bytes(changed)


def _place(rng: np.random.Generator, data: bytearray) -> int:
    limit = len(data) if rng.random() < 0.35 else min(len(data), HEAD)
    return int(rng.integers(limit)) if limit else 0


def _flip(rng, data, others):
    if data:
        data[_place(rng, data)] ^= 1 << int(rng.integers(8))


def _set(rng, data, others):
    if data:
        data[_place(rng, data)] = int(rng.integers(256))


def _number(rng, data, others):
    width, order = int(pick(rng, (1, 2, 4, 8))), pick(rng, ("little", "big"))
    value = pick(rng, NUMBERS) if rng.random() < 0.7 else int(rng.integers(2**16))
    place = _place(rng, data)
    data[place : place + width] = (value % 256**width).to_bytes(width, order)


def _cut(rng, data, others):
    place = _place(rng, data)
    del data[place : place + int(rng.integers(1, 64))]


def _end(rng, data, others):
    del data[_place(rng, data) :]


def _repeat(rng, data, others):
    place, size = _place(rng, data), int(rng.integers(1, 256))
    data[place:place] = data[place : place + size] * int(rng.integers(1, 4))


def _insert(rng, data, others):
    place = _place(rng, data)
    data[place:place] = rng.bytes(int(rng.integers(1, 32)))


def _take(rng, data, others):
    other = pick(rng, others)
    start = int(rng.integers(len(other) + 1))
    block = other[start : start + int(rng.integers(1, 512))]
    place = _place(rng, data)
    end = place + (len(block) if rng.random() < 0.5 else 0)
    data[place:end] = block


def _append(rng, data, others):
    data += pick(rng, others)


_BYTE_CHANGES = (_flip, _flip, _set, _number, _number, _number, _cut, _end, _repeat, _insert, _take, _append)


def mutated_value(rng: np.random.Generator, value: Any, most: int = 3) -> Any:
    """A nested value of which a few parts are others, of another type, left out or under another name."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, most + 1))):
        places = list(_places(value))
        if not places:
            return pick(rng, VALUES)
        holder, key = pick(rng, places)
        _change(rng, holder, key, places)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Where parts are: what holds each, and its key there."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _change(rng: np.random.Generator, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    """Change one part; `places` are all there are, to take another from."""
    old, kind = holder[key], int(rng.integers(8))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[pick(rng, (f"{key}s", "", "\ud800", "type", "__class__"))] = holder.pop(key)
    elif kind == 2:
        other, name = pick(rng, places)
        with suppress(KeyError, IndexError):  # it has gone already
            holder[key] = copy.deepcopy(other[name])
    elif kind == 3:
        holder[key] = pick(rng, ([old], {"a": old}, str(old)[:1000], [old, old]))
    elif kind == 4 and isinstance(old, (int, float)) and not isinstance(old, bool):
        holder[key] = pick(rng, (-old, old + 1, old * 10**6, old / 3, float(old), str(old)))
    elif kind == 5 and isinstance(old, str):
        holder[key] = mutated_text(rng, old)
    else:
        holder[key] = copy.deepcopy(pick(rng, VALUES))


def mutated_text(rng: np.random.Generator, text: str) -> str:
    """Lines left out, repeated, exchanged or indented; characters changed."""
    lines = text.split("\n")
    for _ in range(int(rng.integers(1, 4))):
        place, kind = int(rng.integers(len(lines))), int(rng.integers(7))
        if kind == 0 and len(lines) > 1:
            del lines[place]
        elif kind == 1:
            lines.insert(place, lines[int(rng.integers(len(lines)))])
        elif kind == 2:
            lines[place] = f"  {lines[place]}"
        elif kind == 3:
            lines[place] = lines[place][: int(rng.integers(len(lines[place]) + 1))]
        else:
            line = lines[place]
            at = int(rng.integers(len(line) + 1))
            end = at + int(rng.integers(3))
            lines[place] = line[:at] + pick(rng, ODD_TEXT) + line[end:]
        lines = lines or [""]
    return "\n".join(lines)


ODD_TEXT = (
    *(
        "",
        " ",
        ":",
        "-",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a ",
        "!!python/name:os.system ",
        "!!binary ",
        "|",
        ">",
        "#",
        "'",
    ),
    *(
        '"',
        "%",
        "@",
        "\t",
        "\r",
        "\0",
        "\ufeff",
        "\u2028",
        "é",
        "中",
        "\U0001f600",
        "\u200b",
        "1e999",
        "-1",
        ".nan",
        "~",
    ),
)
