"""Deployable Spaces; `demo/checkpoint` is the small checkpoint that `entropy-asr transcribe` uses by default."""
