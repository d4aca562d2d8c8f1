"""`ayllu serve`: check what can be checked, take the port, run until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys

import click

from ayllu.config import Address, Settings
from ayllu.errors import AylluError

GRACE_SECONDS = 5
"""How long answers under way may take to end after the first signal; a second one ends them now."""


@click.command()
def serve() -> None:
    """Start the server.

    It listens on 127.0.0.1:11434 unless AYLLU_HOST (or OLLAMA_HOST) says otherwise.
    """
    from ayllu.config import load_settings
    from ayllu.log import configure_log

    settings = load_settings()
    configure_log(debug=settings.debug)
    _check_keys(settings)
    with open_socket(settings.host) as bound:
        _run(settings, bound)


def open_socket(address: Address) -> socket.socket:
    """A bound socket. Raises AylluError naming who has the port, where the system tells."""
    from ayllu.system import port_owner

    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address.host or "0.0.0.0",  # noqa: S104 - an empty host asks for every address
            address.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AylluError(f"cannot listen on {address.host}: {error.strerror}") from error
    try:
        if sys.platform != "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(target)
        bound.listen(2048)
    except OSError as error:
        bound.close()
        owner = port_owner(address.port)
        by = f": {owner} has it" if owner else ""
        raise AylluError(
            f"cannot listen on {address.host} port {address.port} ({error.strerror}){by}; stop it, "
            "or choose another port with AYLLU_HOST=127.0.0.1:PORT"
        ) from error
    return bound


def _check_keys(settings: Settings) -> None:
    """Other machines are let in by key only, unless the user says that he wants it otherwise."""
    if settings.api_keys or settings.no_auth or _is_loopback(settings.host.host):
        return
    raise AylluError(
        f"listening on {settings.host.host} lets other machines in: set AYLLU_API_KEYS to a long "
        "random key for them, or AYLLU_NO_AUTH=1 to let everybody in"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(settings: Settings, bound: socket.socket) -> None:
    import structlog
    import uvicorn

    from ayllu.cli.background import pid_file
    from ayllu.runner.engine import find_engine
    from ayllu.server.app import create_app, end_answers, end_watching

    class Server(uvicorn.Server):
        """Ends answers that go on too long itself, with a last line that says why."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            end_watching(app)
            asyncio.get_running_loop().call_later(GRACE_SECONDS, end_answers, app)
            await super().shutdown(sockets)

    engine = find_engine(settings)
    app = create_app(settings, engine)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=settings.debug,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2 * GRACE_SECONDS,
    )
    host, port = bound.getsockname()[:2]
    structlog.get_logger(__name__).info(
        "ayllu is listening",
        url=Address("http", host, port).url,
        models=str(settings.models),
        engine=engine.version,
    )
    # uvicorn raises the signal that ended it once more, for whoever listened before.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    note = pid_file(settings)
    with contextlib.suppress(OSError):  # a home that cannot be written is no reason not to serve
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(os.getpid()), "ascii")
    try:
        Server(config).run(sockets=[bound])
    finally:
        with contextlib.suppress(OSError):
            note.unlink()
