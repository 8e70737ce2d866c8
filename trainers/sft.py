# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Import path kept from before the rooms: [`~stages.sft`] has moved there."""

from .stages.sft import join_components


__all__ = ["join_components"]
