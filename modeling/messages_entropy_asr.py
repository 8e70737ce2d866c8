# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Messages that quote what somebody has given, which may be of any length."""


def shortened(text: str, most: int = 1000) -> str:
    """A text in one line of at most `most` characters: a longer one loses its middle."""
    text = " ".join(text.split())
    half = (most - len(" ... ")) // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


__all__ = ["shortened"]
