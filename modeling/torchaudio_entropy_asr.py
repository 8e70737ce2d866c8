# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is used of torchaudio, which is built for one range of torch: a pair that does not fit is one clear error.

Its own message is a symbol that its library misses, or a version of CUDA; neither says what to do.
"""

from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement


# As in pyproject.toml, which code on the Hub does not have beside it (a test holds the two together).
REQUIREMENTS = ("torch>=2.13,<2.16", "torchaudio>=2.11.1,<2.12")


class TorchaudioError(ImportError):
    """torchaudio is missing, or does not fit the torch that is installed."""


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_failure(error: BaseException) -> str:
    """One sentence: both versions, why they do not fit each other, and the command that mends it."""
    torch_version, torchaudio_version = _installed("torch"), _installed("torchaudio")
    command = " ".join(["pip install", *(f'"{requirement}"' for requirement in REQUIREMENTS)])
    if torchaudio_version is None:
        return f"torchaudio is not installed, and torch {torch_version} needs one that fits it; run: {command}"
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    versions = zip(REQUIREMENTS, (torch_version or "0", torchaudio_version), strict=True)
    if all(Requirement(text).specifier.contains(found, prereleases=True) for text, found in versions):
        # Versions that fit in builds that do not, for CUDA and for processors: pip would see nothing to do.
        command = command.replace("install", "install --force-reinstall", 1)
    pair = f"torch {torch_version} and torchaudio {torchaudio_version}"
    return f"{pair} do not fit each other ({reason}); run: {command}"


try:
    import torchaudio.compliance.kaldi as kaldi
    from torchaudio.functional import TokenSpan, forced_align, merge_tokens
    from torchaudio.transforms import MelSpectrogram, Resample
except (ImportError, OSError, RuntimeError, AttributeError) as error:
    raise TorchaudioError(describe_failure(error)) from None

__all__ = [
    "MelSpectrogram",
    "Resample",
    "TokenSpan",
    "TorchaudioError",
    "describe_failure",
    "forced_align",
    "kaldi",
    "merge_tokens",
]
