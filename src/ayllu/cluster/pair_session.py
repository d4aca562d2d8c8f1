"""A pairing under way: what both machines know of it, how it ends, and what a user sees."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from ayllu.cluster.door_messages import shown, statement
from ayllu.cluster.identity import Time, node_id
from ayllu.cluster.keyring import Grant

SECONDS = 120.0
_AGREE_SECONDS = 15.0

State = Literal["waiting", "confirmed", "paired", "refused", "expired", "failed"]


class Pending(Struct, frozen=True):
    """A pairing for people. `asked` says that it was begun here; `sentence` how it ended.

    `code` has six digits, the same on both machines or somebody is in between. `waiting` is for
    this machine's user, `confirmed` for the other's; `expires` in seconds since 1970.
    """

    id: str
    node: str
    name: str
    address: str
    code: str
    asked: bool
    expires: Time
    state: State
    sentence: str


class Session:
    """One pairing. `address` is the other machine's door, or its host where it asked.

    `gives` says that the machine whose door was asked signs. From its code on it lasts `seconds`,
    and can be looked at for as long again.
    """

    def __init__(
        self, address: str, *, asked: bool, clock: Callable[[], Time], seconds: float
    ) -> None:
        self.id = secrets.token_bytes(16)
        self.address = address
        self.asked = asked
        self.gives = True
        self.name = ""
        self.node = ""
        self.request = b""
        self.own_request = b""
        self.nonce = b""
        self.code = ""
        self.yes: bool | None = None
        self.grant: Grant | None = None
        self.changed = asyncio.Event()
        self.sentence = ""
        self._key: ec.EllipticCurvePublicKey | None = None
        self._state: State = "waiting"
        self.transcript = b""
        self._clock = clock
        self._seconds = seconds
        self._expires = clock() + _AGREE_SECONDS
        self._deadline = time.monotonic() + _AGREE_SECONDS

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        """The other machine's key, once it is known."""
        assert self._key is not None  # noqa: S101 - `know` comes before all uses
        return self._key

    @property
    def state(self) -> State:
        """Where it stands."""
        if self._state in ("waiting", "confirmed") and time.monotonic() > self._deadline:
            self.end("expired", "nobody confirmed the code in time on both machines: begin again")
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state

    @property
    def is_open(self) -> bool:
        """Whether it can still come to a good end."""
        return self.state in ("waiting", "confirmed")

    @property
    def is_over(self) -> bool:
        """Whether nobody needs to look at it any more."""
        return not self.is_open and time.monotonic() > self._deadline + self._seconds

    def know(self, name: str, key: ec.EllipticCurvePublicKey, request: bytes) -> None:
        """Note whom it is with: its name for people, its key, its request for a certificate."""
        self.name, self.node, self._key, self.request = shown(name), node_id(key), key, request

    def compare(self, asker: bytes, door: bytes, asker_nonce: bytes, door_nonce: bytes) -> None:
        """Make the code of both requests (each has its machine's key) and both nonces."""
        words = statement("pair code", asker, door, self.gives, asker_nonce, door_nonce)
        self.transcript = hashlib.sha256(words).digest()
        self.code = f"{int.from_bytes(self.transcript[:8], 'big') % 1_000_000:06d}"
        self._expires = self._clock() + self._seconds
        self._deadline = time.monotonic() + self._seconds

    def end(self, state: State, sentence: str) -> None:
        """It is over."""
        self._state, self.sentence = state, sentence

    def pending(self) -> Pending:
        """For people."""
        return Pending(
            self.id.hex(),
            self.node,
            self.name,
            self.address,
            self.code,
            self.asked,
            self._expires,
            self.state,
            self.sentence,
        )


def said(session: Session, grant: Grant | None, yes: bool | None = None) -> bytes:
    """What the asker signs: its answer to this very code, and the grant if it is the one who signs.

    `yes` is given where it is read, else it is the session's own.
    """
    answer = session.yes if session.asked else yes
    content = hashlib.sha256(msgspec.msgpack.encode(grant)).digest()
    return statement("pair answer", session.transcript, answer, content)
