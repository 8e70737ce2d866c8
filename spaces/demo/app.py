# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Entry point of the Space, and of `entropy-asr demo`; settings: README.md beside this file."""

from entropy_asr.spaces.demo.page import build_page, gradio_options
from entropy_asr.spaces.demo.settings import DemoSettings


def main(settings: DemoSettings) -> None:
    """Serve the page until interrupted."""
    build_page(settings).launch(**gradio_options(settings))


if __name__ == "__main__":
    main(DemoSettings.from_environment())
