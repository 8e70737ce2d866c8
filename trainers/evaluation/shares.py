# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How several processes share work whose results stand in one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import gather_object


@dataclass(frozen=True)
class Shares:
    """A process among several; alone unless something else is said.

    Args:
        index: Its number, from 0 on.
        count: How many there are: the processes of `torch.distributed`'s default group.
    """

    index: int = 0
    count: int = 1

    def own(self, items: Sequence[Any]) -> Sequence[Any]:
        """The items of this process: those of all processes, one after the other, are all items in their order."""
        return items[self._start(self.index, len(items)) : self._start(self.index + 1, len(items))]

    def _start(self, index: int, num_items: int) -> int:
        return index * num_items // self.count

    def joined(self, own: list[Any]) -> list[Any]:
        """What all processes have, in their order; each of them must call it."""
        return gather_object(own) if self.count > 1 else own


__all__ = ["Shares"]
