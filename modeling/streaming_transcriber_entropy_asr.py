# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Recognition of one stream; `streaming_entropy_asr.py` recognises many at a time."""

from typing import Any

from .hotwords_entropy_asr import HotwordIndex
from .pipeline_entropy_asr import EntropyASRPipeline
from .streaming_entropy_asr import StreamingBatch
from .streaming_state_entropy_asr import StreamingUpdate
from .vad_entropy_asr import SAMPLING_RATE


class StreamingTranscriber:
    r"""
    Recognises one stream: push samples, get updates.

    Args:
        pipeline ([`EntropyASRPipeline`]): from [`load_pipeline`] or `transformers.pipeline`.
        language (`str`, *optional*): in any form; by default the pipeline's setting, see [`StreamingBatch.join`].
        hotwords (`list[str]` or [`HotwordIndex`], *optional*): words to listen for, see [`StreamingBatch.join`].
        hotword_tolerance (`float`, *optional*): see [`StreamingBatch.join`].
        adapter (`str`, *optional*): see [`StreamingBatch.join`].
        sampling_rate (`int`, *optional*, defaults to 16000): of the samples, in Hz.
        kwargs: settings of [`StreamingBatch`]: `chunk_ms`, `left_chunks`, `use_vad`, `endpoints`, ...

    Example:

    ```python
    >>> stream = StreamingTranscriber(load_pipeline("path/or/hub-id"), language="en")
    >>> for samples in microphone:
    ...     for update in stream.push(samples):
    ...         print(update.text if update.is_final else update.phonemes)
    >>> stream.finish()
    [StreamingUpdate(is_final=True, ...)]
    ```
    """

    def __init__(
        self,
        pipeline: EntropyASRPipeline,
        language: str | None = None,
        hotwords: list[str] | HotwordIndex | None = None,
        hotword_tolerance: float | None = None,
        sampling_rate: int = SAMPLING_RATE,
        adapter: str | None = None,
        **kwargs,
    ):
        self.batch = StreamingBatch(pipeline, max_streams=1, **kwargs)
        self._request = {
            "language": language,
            "hotwords": hotwords,
            "hotword_tolerance": hotword_tolerance,
            "adapter": adapter,
            "sampling_rate": sampling_rate,
        }
        self._stream = self.batch.join(**self._request)

    def push(self, samples: Any) -> list[StreamingUpdate]:
        """Take `(num_samples,)` samples, floats in [-1, 1] or integer PCM, any number of them.

        Returns:
            What is new, oldest first; often nothing.
        """
        self.batch.push(self._stream, samples)
        return self._run()

    def finish(self) -> list[StreamingUpdate]:
        """End the stream: the last updates."""
        self.batch.finish(self._stream)
        return self._run()

    def reset(self) -> None:
        """Begin a new stream."""
        self.batch.leave(self._stream)
        self._stream = self.batch.join(**self._request)

    def _run(self) -> list[StreamingUpdate]:
        updates = []
        while self.batch.has_work:
            updates += [update for _, update in self.batch.step()]
        return updates


__all__ = ["StreamingTranscriber"]
