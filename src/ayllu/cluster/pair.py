"""Pairing two machines by a code that people compare; one at most shares an ayllu with others.

Numeric comparison with a commitment, as in Bluetooth's Secure Simple Pairing (Core Specification,
Vol 2 Part H, 7.2.1): the door promises its nonce, the asker names its own, the door keeps its
promise, and both show six digits of a hash over both keys and nonces. Someone in between has to
choose keys before the nonces are known, and is found out but for one try in a million.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from ayllu.cluster.authority import key_of, requester
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.door import Door, Visitor
from ayllu.cluster.door_client import Caller, DoorError, knock, meet
from ayllu.cluster.door_messages import (
    LARGEST_REQUEST,
    About,
    PairAnswer,
    PairNonce,
    PairOffer,
    PairReveal,
    PairStart,
    PairState,
    shown,
    statement,
)
from ayllu.cluster.identity import is_signed, node_id
from ayllu.cluster.join import Known
from ayllu.cluster.keyring import Grant, Keyring
from ayllu.cluster.pair_session import SECONDS, Pending, Session, said
from ayllu.errors import (
    AylluError,
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
)
from ayllu.registry.limits import end

ASK_SECONDS = 0.5
MOST_TRIES = 5
TRIES_SECONDS = 600.0
_MOST_FAILURES = 5
_LONGEST_REVOKED = LARGEST_REQUEST // 2
_log = structlog.get_logger()


class Pairing:
    """One pairing at a time, begun here or at our door. Whoever made it closes it.

    `name` is this machine's for people; a code can be confirmed for so many seconds.
    """

    def __init__(
        self,
        door: Door,
        keyring: Keyring,
        name: str,
        known: Callable[[], Known],
        seconds: float = SECONDS,
    ) -> None:
        self._keyring = keyring
        self._name = shown(name)
        self._known = known
        self._seconds = seconds
        self._session: Session | None = None
        self._tries: deque[float] = deque(maxlen=MOST_TRIES)
        self._task: asyncio.Task[None] | None = None
        door.answer(PairStart, self._started)
        door.answer(PairReveal, self._revealed)
        door.answer(PairAnswer, self._answered)

    def pending(self) -> tuple[Pending, ...]:
        """What waits for a user, and for two minutes what became of it; at most one."""
        session = self._current()
        return (session.pending(),) if session and session.code else ()

    def confirm(self, id_: str, yes: bool) -> Pending:
        """What this machine's user says of the code.

        Raises NotFoundError, or BadRequestError where it is too late.
        """
        session = self._current()
        if session is None or session.id.hex() != id_ or not session.code:
            raise NotFoundError("there is no such pairing (any more): begin again")
        if session.state != "waiting":
            raise BadRequestError(f"this pairing is {session.state} already")
        session.yes = yes
        session.state = "confirmed"
        if not yes and not session.asked:
            session.end("refused", "this machine's user said no")
        session.changed.set()
        return session.pending()

    async def start(self, address: str) -> Pending:
        """Begin to pair with the machine whose join door is at `host:port`.

        Returns once both machines can show the code. Raises DoorError, RefusedError, BusyError,
        BadRequestError (both are in one ayllu, clocks differ), ForbiddenError (this machine may not
        sign, or somebody is in between).
        """
        before = self._current()
        if before and before.is_open and (before.asked or before.state == "confirmed"):
            raise BusyError(
                f"a pairing with {before.name or 'a machine'} is under way: end it first"
            )
        session = self._session = self._new(address, asked=True)
        try:
            await self._stop()
            await self._agree(session)
        except BaseException:
            if self._session is session:
                self._session = None
            raise
        self._task = asyncio.create_task(self._ask_until_both(session))
        return session.pending()

    async def close(self) -> None:
        """Give up what is under way."""
        await self._stop()
        self._session = None

    async def _stop(self) -> None:
        if self._task is not None:
            await end([self._task])
            self._task = None

    # The machine that asks.

    async def _agree(self, session: Session) -> None:
        """Exchange keys and nonces until the code is known."""
        about = await meet(session.address, self._keyring.clock())
        if about.node == self._keyring.identity.node:
            raise BadRequestError(f"{session.address} is this machine's own door")
        own = self._own_unless(about.cluster)
        _check_signer(own, about.cluster, shown(about.name))
        async with knock(session.address) as door:
            _check_key(door, about)
            request = self._keyring.identity.request()
            asked = PairStart(request, self._name, own.cluster if own else "")
            offer = await door.ask(asked, PairOffer)
        key = requester(offer.request)
        if node_id(key) != about.node or offer.gives == (own is not None):
            raise DoorError(f"{shown(about.name)} does not keep to the way of pairing")
        session.id, session.gives = offer.pairing, offer.gives
        session.know(offer.name, key, offer.request)
        nonce = secrets.token_bytes(32)
        async with knock(session.address) as door:
            _check_key(door, about)
            theirs = (await door.ask(PairReveal(offer.pairing, nonce), PairNonce)).nonce
        promised = _commitment(request, offer.request, offer.gives, theirs)
        if not hmac.compare_digest(promised, offer.commitment):
            raise ForbiddenError(
                f"{session.name} did not keep its promise: somebody may be in between"
            )
        session.compare(request, offer.request, nonce, theirs)

    async def _ask_until_both(self, session: Session) -> None:
        """Tell the door what our user says until both have said something."""
        failures = 0
        while session.is_open:
            yes = session.yes
            try:
                state = await self._tell(session, None)
                failures = 0
                if yes is False:
                    session.end("refused", "this machine's user said no")
                elif state.yes is False:
                    session.end("refused", f"the user of {session.name} said no")
                elif yes and state.yes:
                    await self._finish(session, state)
            except DoorError as error:
                failures += 1
                if failures >= _MOST_FAILURES or yes is False:
                    session.end("failed", error.sentence)
            except AylluError as error:
                session.end("failed", error.sentence)
            if session.is_open and session.yes is yes:
                session.changed.clear()
                try:
                    async with asyncio.timeout(ASK_SECONDS):
                        await session.changed.wait()
                except TimeoutError:
                    continue

    async def _finish(self, session: Session, state: PairState) -> None:
        if session.gives:
            if state.grant is None:
                raise BadRequestError(f"{session.name} agreed, and gave no certificate")
            self._keyring.join(state.grant)
        else:
            grant = self._grant(session.request)
            if len(grant.revoked) > _LONGEST_REVOKED:  # the bus will tell
                grant = msgspec.structs.replace(grant, revoked=b"")
            await self._tell(session, grant)
        self._done(session)

    async def _tell(self, session: Session, grant: Grant | None) -> PairState:
        async with knock(session.address) as door:
            if key_of(door.leaf) != session.key:
                raise ForbiddenError(f"another machine answers for {session.name} now")
            words = said(session, grant)
            signature = self._keyring.identity.sign(words)
            return await door.ask(PairAnswer(session.id, session.yes, signature, grant), PairState)

    # The machine that is asked.

    async def _started(self, request: PairStart, visitor: Visitor) -> PairOffer:
        own = self._own_unless(request.cluster)
        key = requester(request.request)
        if own is not None and request.cluster not in ("", own.cluster):
            raise BadRequestError(
                f"{self._name} is in the ayllu {own.cluster}, and the machine that asks in "
                f"{request.cluster}, both with others: run `ayllu leave` on one of them first"
            )
        _check_signer(own, request.cluster, "the machine that asks")
        if own is not None:
            own.check_not_revoked(node_id(key))
        current = self._current()
        if current is not None and current.is_open:
            raise BusyError(
                f"{self._name} is being paired with another machine: try again in a while"
            )
        self._count_try()
        identity = self._keyring.identity
        session = self._new(visitor.host, asked=False)
        session.gives = not request.cluster
        session.know(request.name, key, request.request)
        session.own_request, session.nonce = identity.request(), secrets.token_bytes(32)
        self._session = session
        promise = _commitment(session.request, session.own_request, session.gives, session.nonce)
        return PairOffer(session.id, promise, session.own_request, self._name, session.gives)

    async def _revealed(self, request: PairReveal, visitor: Visitor) -> PairNonce:
        session = self._of(request.pairing)
        if session.code:  # once: a second nonce would be chosen to fit
            raise ForbiddenError("this pairing has its code already")
        session.compare(session.request, session.own_request, request.nonce, session.nonce)
        _log.info(
            "a machine asks to be paired", name=session.name, host=visitor.host, code=session.code
        )
        return PairNonce(session.nonce)

    async def _answered(self, request: PairAnswer, _: Visitor) -> PairState:
        session = self._of(request.pairing)
        words = said(session, request.grant, request.yes)
        if not session.code or not is_signed(session.key, request.signature, words):
            raise ForbiddenError("this answer is not of the machine that is being paired")
        if session.is_open and request.yes is False:
            session.end("refused", f"the user of {session.name} said no")
        if session.is_open and request.yes and session.yes:
            if session.gives:
                if self._keyring.credentials is None:
                    self._keyring.create()
                session.grant = self._grant(session.request)
                self._done(session)
            elif request.grant is not None:
                self._keyring.join(request.grant)
                self._done(session)
        agreed = session.state in ("confirmed", "paired") or None
        yes = False if session.state == "refused" else agreed
        return PairState(yes, session.grant)

    def _of(self, id_: bytes) -> Session:
        session = self._current()
        if session is None or session.asked or not hmac.compare_digest(session.id, id_):
            raise NotFoundError("this pairing is over: begin again")
        return session

    def _count_try(self) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._tries) == MOST_TRIES and now - self._tries[0] < TRIES_SECONDS:
            raise BusyError(
                f"{MOST_TRIES} pairings were tried with {self._name} within ten minutes: wait, or "
                "use `ayllu invite`"
            )
        self._tries.append(now)

    # Both.

    def _current(self) -> Session | None:
        session = self._session
        if session is not None and session.is_over:
            self._session = session = None
        return session

    def _own_unless(self, other: str) -> Credentials | None:
        """Our ayllu; None where it is of this machine alone and the other machine has one."""
        return None if other and self._keyring.is_alone else self._keyring.credentials

    def _new(self, address: str, *, asked: bool) -> Session:
        return Session(address, asked=asked, clock=self._keyring.clock, seconds=self._seconds)

    def _grant(self, request: bytes) -> Grant:
        known = self._known()
        return self._keyring.grant(request, admin=None, admins=known.admins, peers=known.peers)

    def _done(self, session: Session) -> None:
        session.end("paired", f"{session.name} and this machine are in one ayllu now")
        _log.info("a machine was paired", node=session.node, name=session.name)


def _check_signer(own: Credentials | None, other: str, name: str) -> None:
    """Raises where a member cannot let a machine in, which is in the ayllu `other`, or none."""
    if own is None:
        return
    if other == own.cluster:
        raise BadRequestError(f"{name} is in the same ayllu already")
    if not own.is_admin:
        raise ForbiddenError(
            f"{own.node} is in the ayllu {own.cluster} and does not hold its CA's key: pair with "
            "an admin machine (`ayllu nodes` shows which are)"
        )


def _check_key(door: Caller, about: About) -> None:
    """Raises DoorError where another machine answers than before."""
    if node_id(key_of(door.leaf)) != about.node:
        raise DoorError(f"another machine answers at {door.address} than a moment ago")


def _commitment(asker: bytes, door: bytes, gives: bool, nonce: bytes) -> bytes:
    """The promise of a nonce, for these two machines (their requests for certificates)."""
    words = statement("pair promise", asker, door, gives, nonce)
    return hashlib.sha256(words).digest()
