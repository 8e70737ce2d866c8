# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What commands can know before anything heavy is imported, let alone a model loaded: it takes no time to be told."""

import errno
import json
import os
import re
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..runs.errors import CommandError
from ..runs.model_names import looks_like_path


DEVICE = re.compile(r"(?P<kind>cpu|gpu|cuda|mps|xpu|npu|hpu|mlu|xla)(:(?P<index>\d+))?")
# Modules of each extra that commands cannot do without, by what they are needed for.
PHONEMES = ("phonemizer", "espeakng_loader", "pypinyin")
EXTRAS = {
    "g2p": PHONEMES,
    "hotwords": (*PHONEMES, "daachorse"),
    "report": ("matplotlib",),
    "serve": ("starlette", "uvicorn", "websockets"),
    "demo": ("gradio",),
    "onnx": ("onnx", "onnxscript"),
    "gguf": ("gguf",),
    "style": ("wetext",),
    "ray": ("ray",),
}


# A folder with one of these is a model, or adapters, which name the model that they belong to.
CHECKPOINT_FILES = ("config.json", "adapter_config.json")
# Encoders alone may also be as FireRedASR publishes its own.
ENCODER_FILES = (*CHECKPOINT_FILES, "cmvn.ark")


def missing_modules(extra: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [name for name in EXTRAS[extra] if find_spec(name) is None]


def need_extra(extra: str, what: str) -> None:
    """Refuse what an extra is missing for.

    Args:
        extra: One of `EXTRAS`.
        what: The option or command that needs it.
    """
    if missing := missing_modules(extra):
        raise CommandError(
            f'{what} needs the extra {extra} (missing: {", ".join(missing)}): pip install "entropy-asr[{extra}]"'
        )


def check_output_folder(folder: Path, option: str) -> None:
    """Refuse a folder that cannot be written, or made; nothing is made yet."""
    existing = folder.absolute()
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise CommandError(f"{option} {folder}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CommandError(f"{option} {folder}: {existing} cannot be written: {_refusal(existing)}")


def check_output_file(path: Path | None, option: str) -> None:
    """Refuse a file that cannot be written."""
    if path is None:
        return
    if path.is_dir():
        raise CommandError(f"{option} {path}: is a folder, not a file")
    check_output_folder(path.parent, option)
    if path.exists() and not os.access(path, os.W_OK):
        raise CommandError(f"{option} {path}: cannot be written: {_refusal(path)}")


def _refusal(path: Path) -> str:
    """Why the system would not let a path be written."""
    is_read_only = hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if is_read_only else errno.EACCES)


def checkpoints_below(folder: Path) -> str:
    """What a message about a folder that is no checkpoint adds: the folders in it that are, if any."""
    below = {path.parent.name for name in CHECKPOINT_FILES for path in folder.glob(f"*/{name}")}
    return f" (in it are: {', '.join(str(folder / name) for name in sorted(below))})" if below else ""


def check_model(model: str | None, option: str = "--model", files: Sequence[str] = CHECKPOINT_FILES) -> None:
    """Refuse a checkpoint that is not on disk and cannot be on the Hub.

    Args:
        model: Folder or Hub id.
        option: How it was given.
        files: A folder has one of these.
    """
    if model is None:
        return
    path = Path(model)
    if path.is_dir():
        if not any((path / name).is_file() for name in files):
            where = checkpoints_below(path)
            raise CommandError(f"{option} {model}: the folder holds no config.json: it is no checkpoint{where}")
    elif path.exists():
        raise CommandError(f"{option} {model}: is a file, not the folder of a checkpoint")
    elif looks_like_path(model):
        raise CommandError(f"{option} {model}: there is no such folder")


def check_folder(folder: str) -> None:
    """Refuse a folder that is not there."""
    if not Path(folder).is_dir():
        raise CommandError(f"{folder}: there is no such folder")


def check_whole_model(folder: Path) -> None:
    """Refuse parts of a model, such as a stage's encoder or language model, which transcribe nothing by themselves."""
    config = folder / "config.json"
    kind = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else "entropy_asr"
    if kind != "entropy_asr":
        raise CommandError(f"{folder} holds a model of type {kind!r}, and type 'entropy_asr' is wanted: a whole model")


def check_dataset(path: str, option: str = "--dataset") -> None:
    """Refuse a data set that is not on disk and cannot be on the Hub."""
    if not Path(path).expanduser().exists() and (looks_like_path(path) or Path(path).suffix in (".parquet", ".arrow")):
        raise CommandError(f"{option} {path}: there is no such folder or file")


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Refuse an address that cannot be listened on."""
    if not 0 <= port <= 65535:
        raise CommandError(f"{option} {port}: ports are 0 to 65535")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            if os.name == "posix":  # as servers do: a port that was closed a moment ago is free
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise CommandError(f"{option} {port}: cannot listen on {host}: {error.strerror}") from error


def find_device(name: str | None) -> str | None:
    """The device as torch names it; "gpu" is the one that torch uses here.

    Raises:
        CommandError: there is none of that kind, or not that many.
    """
    if name is None:
        return None
    import torch

    kind, index = DEVICE.fullmatch(name).group("kind", "index")
    if kind == "cpu":
        return "cpu"
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if here is None or kind not in ("gpu", here.type):
        known = "there is no GPU here that torch can use" if here is None else f"torch uses {here.type} here"
        raise CommandError(f"--device {name}: {known}")
    count = torch.accelerator.device_count()
    if index is not None and int(index) >= count:
        raise CommandError(f"--device {name}: there {'is' if count == 1 else 'are'} {count}, counted from 0")
    return here.type if index is None else f"{here.type}:{int(index)}"
