# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Import path kept from before the rooms: [`~data.sources`] has moved there."""

from .data.sources import DataSource, load_source, load_sources, read_samples


__all__ = ["DataSource", "load_source", "load_sources", "read_samples"]
