"""Downloading a model that a command needs."""

from __future__ import annotations

from ayllu.cli.client import Client, NoRouteError
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire import ProgressLine
from ayllu.errors import AylluError, NotFoundError


async def pull(client: Client, model: str, *, insecure: bool) -> None:
    """Have the server download a model, with progress on stderr.

    Raises NotFoundError, in one sentence, when the model cannot be had.
    """
    body = {"model": model, "insecure": insecure}
    try:
        async with showing() as progress:
            await follow(client.stream("/api/pull", body, ProgressLine), progress)
    except AylluError as error:
        is_unable = isinstance(error, NoRouteError)
        reason = "this server cannot download models" if is_unable else error.sentence
        raise NotFoundError(
            f"model '{model}' is not on this machine and could not be downloaded ({reason}); "
            f"'ayllu create {model} FILE.gguf' makes it from a file"
        ) from error
