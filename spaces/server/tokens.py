# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The token that a server may want from its clients."""

import hmac


def shown_token(authorization: str) -> str:
    """The token of a header `Authorization: Bearer TOKEN`; "" where it holds none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_right(token: object, wanted: str | None) -> bool:
    """Whether a client may come in: nothing is wanted, or it is that. How long this takes tells nothing of it."""
    if wanted is None:
        return True
    return isinstance(token, str) and hmac.compare_digest(token.encode("utf-8", "replace"), wanted.encode("utf-8"))
