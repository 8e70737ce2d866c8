# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Names of models and data sets, which are paths or ids of the Hub."""

import os


def looks_like_path(name: str) -> bool:
    """Whether a name can only be meant as a path: the Hub's are `name` or `user/name`."""
    return os.path.isabs(name) or name.startswith((".", "~")) or name.endswith(("/", os.sep)) or name.count("/") > 1
