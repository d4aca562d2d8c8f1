"""GGUF files in parts, as the engine's own tool makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ayllu.config import load_settings
from ayllu.runner.engine import find_engine, tool_path


def split(gguf: Path, start: Path, tensors: int = 3) -> list[Path]:
    """Split a model into files `START-00001-of-...` of some tensors each."""
    program = tool_path(find_engine(load_settings({})).folder, "llama-gguf-split")
    command = [program, "--split", "--split-max-tensors", str(tensors), gguf, start]
    subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=60)
    return sorted(start.parent.glob(f"{start.name}-*-of-*.gguf"))
