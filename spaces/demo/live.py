# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Live transcription of several visitors through one [`StreamingBatch`], which computes them together."""

import math
import os
import threading
import time
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .recognizer import DemoError, Recognizer, chosen_language


if TYPE_CHECKING:
    from entropy_asr.modeling.streaming_entropy_asr import Stream, StreamingBatch, StreamingUpdate

# Audio that may wait for the model, in seconds: more means that the machine cannot keep up.
MAX_WAITING_SECONDS = 10.0
# Streams that have ended whose text is kept, for each place: the answer to a stop may be lost on its way.
MAX_ENDED = 4


@dataclass(eq=False)
class LiveSession:
    """One visitor's stream and what was said in it.

    Attributes:
        stream: In the batch.
        rate: Sampling rate of the microphone, in Hz.
        max_idle: Seconds without a call after which the place may be given to another visitor.
        inbox: Samples that the batch has not been given.
        updates: The last update of each segment, by its number.
        num_samples: Audio so far.
        num_pieces: Pieces so far: the number that the next one has.
        num_calls: Calls that are being answered.
        last_call: When the last call was answered, on the clock of `time.monotonic`.
    """

    stream: "Stream"
    rate: int
    max_idle: float = math.inf
    inbox: list[np.ndarray] = field(default_factory=list)
    updates: "dict[int, StreamingUpdate]" = field(default_factory=dict)
    num_samples: int = 0
    num_pieces: int = 0
    num_calls: int = 0
    last_call: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Audio so far."""
        return self.num_samples / self.rate

    @property
    def is_idle(self) -> bool:
        """Whether its visitor has gone without a word."""
        return not self.num_calls and time.monotonic() - self.last_call > self.max_idle

    def add(self, update: "StreamingUpdate") -> None:
        """Keep an update; between two previews of the text the older one stands."""
        before = self.updates.get(update.segment)
        if update.text is None and before is not None:
            update = replace(update, text=before.text)
        self.updates[update.segment] = update


class LiveSessions:
    """All live streams of the demo.

    A visitor's pieces may be lost or come twice on their way: numbered, each is taken once and in its order. What is
    given a second time, be it a start, a piece or an end, is answered as the first time.

    Args:
        recognizer: Model and limits.

    Attributes:
        sessions: Those that are open, by their keys.
        batch: Their streams; None before the first one.
        ended: Samples and last updates of some that have ended, by their keys, the latest last.
    """

    def __init__(self, recognizer: Recognizer):
        self.recognizer = recognizer
        self.sessions: dict[str, LiveSession] = {}
        self.batch: StreamingBatch | None = None
        self._inboxes = threading.Lock()
        self._ending = threading.Lock()
        self.ended: OrderedDict[str, tuple[int, list[StreamingUpdate]]] = OrderedDict()

    def start(
        self,
        rate: int,
        language: str = "auto",
        hotwords: str = "",
        key: str | None = None,
        max_idle: float = math.inf,
    ) -> str:
        """Begin a stream.

        Args:
            rate: Sampling rate, in Hz.
            language: "auto" or a language in any usual form.
            hotwords: Words or phrases, one a line or separated by commas.
            key: The session's, by default a new one. One that has begun already goes on as it is.
            max_idle: Seconds without a call after which the place may be given to another visitor.

        Returns:
            The session's key.

        Raises:
            DemoError: all places are taken, or the request cannot be honoured.
        """
        if key is not None and (key in self.sessions or key in self.ended):
            return key
        index = self.recognizer.index(self.recognizer.read_hotwords(hotwords))
        most = self.recognizer.settings.max_live
        with self.recognizer.lock:
            if key in self.sessions:  # the same start, given twice at once
                return key
            batch = self._get_batch()
            self._remove_idle()
            if len(batch.streams) >= most:
                raise DemoError(f"All {most} live places are taken at the moment: try again in a minute.")
            try:
                stream = batch.join(chosen_language(language), index, sampling_rate=rate)
            except ValueError as error:
                raise DemoError(f"This stream cannot begin: {error}") from error
            key = key or uuid.uuid4().hex
            self.sessions[key] = LiveSession(stream, rate, max_idle)
        return key

    def push(
        self, key: str, samples: np.ndarray, rate: int | None = None, number: int | None = None
    ) -> "list[StreamingUpdate]":
        """Take the next piece of a session.

        Args:
            key: From `start`.
            samples: Integer PCM `(num_samples,)`.
            rate: Sampling rate in Hz, by default, and at best, that of the start.
            number: Of the piece, from 0: one that was taken is not taken again, one that is missing is named. By
                default it is the next.

        Returns:
            The last update of each segment so far, in order.

        Raises:
            DemoError: the session has ended or lasts too long, the piece is too long, has another sampling rate or
                comes before an earlier one, or the machine cannot keep up.
        """
        with self.answering(key) as session:
            self._keep(session, samples, rate, number)
            self._work()
            return self.transcript(key)

    def _keep(self, session: LiveSession, samples: np.ndarray, rate: int | None, number: int | None) -> None:
        """Put a piece into its session's inbox; what is refused is not kept."""
        most = self.recognizer.settings.max_live_seconds
        if rate not in (None, session.rate):
            raise DemoError(f"This live stream began at {session.rate} Hz: a piece at {rate} Hz cannot follow.")
        if len(samples) > MAX_WAITING_SECONDS * session.rate:
            raise DemoError(f"A piece of a live stream lasts at most {MAX_WAITING_SECONDS:g} s.")
        with self._inboxes:
            if number is not None and number != session.num_pieces:
                if number < session.num_pieces:
                    return
                raise DemoError(_missing(session.num_pieces, number))
            num_samples = session.num_samples + len(samples)
            waiting = sum(map(len, session.inbox)) + len(samples)
            # What is refused is not kept: it would be worked on in another visitor's time.
            if num_samples > most * session.rate:
                raise DemoError(f"A live stream lasts at most {most:g} s here: stop and start again.")
            if waiting > MAX_WAITING_SECONDS * session.rate:
                raise DemoError("The machine cannot keep up with so many live streams: stop and try again later.")
            session.inbox.append(samples)
            session.num_samples = num_samples
            session.num_pieces += 1

    def finish(self, key: str, num_pieces: int | None = None) -> "list[StreamingUpdate]":
        """End a session: its last updates. The end of one that has just ended is told again.

        Args:
            key: From `start`.
            num_pieces: How many pieces there were, if it is to be checked.

        Raises:
            DemoError: pieces are missing, or the session has ended, perhaps just now: its visitor closed the page.
        """
        with self._ending:
            if key in self.ended:
                return self.ended[key][1]
            try:
                return self._finish(key, num_pieces)
            finally:
                self.leave(key)  # whatever happened: nobody would ask again, and the place is needed

    def _finish(self, key: str, num_pieces: int | None) -> "list[StreamingUpdate]":
        with self.answering(key) as session:
            if num_pieces not in (None, session.num_pieces):
                raise DemoError(_missing(session.num_pieces, num_pieces))
            self._work()
            with self.recognizer.lock:
                # Looked up again: who left while others were computed is in the batch no more.
                self._get_batch().finish(self._session(key).stream)
            self._work()
            updates = self.transcript(key)
            self.ended[key] = session.num_samples, updates
            while len(self.ended) > MAX_ENDED * self.recognizer.settings.max_live:
                self.ended.popitem(last=False)
            return updates

    def leave(self, key: str | None) -> None:
        """Remove a session in whatever state; one that is not there is no error (a closed browser tab tells late)."""
        session = self.sessions.pop(key, None) if key else None
        if session is not None:
            with self.recognizer.lock:
                self._get_batch().leave(session.stream)

    def transcript(self, key: str) -> "list[StreamingUpdate]":
        """The last update of each segment of a session, in order."""
        return [update for _, update in sorted(self._session(key).updates.items())]

    def has_ended(self, key: str) -> bool:
        """Whether a session was finished, of late."""
        return key in self.ended

    def num_samples(self, key: str) -> int:
        """Samples taken of a session, also of one that has just ended."""
        session = self.sessions.get(key)  # before those that have ended: it is among these when it goes
        if session is None and key in self.ended:
            return self.ended[key][0]
        return (session or self._session(key)).num_samples

    @contextmanager
    def answering(self, key: str) -> Iterator[LiveSession]:
        """A session that is not idle meanwhile, however long the answer takes."""
        with self._inboxes:
            session = self._session(key)
            session.num_calls += 1
        try:
            yield session
        finally:
            with self._inboxes:
                session.num_calls -= 1
                session.last_call = time.monotonic()

    def _remove_idle(self) -> None:
        """Give back the places of visitors who have gone; within the model's lock."""
        with self._inboxes:
            gone = [self.sessions.pop(key) for key, session in list(self.sessions.items()) if session.is_idle]
        for session in gone:
            self._get_batch().leave(session.stream)

    def _session(self, key: str) -> LiveSession:
        try:
            return self.sessions[key]
        except KeyError:
            raise DemoError("This live stream has ended: start a new one.") from None

    def _get_batch(self) -> "StreamingBatch":
        if self.batch is None:
            pipeline, most = self.recognizer.pipeline, self.recognizer.settings.max_live
            # There a GPU is lent to single functions, in processes of their own: what a stream gathers would be lost.
            if os.environ.get("SPACES_ZERO_GPU") and pipeline.device.type != "cpu":
                raise DemoError(
                    "Live streams need a device of their own, and this Space (ZeroGPU) borrows one for each request. "
                    "Transcribe a recording, or set ENTROPY_ASR_DEVICE=cpu."
                )
            from entropy_asr.modeling import StreamingBatch

            # Two chunks a preview: the text grows about once a second.
            self.batch = StreamingBatch(pipeline, max_streams=most, preview_chunks=2)
        return self.batch

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


def _missing(received: int, number: int) -> str:
    lost = number - received
    which = f"piece {received} is" if lost == 1 else f"pieces {received} to {number - 1} are"
    return f"Of this live stream {which} missing: {received} came, in order, and what follows cannot be understood."
