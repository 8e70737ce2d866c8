# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Who speaks when: diarizations of any origin, and to whom each piece of a recording's speech belongs.

What is speech is decided by voice activity detection, as without a diarization, and the diarization says whose it is.
So each piece of speech is transcribed once, for one speaker:

- Overlaps: who has the floor keeps it. The turn that began first (of several the longer one) goes on to its end, and
  what is left of the others follows; a turn inside another one has no text of its own. The segment of who has the
  floor names the others in `other_speakers`.
- Gaps: a turn reaches up to `REACH` seconds into the gaps around it, at most to their middle, for diarizers end turns
  more closely than words end. Speech farther from all turns is transcribed and is nobody's: its speaker is `None`.
- Pieces of less than `SHORTEST` seconds, in which no word can be told, go to who speaks before them, or behind them.
- A turn that ends behind the recording ends with it. One that begins there, or before 0, is an error: it is a
  diarization of something else.
"""

import math
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from .audio import AudioError


REACH = 0.5
SHORTEST = 0.2
# What a mapping calls the speaker, and where pyannote.audio 4 keeps annotations: the one without overlaps first.
SPEAKER_KEYS = ("speaker", "label")
ANNOTATIONS = ("exclusive_speaker_diarization", "speaker_diarization")


class Turn(NamedTuple):
    """A speaker's, from `start` to `end` seconds of the recording."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True)
class SpeechOfSpeaker:
    """A piece of speech from `start` to `end` seconds, whose it is, and who else speaks in it.

    Args:
        start, end: in seconds of the recording.
        speaker: `None` where no turn is near.
        other_speakers: whose turns it overlaps.
    """

    start: float
    end: float
    speaker: str | None
    other_speakers: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class SpeakerTimeline:
    """Who has the floor at each moment of a recording.

    Args:
        turns: in any order; they may overlap.
    """

    def __init__(self, turns: Iterable[Turn]):
        # Of turns that begin together the longer one comes first.
        self.turns = sorted(turns, key=lambda turn: (turn.start, -turn.end))
        self._floor = _with_reach(_without_overlaps(self.turns))
        self._ends = [turn.end for turn in self._floor]

    def check(self, seconds: float) -> None:
        """Refuse turns that cannot be of a recording of so many seconds.

        Raises:
            AudioError: one begins behind its end.
        """
        for start, end, speaker in self.turns:
            if start >= seconds:
                raise AudioError(
                    f"`diarization`: {speaker} speaks from {start:g} to {end:g} s, and the recording ends at "
                    f"{seconds:.2f} s: is it that of another one?"
                )

    def pieces(self, start: float, end: float) -> list[SpeechOfSpeaker]:
        """Consecutive pieces of speech from `start` to `end` seconds, cut where the speaker changes."""
        kept: list[SpeechOfSpeaker] = []
        for piece in self._cut(start, end):
            before = kept[-1] if kept else None
            if before is None:
                kept.append(piece)
            elif piece.speaker == before.speaker or piece.seconds < SHORTEST:
                kept[-1] = SpeechOfSpeaker(before.start, piece.end, before.speaker)
            elif before.seconds < SHORTEST:
                kept[-1] = SpeechOfSpeaker(before.start, piece.end, piece.speaker)
            else:
                kept.append(piece)
        return [SpeechOfSpeaker(one.start, one.end, one.speaker, self._others(one)) for one in kept]

    def _cut(self, start: float, end: float) -> Iterator[SpeechOfSpeaker]:
        """Pieces of whatever length, one for each turn and each gap."""
        for turn in self._floor[bisect_right(self._ends, start) :]:
            if turn.start >= end:
                break
            if turn.start > start:
                yield SpeechOfSpeaker(start, turn.start, None)
            first, start = max(turn.start, start), min(turn.end, end)
            yield SpeechOfSpeaker(first, start, turn.speaker)
        if start < end:
            yield SpeechOfSpeaker(start, end, None)

    def _others(self, piece: SpeechOfSpeaker) -> tuple[str, ...]:
        """Who else speaks in a piece for long enough to say something."""
        if piece.speaker is None:
            return ()
        seconds: dict[str, float] = defaultdict(float)
        for turn in self.turns:
            if turn.start >= piece.end:
                break
            seconds[turn.speaker] += max(0.0, min(turn.end, piece.end) - max(turn.start, piece.start))
        return tuple(who for who, share in seconds.items() if who != piece.speaker and share >= SHORTEST)


def _without_overlaps(turns: Iterable[Turn]) -> list[Turn]:
    """Turns of which one is over before the next one begins; what is left of one behind others is one."""
    floor: list[Turn] = []
    for turn in turns:
        start = max(turn.start, floor[-1].end) if floor else turn.start
        if turn.end > start:
            floor.append(turn._replace(start=start))
    return floor


def _with_reach(floor: list[Turn]) -> list[Turn]:
    """Turns that reach into the gaps around them."""
    ends = [-math.inf, *(turn.end for turn in floor)]
    starts = [*(turn.start for turn in floor[1:]), math.inf]
    return [
        Turn(turn.start - _half(turn.start - end), turn.end + _half(start - turn.end), turn.speaker)
        for turn, end, start in zip(floor, ends, starts, strict=False)
    ]


def _half(gap: float) -> float:
    """What of a gap is a turn's, in seconds."""
    return min(REACH, gap / 2)


