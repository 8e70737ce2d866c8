# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How much code there is in a file."""

import ast
import tokenize
from pathlib import Path


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    documentation = {line for node in strings for line in range(node.lineno, node.end_lineno + 1)}
    kinds = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in kinds and token.start[0]]
    code = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    return len(code - documentation)
