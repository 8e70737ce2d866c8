# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files of the web (http, https) and of the Hub (hf) as bytes."""

import time

from huggingface_hub import HfFileSystem
from huggingface_hub.utils import httpx


# Seconds that a server may be silent, and that all of a file may take.
TIMEOUT_SECONDS, MAX_FETCH_SECONDS = 30.0, 600.0
MAX_FETCHED_BYTES = 2**29


def fetch_url(url: str) -> bytes:
    """What a URL (http, https, hf) leads to.

    Raises:
        OSError: why it cannot be fetched, such as that it is too large.
    """
    try:
        return _fetch_from_hub(url) if url.lower().startswith("hf://") else _fetch_from_web(url)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise OSError(str(error).splitlines()[0] if str(error) else repr(error)) from error


def _fetch_from_hub(url: str) -> bytes:
    with HfFileSystem().open("hf://" + url[5:], "rb") as file:
        data = file.read(MAX_FETCHED_BYTES + 1)
    _check_size(len(data))
    return data


def _fetch_from_web(url: str) -> bytes:
    data = bytearray()
    deadline = time.monotonic() + MAX_FETCH_SECONDS
    with httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            data += chunk
            _check_size(len(data))
            if time.monotonic() > deadline:
                raise OSError(f"it took longer than {MAX_FETCH_SECONDS:.0f} seconds")
    return bytes(data)


def _check_size(size: int) -> None:
    if size > MAX_FETCHED_BYTES:
        raise OSError(f"it is larger than {MAX_FETCHED_BYTES >> 20} MiB: download it and give its path")


__all__ = ["fetch_url"]
