# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Import path kept from before the rooms: [`~data.sources`] has moved there."""

from .data.data_source import DataSource
from .data.decoding import read_samples
from .data.sources import load_source, load_sources


__all__ = ["DataSource", "load_source", "load_sources", "read_samples"]
