# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The demo: a Gradio app to transcribe, to stream, and to see which module removes which uncertainty."""
