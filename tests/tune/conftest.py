"""What was trained a little, once for all tests here that need it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tune_maker import Trained, train


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, torch_python: Path, mini_gguf: Path
) -> Trained:
    """An adapter of mini's, and all its weights with some noise, with their losses in PyTorch."""
    return train(torch_python, mini_gguf, tmp_path_factory.mktemp("trained"))
