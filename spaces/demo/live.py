# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Live transcription of several visitors through one [`StreamingBatch`], which computes them together."""

import threading
import uuid
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .recognizer import DemoError, Recognizer, language_code


if TYPE_CHECKING:
    from entropy_asr.modeling.streaming_entropy_asr import Stream, StreamingBatch, StreamingUpdate

# Audio that may wait for the model, in seconds: more means that the machine cannot keep up.
MAX_WAITING_SECONDS = 10.0


@dataclass(eq=False)
class LiveSession:
    """One visitor's stream and what was said in it.

    Attributes:
        stream: In the batch.
        rate: Sampling rate of the microphone, in Hz.
        inbox: Samples that the batch has not been given.
        updates: The last update of each segment, by its number.
        seconds: Audio so far.
    """

    stream: "Stream"
    rate: int
    inbox: list[np.ndarray] = field(default_factory=list)
    updates: "dict[int, StreamingUpdate]" = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, update: "StreamingUpdate") -> None:
        """Keep an update; between two previews of the text the older one stands."""
        before = self.updates.get(update.segment)
        if update.text is None and before is not None:
            update = replace(update, text=before.text)
        self.updates[update.segment] = update


class LiveSessions:
    """All live streams of the demo.

    Args:
        recognizer: Model and limits.
    """

    def __init__(self, recognizer: Recognizer):
        self.recognizer = recognizer
        self.sessions: dict[str, LiveSession] = {}
        self._batch: StreamingBatch | None = None
        self._inboxes = threading.Lock()

    def start(self, rate: int, language: str = "auto", hotwords: str = "") -> str:
        """Begin a stream.

        Returns:
            The session's key.

        Raises:
            DemoError: all places are taken, or the request cannot be honoured.
        """
        index = self.recognizer.index(self.recognizer.read_hotwords(hotwords))
        most = self.recognizer.settings.max_live
        with self.recognizer.lock:
            batch = self._get_batch()
            if len(batch.streams) >= most:
                raise DemoError(f"All {most} live places are taken at the moment: try again in a minute.")
            try:
                stream = batch.join(language_code(language), index, sampling_rate=rate)
            except ValueError as error:
                raise DemoError(f"This stream cannot begin: {error}") from error
        key = uuid.uuid4().hex
        self.sessions[key] = LiveSession(stream, rate)
        return key

    def push(self, key: str, samples: np.ndarray, rate: int | None = None) -> "list[StreamingUpdate]":
        """Hear `(num_samples,)` integer PCM of a session, at `rate` Hz (by default, and at best, that of its start).

        Returns:
            The last update of each segment so far, in order.

        Raises:
            DemoError: the session has ended or lasts too long, the piece is too long or has another sampling rate, or
                the machine cannot keep up.
        """
        session = self._session(key)
        most = self.recognizer.settings.max_live_seconds
        if rate not in (None, session.rate):
            raise DemoError(f"This live stream began at {session.rate} Hz: a piece at {rate} Hz cannot follow.")
        if len(samples) > MAX_WAITING_SECONDS * session.rate:
            raise DemoError(f"A piece of a live stream lasts at most {MAX_WAITING_SECONDS:g} s.")
        with self._inboxes:
            seconds = session.seconds + len(samples) / session.rate
            waiting = (sum(map(len, session.inbox)) + len(samples)) / session.rate
            # What is refused is not kept: it would be worked on in another visitor's time.
            if seconds > most:
                raise DemoError(f"A live stream lasts at most {most:g} s here: stop and start again.")
            if waiting > MAX_WAITING_SECONDS:
                raise DemoError("The machine cannot keep up with so many live streams: stop and try again later.")
            session.inbox.append(samples)
            session.seconds = seconds
        self._work()
        return self.transcript(key)

    def finish(self, key: str) -> "list[StreamingUpdate]":
        """End a session: its last updates.

        Raises:
            DemoError: the session has ended, perhaps just now: its visitor closed the page.
        """
        try:
            self._session(key)
            self._work()
            with self.recognizer.lock:
                # Looked up again: who left while others were computed is in the batch no more.
                self._get_batch().finish(self._session(key).stream)
            self._work()
            return self.transcript(key)
        finally:
            self.leave(key)  # whatever happened: nobody would ask again, and the place is needed

    def leave(self, key: str | None) -> None:
        """Remove a session in whatever state; one that is not there is no error (a closed browser tab tells late)."""
        session = self.sessions.pop(key, None) if key else None
        if session is not None:
            with self.recognizer.lock:
                self._get_batch().leave(session.stream)

    def transcript(self, key: str) -> "list[StreamingUpdate]":
        """The last update of each segment of a session, in order."""
        return [update for _, update in sorted(self._session(key).updates.items())]

    def _session(self, key: str) -> LiveSession:
        try:
            return self.sessions[key]
        except KeyError:
            raise DemoError("This live stream has ended: start a new one.") from None

    def _get_batch(self) -> "StreamingBatch":
        if self._batch is None:
            pipeline, most = self.recognizer.pipeline, self.recognizer.settings.max_live
            from entropy_asr.modeling import StreamingBatch

            # Two chunks a preview: the text grows about once a second.
            self._batch = StreamingBatch(pipeline, max_streams=most, preview_chunks=2)
        return self._batch

    def _work(self) -> None:
        """Give the batch what all sessions brought, and compute until nothing is left."""
        by_stream: dict[Any, LiveSession] = {}
        with self.recognizer.lock:
            batch = self._get_batch()
            with self._inboxes:
                arrived = defaultdict(list)
                for session in list(self.sessions.values()):
                    by_stream[session.stream] = session
                    arrived[session], session.inbox = session.inbox, []
            for session, pieces in arrived.items():
                # A piece may overtake its visitor's stop, in whoever's call this is: it comes too late.
                for samples in pieces if not session.stream.is_finished else ():
                    batch.push(session.stream, samples)
            while batch.has_work:
                for stream, update in batch.step():
                    if stream in by_stream:
                        by_stream[stream].add(update)
