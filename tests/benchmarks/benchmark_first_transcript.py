# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A newcomer's path: from an empty environment to the first transcript, by the first commands of README.md.

    python tests/benchmarks/benchmark_first_transcript.py

Makes a virtual environment and a copy of the repository's files in a temporary folder, runs the README's first shell
block there as printed, and prints the seconds. Packages come from the index that pip is configured for.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path


ROOT = Path(__file__).parents[2]


def copy_repository(folder: Path) -> None:
    """The files that git knows, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def main() -> None:
    block = re.search(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    print(block, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        repository, environment = Path(scratch) / "entropy-asr", Path(scratch) / "environment"
        copy_repository(repository)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        variables["PATH"] = f"{environment / 'bin'}{os.pathsep}{variables['PATH']}"
        variables["HF_HOME"] = str(Path(scratch) / "cache")
        subprocess.run(["bash", "-ec", block], cwd=repository, env=variables, check=True)
        print(f"first transcript after {time.perf_counter() - started:.0f} s, the install included")


if __name__ == "__main__":
    main()
