# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Work that is done again and again beside other work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Inside, a thread calls `action` at once and then every so many seconds; at the end it is called once more.

    Args:
        action: Called by one thread at a time, the last time by the caller's.
        seconds: Between the end of one call and the next.
    """
    has_ended = threading.Event()

    def repeat() -> None:
        action()
        while not has_ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()
        action()
