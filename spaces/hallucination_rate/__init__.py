# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Share of transcripts with text that nobody said; `evaluate.load` takes this folder."""
