# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts: whole or not there, in order, and never mixed with those of other settings."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from entropy_asr.trainers.transcription.parts import Parts, Totals


SETTINGS = {"model": "a", "columns": ("x",)}
# Of three shards: pieces of shard 0, of the empty shard 1, of shard 2.
PIECES = {0: [[0, 1], [2]], 1: [[]], 2: [[3, 4]]}
SCHEMA = pa.schema({"number": pa.int64(), "text": pa.string()})


def write(parts: Parts, shard: int, number: int) -> None:
    values = PIECES[shard][number]
    table = pa.table({"number": values, "text": [None] * len(values)}, schema=SCHEMA)
    said = {"state": {"next": number + 1}, "totals": vars(Totals(len(values), 1, 0.5))}
    parts.write(shard, number, number == len(PIECES[shard]) - 1, table, said)


def write_all(parts: Parts) -> None:
    parts.prepare(3)
    for shard in (2, 0, 1):
        for number in range(len(PIECES[shard])):
            write(parts, shard, number)


def test_a_file_has_all_rows_in_their_order_and_its_parts_go(tmp_path):
    parts = Parts(tmp_path / "out.parquet", SETTINGS)
    write_all(parts)
    assert parts.finished() is None
    assert parts.finish(3) == parts.finished() == Totals(5, 4, 2.0)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.equals(SCHEMA) and table["number"].to_pylist() == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_large_outputs_have_several_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("entropy_asr.trainers.transcription.parts.MERGED_ROWS", 3)
    parts = Parts(tmp_path / "out.parquet", SETTINGS)
    write_all(parts)
    parts.finish(3)
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)] == [3, 2]


def test_a_folder_is_a_data_set_in_order(tmp_path):
    parts = Parts(tmp_path / "out", SETTINGS)
    write_all(parts)
    parts.finish(3)
    assert Parts(tmp_path / "out", SETTINGS).finished() == Totals(5, 4, 2.0)
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["number"][:] == [0, 1, 2, 3, 4]


def test_a_shard_goes_on_behind_its_last_part(tmp_path):
    parts = Parts(tmp_path / "out.parquet", SETTINGS)
    parts.prepare(3)
    assert parts.position(0) == (0, None)
    write(parts, 0, 0)
    assert parts.position(0) == (1, {"next": 1})
    write(parts, 0, 1)
    assert parts.position(0) is None
    # Whatever else is lost: what is missing is done again, from where it was.
    (parts.folder / "part-000000-000000.parquet").unlink()
    assert parts.position(0) == (0, None)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_other_settings_are_refused_before_and_after_the_end(tmp_path, name):
    parts, other = Parts(tmp_path / name, SETTINGS), Parts(tmp_path / name, SETTINGS | {"model": "b"})
    write_all(parts)
    with pytest.raises(ValueError, match=r"made with other settings \(model\)"):
        other.prepare(3)
    with pytest.raises(ValueError, match=r"made with other settings \(num_shards\)"):
        parts.prepare(4)
    parts.prepare(3)
    parts.finish(3)
    with pytest.raises(ValueError, match=r"made with other settings \(model\)"):
        other.finished()
    assert pq.read_table(tmp_path / name).num_rows == 5


def test_what_is_something_else_is_not_touched(tmp_path):
    (tmp_path / "out.parquet").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for name in ("out.parquet", "out"):
        with pytest.raises(ValueError, match="is there already, and no transcripts"):
            Parts(tmp_path / name, SETTINGS).finished()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "out.parquet")
    with pytest.raises(ValueError, match="is there already, and no transcripts"):
        Parts(tmp_path / "out.parquet", SETTINGS).finished()


def test_half_written_files_of_a_killed_run_go(tmp_path):
    parts = Parts(tmp_path / "out.parquet", SETTINGS)
    parts.prepare(3)
    write(parts, 0, 0)
    left = parts.folder / ".part-000000-000001-end.parquet.host-1.tmp"
    left.write_bytes(b"PAR1")
    parts.fail(1, "a reason")
    assert parts.failures() == {1: "a reason"}
    parts.prepare(3)
    assert not left.exists() and parts.failures() == {} and parts.position(0) == (1, {"next": 1})


def test_a_part_that_cannot_be_written_is_not_there(tmp_path, monkeypatch):
    parts = Parts(tmp_path / "out.parquet", SETTINGS)
    parts.prepare(3)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(parts, 0, 0)
    assert parts.position(0) == (0, None)
    assert not [path for path in parts.folder.iterdir() if path.suffix == ".parquet"]
