# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Import path kept from before the rooms: [`~modeling.ledger_entropy_asr`] has moved there."""

from entropy_asr.modeling.ledger_entropy_asr import summarize_ledgers, utterance_ledger


__all__ = ["summarize_ledgers", "utterance_ledger"]
