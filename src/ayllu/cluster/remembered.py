"""The machines that were met, with their addresses: where to look for them at the next start.

They lie in `<home>/cluster/known.json`. What is there is no secret and no proof: whoever answers at
an address still has to show a certificate.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Struct, structs

from ayllu.cluster.endpoints import split_endpoint
from ayllu.cluster.folder import write
from ayllu.cluster.identity import Time
from ayllu.cluster.record import Record
from ayllu.errors import StoreError

FILE = "known.json"
MOST = 256
DAYS = 30
"""Machines that were not met for so long are forgotten."""
_PLACES = 4
_Endpoints = Annotated[tuple[str, ...], Meta(max_length=_PLACES)]
_DAY = 86400.0
_log = structlog.get_logger()


class Met(Struct, frozen=True):
    """A machine, where it listens (`host:port`), and when it was met last.

    The doors of admin machines renew a certificate that has run out, when no bus can be entered.
    """

    node: str
    name: str
    bus: _Endpoints
    bulk: _Endpoints
    met: Time
    peer: _Endpoints = ()
    join: _Endpoints = ()
    admin: bool = False


class Remembered:
    """What the file holds, and what was learned since; `save` it from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._met = {one.node: one for one in _read(path)}
        self._changed = False

    def note(self, record: Record, now: Time | None = None) -> None:
        """Remember where a member listens."""
        met = Met(
            node=record.node,
            name=record.name,
            bus=_places(record.endpoints.bus),
            bulk=_places(record.endpoints.bulk),
            met=time.time() if now is None else now,
            peer=_places(record.endpoints.peer),
            join=_places(record.endpoints.join),
            admin=record.admin,
        )
        before = self._met.get(record.node)
        self._met[record.node] = met
        if before is None or structs.replace(before, met=met.met) != met:
            self._changed = True

    def forget(self, node: str) -> None:
        """A machine is no member any more."""
        if self._met.pop(node, None) is not None:
            self._changed = True

    def latest(self, most: int) -> tuple[Met, ...]:
        """The machines that were met last, the latest first."""
        return tuple(sorted(self._met.values(), key=lambda one: -one.met)[:most])

    def save(self, *, always: bool = False) -> None:
        """Write it if addresses have changed, or in any case; what cannot be written is logged."""
        if not self._changed and not always:
            return
        self._changed = False
        try:
            write(self._path, msgspec.json.encode(self.latest(MOST)))
        except StoreError as error:
            _log.warning("the addresses of the ayllu cannot be kept", reason=error.sentence)


def _read(path: Path) -> tuple[Met, ...]:
    """What was saved less what is too old; nothing where the file is missing or damaged."""
    try:
        known = msgspec.json.decode(path.read_bytes(), type=tuple[Met, ...])
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("the addresses of the ayllu cannot be read", path=str(path), reason=str(error))
        return ()
    oldest = time.time() - DAYS * _DAY
    return tuple(one for one in known[:MOST] if one.met > oldest)


def _places(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Those that can be connected to from elsewhere: link-local ones need an interface of ours."""
    return tuple(text for text in texts if _is_far(text))[:_PLACES]


def _is_far(text: str) -> bool:
    try:
        host, _ = split_endpoint(text)
    except ValueError:
        return False
    return not host.lower().startswith("fe80:") and "%" not in host
