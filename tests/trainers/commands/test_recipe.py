# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr recipe`: what it refuses."""

from entropy_asr.trainers.commands import cli


def test_a_mistyped_setting_is_told_without_a_traceback(tmp_path, capsys):
    arguments = ["recipe", "synthetic", "--output_dir", str(tmp_path), "--stages.encoder.training.max_step", "3"]
    assert cli.main(arguments) == 2
    assert "unknown max_step; did you mean" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
