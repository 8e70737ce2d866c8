# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What can be set, as the dataclasses that settings are read into have it: names, types, defaults, docstrings."""

import dataclasses
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from .settings import expected, field_types


OWN = __name__.partition(".")[0]
WIDTH = 100
# An entry of a list or mapping that is read into a dataclass of its own.
NESTED = re.compile(r"[Ff]ields of (?:the )?\[`~?(?:\w+\.)*(\w+)`\]")
REFERENCE = re.compile(r"\[`~?(?:\w+\.)*(\w+)`\]")
# Below `Args:`, which may occur several times: a name, and what is said of it in lines that are further in.
ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """A field of a section.

    Args:
        name: Its key.
        kind: Its type, as messages call it.
        default: What it is where it is not given, as written in YAML; None: it must be given.
        text: What it does.
        nested: Dataclass of its entries, where they have fields of their own.
    """

    name: str
    kind: str
    default: str | None
    text: str
    nested: type | None = None


def settings_of(cls: type) -> list[Setting]:
    """Fields of a dataclass that this package defines; those that it has from other libraries are left out.

    Args:
        cls: A dataclass.
    """
    types, said = field_types(cls), argument_texts(cls)
    found = []
    for field in dataclasses.fields(cls):
        if not field.init or not _is_own(cls, field.name):
            continue
        text = said.get(field.name) or field.metadata.get("help", "")
        name = NESTED.search(text)
        nested = name and getattr(sys.modules[_owner(cls, field.name).__module__], name[1], None)
        text = " ".join(REFERENCE.sub(r"\1", text).split())
        found.append(Setting(field.name, expected(types[field.name]), _default(field), text, nested))
    return found


def argument_texts(cls: type) -> dict[str, str]:
    """What docstrings say of the arguments of a dataclass and of those that it is made from."""
    said: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(OWN):
            said |= dict(ARGUMENT.findall(inspect.cleandoc(base.__doc__ or "")))
    return said


def foreign_bases(cls: type) -> list[type]:
    """Dataclasses of other libraries that a dataclass is made from, whose fields it has too; the nearest alone."""
    foreign = [base for base in cls.__mro__ if dataclasses.is_dataclass(base) and not base.__module__.startswith(OWN)]
    return [base for base in foreign if not any(issubclass(other, base) for other in foreign if other is not base)]


def reference(sections: dict[str, type]) -> Iterator[str]:
    """Lines that tell all settings of a stage.

    Args:
        sections: Dataclass of each section.
    """
    told: list[type] = []
    for name, cls in sections.items():
        yield f"{name}: {_summary(cls)}"
        yield from _lines(cls, told)
        for base in foreign_bases(cls):
            yield f"  and the fields of {base.__module__.partition('.')[0]}.{base.__name__}"
        yield ""
    for cls in told:  # grows while it is gone through
        yield f"{cls.__name__}: {_summary(cls)}"
        yield from _lines(cls, told)
        yield ""


def _lines(cls: type, told: list[type]) -> Iterator[str]:
    for one in settings_of(cls):
        if one.nested is not None and one.nested not in told:
            told.append(one.nested)
        default = "needed" if one.default is None else f"default {one.default}"
        yield f"  {one.name} ({one.kind}; {default})"
        yield from textwrap.wrap(one.text, WIDTH, initial_indent="      ", subsequent_indent="      ")


def _summary(cls: type) -> str:
    """The first sentence of its docstring, if it is ours."""
    if not cls.__module__.startswith(OWN):
        return f"as of {cls.__module__.partition('.')[0]}"
    first = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
    return " ".join(REFERENCE.sub(r"\1", first).split()).rstrip(":")


def _owner(cls: type, name: str) -> type:
    """The class that a field was declared in last."""
    return next(base for base in cls.__mro__ if name in inspect.get_annotations(base))


def _is_own(cls: type, name: str) -> bool:
    return _owner(cls, name).__module__.startswith(OWN)


def _default(field: dataclasses.Field) -> str | None:
    if field.default_factory is not dataclasses.MISSING:
        return json.dumps(field.default_factory(), ensure_ascii=False)
    return None if field.default is dataclasses.MISSING else json.dumps(field.default, ensure_ascii=False)
