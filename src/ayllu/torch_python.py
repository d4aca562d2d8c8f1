"""Which Python has PyTorch: ours, or one beside it that only converting and training start."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from ayllu.errors import UnsupportedError

NEEDED = ("torch", "transformers")


def remedy(extra: str) -> str:
    """What installs the packages of one of our extras."""
    return f"`pip install 'ayllu[{extra}]'`, in a checkout `make extras`, or set AYLLU_TORCH_PYTHON"


def find_torch_python(named: str, extra: str = "import") -> Path:
    """The Python that is `named`, else ours, else that of the environment `<ours>-torch`.

    `extra` is the one of ours that installs what is needed. Raises UnsupportedError where there is
    none, with what to do. It is started to see more.
    """
    if named:
        path = Path(named).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            raise UnsupportedError(f"AYLLU_TORCH_PYTHON is {path}, which is not a program")
        return path
    if all(find_spec(name) for name in NEEDED):
        return Path(sys.executable)
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    path = Path(f"{sys.prefix}-torch", folder, name)
    if not path.exists():
        raise UnsupportedError(f"this needs PyTorch, which is not installed: {remedy(extra)}")
    return path
