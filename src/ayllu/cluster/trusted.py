"""Joining by a secret that all machines of a home or a lab were given: `trusted_lan`.

Both prove that they know it, by an HMAC with a key that scrypt (RFC 7914) stretched, bound to the
door's certificate and to what is asked and granted; the one that joins proves first, so that a
member's door says nothing to strangers. Whoever pretends to be a member gets a proof that can be
tried against guesses, at scrypt's price for each: hence a long secret, and never a default.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import msgspec
import structlog
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ayllu.cluster.authority import requester
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.door import Door, Visitor
from ayllu.cluster.door_client import knock, meet
from ayllu.cluster.door_messages import Admitted, Trusted, shown, statement
from ayllu.cluster.endpoints import join_endpoint
from ayllu.cluster.identity import node_id
from ayllu.cluster.join import Known
from ayllu.cluster.keyring import Grant, Keyring
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.tasks import Tasks
from ayllu.errors import AylluError, BadRequestError, BusyError, ForbiddenError

SHORTEST = 12
RETRY_SECONDS = 15.0
_WRONG_SECONDS = 1.0
_MOST_ADDRESSES = 256
_SALT = b"ayllu trusted lan 1"
_log = structlog.get_logger()


def stretch(secret: str) -> bytes:
    """The key of a secret, 32 bytes; it takes 32 MB and about 0.1 s, so do it once in a thread.

    Raises BadRequestError for a secret that is too short.
    """
    if len(secret) < SHORTEST:
        raise BadRequestError(
            f"the secret of trusted_lan has {len(secret)} characters and needs {SHORTEST} or more"
        )
    return Scrypt(salt=_SALT, length=32, n=1 << 15, r=8, p=1).derive(secret.encode())


class TrustedLan:
    """Lets machines in that know the secret, and joins those that do. `key` is from `stretch`.

    `name` is this machine's for people, `port` tells that of its own door. Whoever made it closes
    it.
    """

    def __init__(
        self,
        door: Door,
        keyring: Keyring,
        name: str,
        known: Callable[[], Known],
        key: bytes,
        port: Callable[[], int],
    ) -> None:
        self._keyring = keyring
        self._name = shown(name)
        self._known = known
        self._key = key
        self._port = port
        self._asking = ""
        self._asked_at: dict[str, float] = {}
        self._tasks = Tasks()
        self._quiet = Quiet()
        door.answer(Trusted, self._asked)

    def notice(self, address: str) -> None:
        """There is a machine whose join door is at `host:port`: try it now and then.

        Nothing is done in an ayllu with others. It does not raise; why it failed is logged, rarely.
        """
        now = time.monotonic()
        if not self._keyring.is_free or self._asking:
            return
        if now - self._asked_at.get(address, -RETRY_SECONDS) < RETRY_SECONDS:
            return
        if len(self._asked_at) >= _MOST_ADDRESSES:
            self._asked_at.clear()
        self._asked_at[address] = now
        self._tasks.start(self._try(address))

    async def join(self, address: str) -> Credentials:
        """Join the ayllu of the machine at a door; where neither has one, one of both makes it.

        An ayllu of this machine alone is given up for it, or the other's for this one. Raises
        BadRequestError, ForbiddenError (it does not know the secret), DoorError.
        """
        self._keyring.check_free()
        if self._asking:
            raise BusyError(f"this machine is joining at {self._asking}")
        self._asking = address
        try:
            return await self._join(address)
        finally:
            self._asking = ""

    async def close(self) -> None:
        """Give up what is under way."""
        await self._tasks.end()

    async def _join(self, address: str) -> Credentials:
        keyring = self._keyring
        about = await meet(address, keyring.clock())
        name = shown(about.name)
        if about.node == keyring.identity.node:
            raise BadRequestError(f"{address} is this machine's own door")
        own = keyring.credentials
        if own is not None and about.cluster == own.cluster:
            return own
        if about.cluster and not about.admin:
            raise ForbiddenError(f"{name} is in an ayllu and does not hold its CA's key")
        request, nonce = keyring.identity.request(), secrets.token_bytes(32)
        async with knock(address) as door:
            port = self._port()
            said = (request, self._name, nonce, own is not None, port)
            asked = Trusted(*said, self._proof("joins", door.leaf, *said))
            reply = await door.ask(asked, Admitted)
            theirs = self._proof("admits", door.leaf, request, nonce, _digest(reply.grant))
        if not hmac.compare_digest(theirs, reply.proof):
            raise ForbiddenError(
                f"{name} at {address} does not know this LAN's secret: its answer was thrown away"
            )
        if reply.grant is None:  # it knocks here
            return keyring.credentials or keyring.create()
        if not keyring.is_free:  # another one joined here meanwhile
            return keyring.member()
        joined = keyring.join(reply.grant)
        _log.info("joined by the LAN's secret", ayllu=joined.cluster, by=name, address=address)
        return joined

    async def _asked(self, request: Trusted, visitor: Visitor) -> Admitted:
        said = (request.request, request.name, request.nonce, request.alone, request.port)
        proof = self._proof("joins", visitor.leaf, *said)
        if not hmac.compare_digest(proof, request.proof):
            await asyncio.sleep(_WRONG_SECONDS)
            raise ForbiddenError("the trusted_lan secrets of the two machines differ")
        node = node_id(requester(request.request))
        door = join_endpoint(visitor.host, request.port)
        if self._gives_way(node, request.alone, door):
            grant = None
            self._tasks.start(self._try(door))
        else:
            grant = self._grant(request.request)
            _log.info("a machine joined by the LAN's secret", node=node, name=shown(request.name))
        proof = self._proof("admits", visitor.leaf, request.request, request.nonce, _digest(grant))
        return Admitted(proof, grant)

    def _gives_way(self, node: str, alone: bool, door: str) -> bool:
        """Whether this machine joins the one that asks, rather than the other way round.

        Who shares an ayllu stays; else who has one; else the one with the smaller id. Raises
        BusyError while this machine joins somewhere else.
        """
        if not self._keyring.is_free:
            return False
        if self._asking and self._asking != door:
            raise BusyError(f"{self._name} is just joining another machine: try again")
        has_one = self._keyring.credentials is not None
        return alone if has_one != alone else node < self._keyring.identity.node

    def _grant(self, request: bytes) -> Grant:
        if self._keyring.credentials is None:
            self._keyring.create()
        known = self._known()
        return self._keyring.grant(request, admin=None, admins=known.admins, peers=known.peers)

    async def _try(self, address: str) -> None:
        try:
            if self._keyring.is_free:
                await self.join(address)
        except AylluError as error:
            self._quiet.warn(
                "a machine of this LAN was not joined", address=address, reason=error.sentence
            )

    def _proof(self, purpose: str, *parts: object) -> bytes:
        return hmac.digest(self._key, statement(f"trusted {purpose}", *parts), "sha256")


def _digest(grant: Grant | None) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode(grant)).digest()
