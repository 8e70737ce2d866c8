# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where transcripts lie: a folder of parts while they are made, and then as that folder or as one parquet file.

A part holds the transcripts of one piece of a shard. It is written under another name, flushed to disk and renamed, so
that it is whole whenever it is there; the names alone say what is done:

    part-000012-000000.parquet      rows of shard 12, from its first
    part-000012-000001-end.parquet  those behind them, its last

Each says in its metadata where its shard goes on. Nothing is ever changed, and whoever writes a part writes the same
rows, so that processes need not know of each other: two that do one piece, as an orphan of a killed run may, do no
harm.
What the transcripts were made with is in `.transcription.json`; other settings are refused there.
"""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..runs.disk import named_disk_errors
from ..runs.records import differing_settings, write_text
from ..runs.settings import SettingsError


RECORD = ".transcription.json"
# Key of what this module says in the metadata of a parquet file.
KEY = b"entropy_asr"
PART = re.compile(r"part-(\d{6})-(\d{6})(-end)?\.parquet")
FAILED = re.compile(r"\.failed-(\d{6})\.txt")
# Row groups of the one file: of so many rows, or of so many bytes where it holds audio.
MERGED_ROWS, MERGED_BYTES = 10_000, 2**26


@dataclass
class Totals:
    """What was transcribed.

    Args:
        rows: Number of rows.
        errors: Number of those that could not be transcribed.
        seconds: Seconds of audio of the others, where they are known.
    """

    rows: int = 0
    errors: int = 0
    seconds: float = 0.0

    def add(self, other: "Totals") -> None:
        """Count some more."""
        self.rows += other.rows
        self.errors += other.errors
        self.seconds = round(self.seconds + other.seconds, 3)

    def __str__(self) -> str:
        failed = f", {self.errors} of them with errors" if self.errors else ""
        return f"{self.rows} rows{failed}, {self.seconds / 3600:.2f} h of audio"


class Parts:
    """An output and the parts that become it.

    Args:
        output: A file, where the name ends in `.parquet`: its parts lie in a folder beside it, which goes when the
            file is there. Else a folder: the parts stay in it, and `datasets` reads it in their order.
        settings: What the transcripts are made with, as JSON can hold it.
        about: What else is to be known of them; nothing depends on it.
    """

    def __init__(self, output: Path, settings: dict[str, Any], about: dict[str, Any] | None = None):
        self.output, self.settings, self.about = output, json.loads(json.dumps(settings)), about or {}
        self.is_file = output.suffix == ".parquet"
        self.folder = output.with_name(f"{output.name}.parts") if self.is_file else output

    def finished(self) -> Totals | None:
        """What is in the output, where it is finished.

        Raises:
            SettingsError: something else is in its place.
        """
        record = self.record()
        if record is None:
            return None
        self._check(record["settings"], self.output)
        return Totals(**record["totals"]) if "totals" in record else None

    def record(self) -> dict[str, Any] | None:
        """`settings` and `about` of the output, and its `totals` where it is finished; None where nothing is there.

        Raises:
            SettingsError: something else is in its place.
        """
        return self._record_of_file() if self.is_file else self._record_of_folder()

    def prepare(self, num_shards: int) -> None:
        """Make the folder ready, for one process; what a killed run has left half written goes.

        Raises:
            SettingsError: it holds transcripts that were made with other settings.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self._record_of_folder()
        if record is None:
            self._write_record(self._new_record(num_shards))
        else:
            self._check(record["settings"], self.folder, num_shards)
        for path in self.folder.iterdir():
            if path.name.endswith(".tmp") or FAILED.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _check(self, made_with: dict[str, Any], where: Path, num_shards: int | None = None) -> None:
        wanted = {**self.settings, "num_shards": num_shards or made_with.get("num_shards")}
        if differing := differing_settings(made_with, wanted):
            raise SettingsError(
                f"{where} holds transcripts made with other settings ({', '.join(differing)}). Remove it or choose "
                "another output."
            )

    def _record_of_file(self) -> dict[str, Any] | None:
        if not self.output.exists():
            return None
        try:
            return _part_metadata(self.output)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise SettingsError(f"{self.output}: is there already, and no transcripts of a data set.") from error

    def _record_of_folder(self) -> dict[str, Any] | None:
        path = self.folder / RECORD
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        if self.folder.is_dir() and any(not name.startswith(".") for name in os.listdir(self.folder)):
            raise SettingsError(f"{self.folder}: is there already, and no transcripts of a data set.")
        return None

    def position(self, shard: int) -> tuple[int, dict[str, Any] | None] | None:
        """Number of the next piece of a shard, and the state from which its rows are read; None where it is done."""
        number, last = 0, None
        while True:
            if self._path(shard, number, True).exists():
                return None
            path = self._path(shard, number, False)
            if not path.exists():
                return number, None if last is None else _part_metadata(last)["state"]
            number, last = number + 1, path

    def write(self, shard: int, number: int, is_last: bool, table: pa.Table, metadata: dict[str, Any]) -> None:
        """Write a part: it is whole or not there.

        Args:
            shard: Number of the shard.
            number: Of the piece in its shard.
            is_last: Whether none follows.
            table: Transcripts.
            metadata: For the metadata: `state` and `totals`.
        """
        schema = table.schema.with_metadata({KEY: json.dumps(metadata)})
        with (
            self._renamed_to(self._path(shard, number, is_last)) as temporary,
            pq.ParquetWriter(temporary, schema) as writer,
        ):
            if len(table):  # `datasets` reads files without row groups, but no row groups without rows
                writer.write_table(table.replace_schema_metadata(schema.metadata))

    def fail(self, shard: int, reason: str) -> None:
        """Say why a shard cannot be read."""
        write_text(self.folder / f".failed-{shard:06d}.txt", reason)

    def failures(self) -> dict[int, str]:
        """Shards that could not be read, and why."""
        found = ((FAILED.fullmatch(path.name), path) for path in sorted(self.folder.iterdir()))
        return {int(match[1]): path.read_text(encoding="utf-8") for match, path in found if match}

    def names(self) -> set[str]:
        """Names of all parts and failures that are there."""
        names = (entry.name for entry in os.scandir(self.folder))
        return {name for name in names if PART.fullmatch(name) or FAILED.fullmatch(name)}

    def totals(self, name: str) -> Totals:
        """What is in a part."""
        return Totals(**_part_metadata(self.folder / name)["totals"]) if PART.fullmatch(name) else Totals()

    def finish(self, num_shards: int) -> Totals:
        """Make the output of the parts, all of which are there."""
        totals = Totals()
        for path in self._in_order(num_shards):
            totals.add(self.totals(path.name))
        record = self._new_record(num_shards) | {"totals": asdict(totals)}
        if self.is_file:
            self._merge(num_shards, record)
            self.remove_parts()
        else:
            self._write_record(record)
        return totals

    def _new_record(self, num_shards: int) -> dict[str, Any]:
        return {"settings": {**self.settings, "num_shards": num_shards}, "about": self.about}

    def _write_record(self, record: dict[str, Any]) -> None:
        write_text(self.folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def remove_parts(self) -> None:
        """Remove the folder of parts beside a file that is finished."""
        if self.is_file:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _merge(self, num_shards: int, record: dict[str, Any]) -> None:
        paths = self._in_order(num_shards)
        first = next(paths)
        schema = pq.read_schema(first).with_metadata({KEY: json.dumps(record, ensure_ascii=False)})
        with self._renamed_to(self.output) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            held: list[pa.Table] = []
            for path in (first, *paths):
                held.append(pq.read_table(path).replace_schema_metadata(schema.metadata))
                if sum(map(len, held)) >= MERGED_ROWS or sum(table.nbytes for table in held) >= MERGED_BYTES:
                    writer.write_table(pa.concat_tables(held))
                    held = []
            if any(map(len, held)):
                writer.write_table(pa.concat_tables(held))

    def _in_order(self, num_shards: int) -> Iterator[Path]:
        for shard in range(num_shards):
            number = 0
            while not (path := self._path(shard, number, True)).exists():
                yield self._path(shard, number, False)
                number += 1
            yield path

    def _path(self, shard: int, number: int, is_last: bool) -> Path:
        return self.folder / f"part-{shard:06d}-{number:06d}{'-end' * is_last}.parquet"

    @contextmanager
    def _renamed_to(self, path: Path) -> Iterator[Path]:
        """A file that gets its name when it is whole and on disk; until then it lies in the folder of parts."""
        # Its own for each process, of whichever machine.
        temporary = self.folder / f".{path.name}.{socket.gethostname()}-{os.getpid()}.tmp"
        try:
            with named_disk_errors(path):
                yield temporary
                _flush(temporary)
                os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # the name itself; elsewhere folders are not opened
            _flush(path.parent)


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _part_metadata(path: Path) -> dict[str, Any]:
    return json.loads(pq.read_metadata(path).metadata[KEY])
