"""The machines of the neighbourhood: heard by beacon, paired, or let in by a secret.

Whatever a beacon says is a hint: nothing is believed of it but that it is worth a try.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from ayllu import __version__
from ayllu.cluster.beacon import Beacon
from ayllu.cluster.door import Door
from ayllu.cluster.endpoints import Places, join_endpoint, split_endpoint
from ayllu.cluster.ground import DOOR
from ayllu.cluster.hints import MAGIC, VERSION, Hint, Message, tag_of
from ayllu.cluster.interfaces import Interface
from ayllu.cluster.join import Known
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.pair import Pairing
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.trusted import TrustedLan
from ayllu.cluster.view import Sighting
from ayllu.config import CLUSTER_PORT
from ayllu.errors import BadRequestError, NotFoundError

BEACON = 2
"""The beacon's UDP port, counted from the setting `cluster_port`."""
_TRY_SECONDS = 0.5
_OPEN = frozenset({"waiting", "confirmed"})


class Meeting(Struct, frozen=True):
    """A machine that could be paired with, or is being so.

    Of a pairing there are `digits` to compare, a `state` (`waiting` for this machine's owner,
    `confirmed` here, `paired`, `refused`, `failed` or `expired`), and a `sentence` how it ended.
    """

    node: str
    name: str
    address: str
    pairing: str = ""
    digits: str = ""
    state: str = ""
    sentence: str = ""


class Nearby:
    """Hears and is heard. Whoever opens it closes it; `key` is the trusted network's, if any."""

    def __init__(
        self,
        door: Door,
        keyring: Keyring,
        own: OwnRecord,
        known: Callable[[], Known],
        *,
        interfaces: tuple[Interface, ...],
        key: bytes | None,
    ) -> None:
        self._keyring, self._own = keyring, own
        name = own.record.name
        self._beacon = Beacon(keyring.identity.node, self._say, interfaces)
        self._pairing = Pairing(door, keyring, name, known)
        self._trusted = (
            TrustedLan(door, keyring, name, known, key, self._door_port) if key else None
        )
        self._tasks = Tasks()
        self._addresses: set[str] = set()

    async def open(self, port: int, on_change: Callable[[], None]) -> None:
        """Begin; port 0 is for machines that do without beacons."""
        self._on_change = on_change
        self._beacon.subscribe(self._heard)
        if port:
            await self._beacon.open(port)
        if self._trusted is not None:
            self._tasks.start(self._try_again())

    async def close(self) -> None:
        """Be silent and deaf."""
        await self._tasks.end()
        await self._beacon.close()
        await self._pairing.close()
        if self._trusted is not None:
            await self._trusted.close()

    def seen(self) -> tuple[Sighting, ...]:
        """The machines that are not of this one's ayllu."""
        return tuple(
            Sighting(
                hint.message.node,
                hint.message.name,
                hint.addresses,
                hint.message.version,
                hint.message.tag,
            )
            for hint in self._strangers()
        )

    def heard(self) -> tuple[Hint, ...]:
        """All machines that are heard."""
        return self._beacon.heard()

    @property
    def hears_itself(self) -> bool:
        """Whether a beacon of this machine came back to it."""
        return self._beacon.hints.hears_itself

    def places(self) -> Mapping[str, Places]:
        """Where the buses of machines of this ayllu are, by their ids."""
        return {
            hint.message.node: (hint.places(hint.message.bus), hint.places(hint.message.bulk))
            for hint in self._beacon.heard()
            if hint.message.tag and hint.message.tag == self._tag
        }

    def doors(self) -> tuple[str, ...]:
        """Where buses of machines that were paired by address may be."""
        return tuple(self._addresses)

    # Pairing.

    def meetings(self) -> tuple[Meeting, ...]:
        """The pairing that is under way, and machines that can be paired with."""
        pending = self._pairing.pending()
        under_way = [
            Meeting(one.node, one.name, one.address, one.id, one.code, one.state, one.sentence)
            for one in pending
        ]
        others = [
            Meeting(hint.message.node, hint.message.name, place)
            for hint in self._strangers()
            for place in hint.places(hint.message.join)[:1]
            if all(hint.message.node != one.node for one in pending if one.state in _OPEN)
        ]
        return (*under_way, *others)

    async def pair(self, text: str) -> None:
        """Begin to pair with a machine, by its name, its id, or the address of its join door."""
        place = self._place_of(text)
        await self._pairing.start(place)
        host, port = split_endpoint(place)
        self._addresses.add(join_endpoint(host, port - DOOR))

    def confirm(self, pairing: str, *, accept: bool) -> None:
        """This machine's owner says whether the digits are the same."""
        self._pairing.confirm(pairing, accept)

    def _place_of(self, text: str) -> str:
        """The join door that is meant. Raises NotFoundError or BadRequestError."""
        strangers = [hint for hint in self._strangers() if hint.places(hint.message.join)]
        found = [hint for hint in strangers if hint.message.node == text.lower()]
        found = found or [one for one in strangers if one.message.name.lower() == text.lower()]
        if len(found) > 1:
            ids = ", ".join(one.message.node for one in found)
            raise BadRequestError(f"several machines are named {text!r}: say which id ({ids})")
        if found:
            return found[0].places(found[0].message.join)[0]
        try:
            ipaddress.ip_address(text)
        except ValueError:
            pass
        else:
            return join_endpoint(text, CLUSTER_PORT + DOOR)
        try:
            split_endpoint(text)
        except ValueError as error:
            names = ", ".join(sorted(hint.message.name for hint in strangers)) or "none"
            raise NotFoundError(
                f"no machine {text!r} shows itself (there are: {names}): run `ayllu pair` there, "
                "or give its address"
            ) from error
        return text

    # The beacon.

    @property
    def _tag(self) -> str:
        own = self._keyring.credentials
        return tag_of(own.cluster) if own is not None else ""

    def _strangers(self) -> list[Hint]:
        tag = self._tag
        return [one for one in self._beacon.heard() if not tag or one.message.tag != tag]

    def _say(self) -> Message:
        """What the beacon says at this moment."""
        me = self._own.record
        return Message(
            magic=MAGIC,
            format=VERSION,
            node=self._keyring.identity.node,
            name=me.name,
            tag=self._tag,
            version=__version__,
            join=_port(me.endpoints.join),
            bus=_port(me.endpoints.bus),
            bulk=_port(me.endpoints.bulk),
            time=time.time(),
        )

    def _heard(self) -> None:
        self._try()
        self._on_change()

    async def _try_again(self) -> None:
        """One machine is tried at a time, so that the others have to be tried later."""
        while True:
            await asyncio.sleep(_TRY_SECONDS)
            self._try()

    def _try(self) -> None:
        """Join whoever knows the secret of this network."""
        if self._trusted is not None and self._keyring.is_free:
            for hint in self._beacon.heard():
                for place in hint.places(hint.message.join):
                    self._trusted.notice(place)

    def _door_port(self) -> int:
        return _port(self._own.record.endpoints.join)


def _port(endpoints: tuple[str, ...]) -> int:
    return split_endpoint(endpoints[0])[1] if endpoints else 0
