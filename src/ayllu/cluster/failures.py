"""Tasks that nobody waits for: a bug that ends one is logged."""

from __future__ import annotations

import asyncio

import structlog

_log = structlog.get_logger(__name__)


def log_failure(task: asyncio.Task[None]) -> None:
    """Log what ended a task, if it was an error: a done callback."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of the cluster failed", exc_info=error)
