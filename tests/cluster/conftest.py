"""What the cluster's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster_machines import Machines


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """Machines within this process that share a clock."""
    with ExitStack() as stack:
        yield Machines(tmp_path, stack)
