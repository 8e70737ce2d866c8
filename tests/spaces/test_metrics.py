# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures in Prometheus' text format."""

import pytest

from entropy_asr.spaces.server.metrics import Counts, gauge_lines, metrics_response


def test_counters_and_gauges_are_written_as_prometheus_reads_them():
    counts = Counts({"refusals": "Refused, by the code.", "streams": "Begun."})
    counts.add("refusals", label='code="1008"')
    counts.add("refusals", 2, label='code="1013"')
    response = metrics_response(gauge_lines({"waiting": ("Unheard.", 0.25)}) + counts.lines())
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.body.decode() == (
        "# HELP entropy_asr_waiting Unheard.\n"
        "# TYPE entropy_asr_waiting gauge\n"
        "entropy_asr_waiting 0.25\n"
        "# HELP entropy_asr_refusals_total Refused, by the code.\n"
        "# TYPE entropy_asr_refusals_total counter\n"
        'entropy_asr_refusals_total{code="1008"} 1\n'
        'entropy_asr_refusals_total{code="1013"} 2\n'
        "# HELP entropy_asr_streams_total Begun.\n"
        "# TYPE entropy_asr_streams_total counter\n"
        "entropy_asr_streams_total 0\n"
    )
    assert counts["refusals"] == 3


def test_large_counts_keep_their_digits():
    counts = Counts({"audio_seconds": "Seconds."})
    counts.add("audio_seconds", 123456789.5)
    assert counts.lines()[-1] == "entropy_asr_audio_seconds_total 123456789.5"


def test_what_is_no_counter_is_not_counted():
    with pytest.raises(KeyError, match="typo"):
        Counts({"streams": "Begun."}).add("typo")
