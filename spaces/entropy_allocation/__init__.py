# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""NSE, PAI, CSAI and CKA of speech encoder frames; `evaluate.load` takes this folder."""
