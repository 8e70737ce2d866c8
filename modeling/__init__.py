# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Everything inference needs; importing it registers the classes with transformers' auto classes."""
