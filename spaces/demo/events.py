# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What wraps the functions that the page's events call."""

import inspect
from collections.abc import Callable
from functools import wraps

import gradio as gr

from .recognizer import DemoError


def gpu(function: Callable) -> Callable:
    """ZeroGPU's decorator where its package is there (on such Spaces); else nothing."""
    try:
        from spaces import GPU
    except ImportError:
        return function
    return GPU(function)


def show_errors(function: Callable) -> Callable:
    """Show visitors their errors as messages; anything else is a defect and goes to the log."""

    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generate(*args, **kwargs):
            try:
                yield from function(*args, **kwargs)
            except DemoError as error:
                raise gr.Error(str(error), duration=None, print_exception=False) from error

        return generate

    @wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except DemoError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from error

    return call
