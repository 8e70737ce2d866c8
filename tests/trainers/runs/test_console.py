# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Consoles that cannot show a character, readers that go away, and interruptions: nothing else is lost."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from entropy_asr.trainers.runs.console import LAUNCHED, error_text, run_command, to_json


START = """
import sys, time
from entropy_asr.trainers.runs import console
def run(command):
    sys.exit(console.run_command(command, lambda: "; go on"))
"""


def run_python(body: str, **options) -> subprocess.CompletedProcess:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "check": False, "timeout": 60} | options
    return subprocess.run([sys.executable, "-c", START + body], **options)


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **variables}


PRINT = """
def command():
    print("\\u5317\\u4eac.wav\\tcaf\\xe9 \\U0001f600")
    print("last")
    print("warnung: \\u5317\\u4eac", file=sys.stderr)
    return 0
run(command)
"""


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, b"\\u5317\\u4eac.wav\tcaf\xe9 \\U0001f600"),
        ({"PYTHONIOENCODING": "ascii"}, b"\\u5317\\u4eac.wav\tcaf\\xe9 \\U0001f600"),
        ({"PYTHONIOENCODING": "ascii:replace"}, b"??.wav\tcaf? ?"),
        ({"PYTHONIOENCODING": "utf-8"}, "北京.wav\tcafé 😀".encode()),
        ({"LC_ALL": "C", "LANG": "C"}, b"\\u5317\\u4eac.wav\tcaf\\xe9 \\U0001f600"),
    ],
)
def test_characters_that_the_console_lacks_are_escaped(variables, first):
    result = run_python(PRINT, env=environment(**variables))
    assert (result.returncode, result.stdout.splitlines()) == (0, [first, b"last"])
    assert result.stderr.count(b"\n") == 1 and result.stderr.startswith(b"warnung: ")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_bytes_of_a_file_name_that_are_no_text_come_out_as_they_are(encoding):
    lines = "print('a\\udcff.wav')", "print('a\\udcff.wav', file=sys.stderr)", "return 0"
    body = "\n    ".join(["def command():", *lines])
    result = run_python(f"{body}\nrun(command)", env=environment(PYTHONIOENCODING=encoding))
    assert (result.returncode, result.stdout, result.stderr) == (0, b"a\xff.wav\n", b"a\xff.wav\n")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii", "gbk"])
def test_json_stays_json_for_every_encoding(encoding):
    value = [{"file": "北京\udcff.wav", "text": 'café 😀 \\ "'}]
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    text = to_json(value, stream, indent=2)
    assert json.loads(text.encode(encoding).decode(encoding)) == value
    assert ("北京" in text) == (encoding in ("utf-8", "gbk"))


LINES = """
def command():
    for number in range(100000):
        print(number, file=getattr(sys, {stream!r}))
    return 0
run(command)
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_ends_the_command_as_sigpipe_does(stream):
    reader, writer = os.pipe()
    os.close(reader)
    result = run_python(LINES.format(stream=stream), **{stream: writer})
    os.close(writer)
    assert result.returncode == 141
    assert not result.stdout and not result.stderr


def test_a_reader_that_leaves_before_the_end_is_no_traceback_at_shutdown():
    """Few lines stay in Python's buffer until it ends."""
    reader, writer = os.pipe()
    os.close(reader)
    for body in ("print(1)\n    return 0", "print(1)\n    sys.exit(0)"):
        result = run_python(f"def command():\n    {body}\nrun(command)", stdout=writer)
        assert (result.returncode, result.stderr) == (141, b"")
    os.close(writer)


def test_a_broken_pipe_that_is_not_the_console_is_a_fault():
    def command() -> int:
        raise BrokenPipeError("of a worker")

    with pytest.raises(BrokenPipeError, match="worker"):
        run_command(command, str)


CLOSED = """
def command():
    opened = open(__file__ if "__file__" in globals() else sys.executable, "rb").fileno()
    print("message", file=sys.stderr)
    print("text")
    return 0 if opened > 2 else 9
run(command)
"""


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
def test_closed_streams():
    for redirection, expected in (("2>&-", (0, b"text\n", b"")), (">&-", (2, b"", None))):
        command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", START + CLOSED]
        result = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert (result.returncode, result.stdout) == expected[:2]
        if expected[2] is None:
            assert result.stderr.startswith(b"message\nentropy-asr: error: ") and result.stderr.count(b"\n") == 2
        else:
            assert result.stderr == expected[2]


WAIT = """
def command():
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        print("cleaned up")
run(command)
"""


def signalled(number: int, **variables: str) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{START}{WAIT}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_interruption_is_one_line_and_cleans_up():
    assert signalled(signal.SIGINT) == (130, "cleaned up\n", "entropy-asr: interrupted; go on\n")
    # Whoever has started it says so.
    assert signalled(signal.SIGINT, **{LAUNCHED: "1"}) == (130, "cleaned up\n", "")
    assert signalled(signal.SIGTERM) == (143, "cleaned up\n", "")


def test_what_the_system_refuses_is_one_line(capsys, tmp_path):
    assert run_command((tmp_path / "gone").read_bytes, str) == 2
    assert capsys.readouterr().err == f"entropy-asr: error: {tmp_path / 'gone'}: No such file or directory\n"
    assert error_text(OSError("cannot\nbe  read")) == "cannot be read"


def test_a_fault_of_the_program_shows_its_traceback():
    result = run_python("run(lambda: {}['key'])")
    assert result.returncode == 1 and b"KeyError: 'key'" in result.stderr


def test_warnings_are_one_line_and_those_of_libraries_about_each_other_none():
    body = """
import warnings
def command():
    warnings.warn("two\\nlines")
    warnings.warn("of another library", FutureWarning)
    return 0
run(command)
"""
    result = run_python(body)
    assert (result.returncode, result.stderr) == (0, b"entropy-asr: warning: two lines\n")


def test_an_open_progress_bar_is_closed_before_the_last_line():
    body = "from tqdm import tqdm\nbar = tqdm(total=3)\ndef command():\n    raise KeyboardInterrupt\nrun(command)"
    result = run_python(body)
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1] == b"entropy-asr: interrupted; go on"


def test_importing_the_models_says_nothing():
    result = run_python("import entropy_asr.modeling")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
