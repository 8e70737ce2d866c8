# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`entropy-asr export`: the encoder as ONNX, the language model of transformers or as GGUF, without this package."""

import argparse
from pathlib import Path
from typing import Any

from .checks import CommandError, check_model, check_output_folder, need_extra
from .models import default_model, quiet_libraries
from .options import add_command, positive, whole


PARTS = ("encoder", "language_model")
# Of the encoder's graphs, where they are not given.
DEFAULTS = {"int8": False, "chunk_ms": 640, "left_chunks": 4}
GGUF_TYPES = ("f32", "f16", "bf16", "q8_0")


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands,
        "export",
        run,
        "Write encoder and phoneme head as ONNX (extra: onnx), and the language model as one of transformers, or for "
        "llama.cpp (extra: gguf).",
    )
    parser.add_argument("--model", metavar="M", help="model folder or Hub id (default: the small bundled checkpoint)")
    parser.add_argument("-o", "--output_dir", type=Path, required=True, metavar="D", help="folder to write into")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, help="default: all that the model has; the language model in a folder"
    )
    parser.add_argument(
        "--int8", action="store_true", default=None, help="the encoder's graphs with weights of 8 bits too"
    )
    parser.add_argument(
        "--gguf",
        choices=GGUF_TYPES,
        metavar="TYPE",
        help=f"the language model as GGUF too, its matrices as {', '.join(GGUF_TYPES)} (extra: gguf)",
    )
    parser.add_argument("--chunk_ms", type=positive, metavar="MS", help="of the streaming graph (default: 640)")
    parser.add_argument("--left_chunks", type=whole, metavar="N", help="chunks that it sees before (default: 4)")


def run(args: argparse.Namespace) -> int:
    """Write the parts, and print the files.

    Raises:
        CommandError: an extra is missing, the model cannot be loaded, or does not have that part.
        ValueError: a part cannot be exported.
    """
    check_model(args.model)
    check_output_folder(args.output_dir, "--output_dir")
    given = {name: getattr(args, name) for name in DEFAULTS if getattr(args, name) is not None}
    if args.parts is None or "encoder" in args.parts:
        need_extra("onnx", "the encoder of export")
    elif given:
        raise CommandError(f"--{next(iter(given))} is of the encoder, which --parts leaves out")
    if args.gguf is not None:
        need_extra("gguf", "--gguf")
        if args.parts is not None and "language_model" not in args.parts:
            raise CommandError("--gguf is of the language model, which --parts leaves out")
    quiet_libraries()
    from entropy_asr.hub_cards.model_export import export_encoder, export_language_model, list_written

    name = args.model or str(default_model())
    model, processor, has_language_model = _load(name)
    parts = args.parts or (PARTS if has_language_model else PARTS[:1])
    if "language_model" in parts and not has_language_model:
        raise CommandError(f"--parts language_model: {name} is a CTC model, which has none")
    if args.gguf is not None and not has_language_model:
        raise CommandError(f"--gguf: {name} is a CTC model, which has no language model")
    if "encoder" in parts:
        export_encoder(model, processor, args.output_dir, **DEFAULTS | given)
    if "language_model" in parts:
        export_language_model(model, processor.tokenizer, args.output_dir / "language_model")
    if args.gguf is not None:
        from entropy_asr.hub_cards.gguf_export import export_gguf

        export_gguf(model, processor.tokenizer, args.output_dir, args.gguf)
    for path, size in list_written([args.output_dir]):
        print(f"{size:>12,}  {path}")
    return 0


def _load(name: str) -> tuple[Any, Any, bool]:
    """Model, processor, and whether there is a language model in it.

    Raises:
        CommandError: it cannot be loaded, or is of another kind.
    """
    from types import SimpleNamespace

    from entropy_asr.modeling import EntropyASRPhonemeTokenizer, EntropyASRProcessor
    from entropy_asr.modeling.components_entropy_asr import CTC_MODEL, FULL_MODEL
    from entropy_asr.modeling.speech_models_entropy_asr import load_own_extractor, load_speech_model

    try:
        model = load_speech_model(name)
        if model.config.model_type == FULL_MODEL:
            return model, EntropyASRProcessor.from_pretrained(name), True
        if model.config.model_type != CTC_MODEL:
            raise ValueError(f"its type is {model.config.model_type!r}: no phoneme head")
        tokenizer = EntropyASRPhonemeTokenizer.from_pretrained(name)
        parts = {"feature_extractor": load_own_extractor(name), "phoneme_tokenizer": tokenizer}
        return model, SimpleNamespace(**parts), False
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot export model {name}: {error}") from error
