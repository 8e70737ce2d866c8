# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr hotwords`: an index of a file."""

from fake_pipeline import write_wav

from entropy_asr.trainers.commands import cli


def test_index_of_hotwords_is_built_once_and_read_by_transcribe(pipeline, tmp_path, capsys):
    words, index = tmp_path / "words.txt", tmp_path / "index.npz"
    words.write_text("Kaldi\n北京\n...\n", encoding="utf-8")
    assert cli.main(["hotwords", str(words), "--output", str(index)]) == 2
    assert "'...' has 0 phonemes" in capsys.readouterr().err
    assert cli.main(["hotwords", str(words), "--output", str(index), "--skip_unusable"]) == 0
    assert capsys.readouterr().out == f"{index}: 2 words\n"
    assert cli.main(["transcribe", write_wav(tmp_path / "a.wav"), "--model", "m", "--hotwords", str(index)]) == 0
    assert pipeline.calls[0]["hotwords"].words() == ["Kaldi", "北京"]