class Diarizations:
    """Diarizations of the items of a call.

    Args:
        given: a diarization, see [`read_diarization`]. Of several items a list of them, one for each, or the path of
            one RTTM file that has them all.
        num_items: how many items there are, where that is known.
        is_single: whether the call is of one item, which is no list of one.

    Raises:
        ValueError: a file that cannot be read, something else than a diarization, or not as many as items.
    """

    def __init__(self, given: Any, num_items: int | None = None, is_single: bool = False):
        self.is_shared = is_single or isinstance(given, str | os.PathLike)
        self.file = str(given) if isinstance(given, str | os.PathLike) else None
        if self.is_shared:
            given = [given]
        elif not isinstance(given, list | tuple):
            raise ValueError(
                "`diarization` of several items must be a list of diarizations, one for each, or the path of an RTTM "
                f"file that has them all, not {type(given).__name__}."
            )
        elif num_items is not None and num_items != len(given):
            raise ValueError(f"`diarization` has {len(given)} diarizations for {num_items} items.")
        self.must_be_named = self.is_shared and not is_single
        self._known = [read_diarization(one) for one in given]

    def timeline(self, number: int, name: str) -> SpeakerTimeline:
        """Who speaks when in an item.

        Args:
            number: of the item, from 0.
            name: path of the item, or what else it is called.

        Raises:
            AudioError: there is no diarization of it.
        """
        if not self.is_shared and number >= len(self._known):
            raise AudioError(f"{name}: `diarization` has no more than {len(self._known)} diarizations")
        recordings = self._known[0 if self.is_shared else number]
        if len(recordings) == 1 and not self.must_be_named:
            return SpeakerTimeline(*recordings.values())
        turns = recordings.get(Path(name).stem, recordings.get(Path(name).name))
        if turns is None:
            place = self.file or f"number {number}"
            raise AudioError(f"{name}: `diarization` {place} has no such recording; it has {_some(recordings)}")
        return SpeakerTimeline(turns)


def read_diarization(given: Any) -> dict[str, list[Turn]]:
    """Turns of a diarization, by the name of the recording: "" where it tells none.

    Args:
        given: path of an RTTM file; an annotation of pyannote.core, or what a pipeline of pyannote.audio gives; or an
            iterable of turns `{"start", "end", "speaker" or "label"}` or `(start, end, speaker)`, in seconds.

    Raises:
        ValueError: a file that cannot be read, or something else than a diarization; it names the line or turn.
    """
    if isinstance(given, str | os.PathLike):
        return read_rttm(given)
    given = next((getattr(given, name) for name in ANNOTATIONS if getattr(given, name, None) is not None), given)
    if hasattr(given, "itertracks"):
        tracks = given.itertracks(yield_label=True)
        return {"": [_turn(part.start, part.end, label, f"track {track!r}") for part, track, label in tracks]}
    if not isinstance(given, Iterable) or isinstance(given, Mapping | bytes):
        raise ValueError(f"`diarization` must be turns, an annotation or a path of an RTTM file, not {given!r}.")
    return {"": [_read_turn(turn, f"turn {number}") for number, turn in enumerate(given)]}


def read_rttm(path: str | os.PathLike) -> dict[str, list[Turn]]:
    """Turns of each recording in a file of NIST's Rich Transcription Time Marked format: its lines of type SPEAKER.

    Raises:
        ValueError: it cannot be read, has no such line, or one that is none; it names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"`diarization` {path}: cannot be read: {reason}") from error
    recordings: dict[str, list[Turn]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        # type, recording, channel, start, duration, orthography, type of speaker, speaker, ...
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        place = f"{path}, line {number}"
        try:
            start, seconds = float(fields[3]), float(fields[4])
            recordings[fields[1]].append(_turn(start, start + seconds, fields[7], place))
        except IndexError as error:
            raise ValueError(f"`diarization` {place}: has {len(fields)} fields, and RTTM has eight or more") from error
        except ValueError as error:
            message = str(error) if place in str(error) else f"`diarization` {place}: {error}"
            raise ValueError(message) from error
    if not recordings:
        raise ValueError(f"`diarization` {path}: has no line of type SPEAKER: is it an RTTM file?")
    return dict(recordings)


def _read_turn(turn: Any, place: str) -> Turn:
    if isinstance(turn, Mapping):
        speaker = next((turn[key] for key in SPEAKER_KEYS if turn.get(key) is not None), None)
        return _turn(turn.get("start"), turn.get("end"), speaker, place)
    if isinstance(turn, list | tuple) and len(turn) == 3:
        return _turn(*turn, place)
    raise ValueError(f"`diarization` {place}: must have `start`, `end` and `speaker`, and is {turn!r}")


def _turn(start: Any, end: Any, speaker: Any, place: str) -> Turn:
    name = " ".join(str(speaker).split())
    are_times = all(isinstance(time, Real) and not isinstance(time, bool) for time in (start, end))
    if not are_times or not 0 <= start < end < math.inf:
        raise ValueError(f"`diarization` {place}: must last from 0 s or later to a later time, not {start} to {end}")
    if speaker is None or not name:
        raise ValueError(f"`diarization` {place}: has no speaker")
    return Turn(float(start), float(end), name)


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")


__all__ = ["Diarizations", "SpeakerTimeline", "SpeechOfSpeaker", "Turn", "read_diarization", "read_rttm"]
