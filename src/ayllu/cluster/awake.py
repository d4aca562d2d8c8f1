"""What runs once this machine takes part in anything: its identity, the join door, and its ayllu.

`Part` is what only a member runs. It follows the credentials: it is opened when the machine joins,
goes on with a new certificate or list of the revoked, and is closed when the machine leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

import structlog

from ayllu.cluster import choices
from ayllu.cluster.choices import Choices
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.diagnose import Finding, Here, report
from ayllu.cluster.door import Door
from ayllu.cluster.ground import DOOR, Ground
from ayllu.cluster.identity import opened
from ayllu.cluster.interfaces import hosts, interfaces
from ayllu.cluster.invite import Invites, decode, encode
from ayllu.cluster.join import Admission, Known, join, keep_renewed
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.listening import bind_each, endpoint
from ayllu.cluster.nearby import BEACON, Nearby
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.part import Part
from ayllu.cluster.peers import Peers
from ayllu.cluster.probe import Others, look_around
from ayllu.cluster.record import Endpoints
from ayllu.cluster.surroundings import Surroundings
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.trusted import stretch
from ayllu.cluster.tunnel import Tunnel
from ayllu.cluster.view import Member, addresses
from ayllu.errors import AylluError, BadRequestError, ForbiddenError

TRUSTED_SECONDS = 5.0
"""How long a machine waits for one that knows the secret, before it makes an ayllu itself."""
_log = structlog.get_logger(__name__)


class Awake:
    """An identity in use. `open` it before anything else; whoever made it closes it.

    `on_change` is called when something of the others is different, `on_problem` told of what is
    wrong.
    """

    def __init__(
        self,
        around: Surroundings,
        own: OwnRecord,
        on_change: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._around, self._own = around, own
        self._settings = around.parts.settings
        self._on_change, self._on_problem = on_change, on_problem
        self._stack = ExitStack()
        self._turn = asyncio.Lock()
        self._tasks = Tasks()
        self._part: Part | None = None
        self._joined = asyncio.Event()
        self._followed: Credentials | None = None
        self._door: Door | None = None
        self._nearby: Nearby | None = None

    async def open(self) -> None:
        """Use the identity, open the join door, and take part in the ayllu if there is one.

        Raises AylluError where the identity or the door cannot be had.
        """
        settings, first = self._settings, self._settings.cluster_port
        self._interfaces = interfaces(settings.cluster_interfaces)
        identity = await asyncio.to_thread(self._stack.enter_context, opened(settings.home))
        self._keyring = Keyring(identity)
        self._choices = choices.load(identity.folder)
        self._invites = Invites(self._keyring)
        name = self._choices.name or settings.node_name
        self._door = Door(self._keyring, name)
        Admission(self._door, self._keyring, self._invites, self._known)
        listeners = bind_each(hosts(self._interfaces), first + DOOR if first else 0)
        await self._door.open(listeners)
        join_at = tuple(map(endpoint, listeners))
        self._own.change(epoch=identity.epoch, name=name, endpoints=Endpoints(join=join_at))
        secret = self._choices.trusted_lan or settings.trusted_lan
        self._nearby = Nearby(
            self._door,
            self._keyring,
            self._own,
            self._known,
            interfaces=self._interfaces,
            key=await asyncio.to_thread(stretch, secret) if secret else None,
        )
        self._keyring.watch(lambda: self._tasks.start(self._follow()))
        await self._follow()
        await self._nearby.open(first + BEACON if first else 0, self._hear)
        self._tasks.start(keep_renewed(self._keyring, self._admin_doors))

    async def close(self) -> None:
        """Use the identity no more."""
        await self._tasks.end()
        if self._nearby is not None:
            await self._nearby.close()
        async with self._turn:
            await self._close_part()
        if self._door is not None:
            await self._door.close()
        await asyncio.to_thread(self._stack.close)
        self._own.change(node="", admin=False, endpoints=Endpoints())

    def has_moved(self) -> bool:
        """Whether this machine has other addresses than those that it listens at.

        Those of IPv6 come and go by themselves: they count where there are no others. Without any
        network it waits where it is, and is back at once with its cable.
        """
        now = interfaces(self._settings.cluster_interfaces)
        if all(one.loopback for one in now) and not all(one.loopback for one in self._interfaces):
            return False
        return _lasting(hosts(now)) != _lasting(hosts(self._interfaces))

    # What it is now.

    @property
    def ayllu(self) -> str:
        """The ayllu's id; empty outside of any."""
        return self._keyring.credentials.cluster if self._keyring.credentials else ""

    @property
    def peers(self) -> Peers | None:
        """The way to the others."""
        return self._part.peers if self._part is not None else None

    @property
    def tunnel(self) -> Tunnel | None:
        """The way to the others for streams of bytes."""
        return self._part.tunnel if self._part is not None else None

    def members(self) -> tuple[Member, ...]:
        """The others that are known now."""
        return self._part.members() if self._part is not None else ()

    async def examine(self, problem: str) -> tuple[Finding, ...]:
        """Why the others are there, or are not. It takes some seconds."""
        own, part, me = self._keyring.credentials, self._part, self._own.record
        known = Others(
            members=self.members(),
            met=part.met() if part is not None else (),
            heard=self.nearby.heard(),
            named=part.named() if part is not None else {},
            is_revoked=lambda node: own is not None and node in own.revoked,
        )
        others = await look_around(known)
        here = Here(
            name=me.name,
            node=me.node,
            version=me.version,
            now=self._keyring.clock(),
            addresses=addresses(me),
            ayllu=self.ayllu,
            ends=own.ends if own is not None else 0.0,
            problem=problem,
            hears_itself=self.nearby.hears_itself,
        )
        return tuple(report(here, others))

    @property
    def nearby(self) -> Nearby:
        """The machines of the neighbourhood."""
        assert self._nearby is not None  # noqa: S101 - `open` came before
        return self._nearby

    # What the owner does.

    def choose(self, chosen: Choices) -> bool:
        """Keep what was chosen; whether it is other than before, so that all has to open anew."""
        before, self._choices = self._choices, chosen.over(self._choices)
        if self._choices != before:
            choices.save(self._keyring.identity.folder, self._choices)
        return self._choices != before

    async def up(self) -> None:
        """Be in an ayllu: one of this network by its secret, or one of this machine's making."""
        if self._choices.trusted_lan or self._settings.trusted_lan:
            with suppress(TimeoutError):
                async with asyncio.timeout(TRUSTED_SECONDS):
                    await self._joined.wait()
        if self._keyring.credentials is None:
            self._keyring.create()
        await self._follow()

    def invite(self, *, admin: bool | None) -> tuple[str, float]:
        """A code, and until when it is good."""
        invite = self._invites.issue(self._own.record.endpoints.join, admin=admin)
        return encode(invite), invite.expires

    async def join(self, code: str) -> None:
        """Join the ayllu of a code."""
        async with self._turn:  # the part opens when it is known where the others are
            await join(self._keyring, decode(code), self._own.record.name)
        await self._follow()

    async def revoke(self, node: str, reason: str) -> None:
        """Revoke a member for good."""
        if node == self._keyring.identity.node:
            raise BadRequestError("this machine cannot revoke itself: `ayllu leave` takes it out")
        own = self._keyring.admin()
        own.revoked.revoke(node, reason, self._keyring.clock())

    async def leave(self) -> str:
        """Be in no ayllu; the id that this machine had."""
        gone = self._keyring.member().node
        self._keyring.leave()
        await self._follow()
        return gone

    # What follows from it.

    async def _follow(self) -> None:
        """Bring what runs in line with the credentials. Whatever cannot run is a problem."""
        async with self._turn:
            try:
                await self._follow_now()
            except AylluError as error:
                _log.warning("this machine cannot take part in its ayllu", reason=error.sentence)
                await self._close_part()
                self._on_problem(error.sentence)
            else:
                self._on_problem("")
            self._on_change()

    async def _follow_now(self) -> None:
        now = self._keyring.credentials
        self._own.change(
            node=self._keyring.identity.node,
            epoch=self._keyring.identity.epoch,
            admin=now is not None and now.is_admin,
        )
        if self._part is not None and self._part.cluster != self.ayllu:
            await self._close_part()
        if now is None:
            await self._close_part()
        elif now.node in now.revoked:
            reason = now.revoked.reason(now.node)
            raise ForbiddenError(
                f"this machine was revoked{f' ({reason})' if reason else ''}: run `ayllu leave`, "
                "then join again by a new invite"
            )
        elif self._part is None:
            self._joined.set()
            self._part = Part(
                Ground(
                    around=self._around,
                    own=self._own,
                    keyring=self._keyring,
                    interfaces=self._interfaces,
                    peers=(
                        *self._settings.cluster_peers,
                        *self._choices.peers,
                        *self._keyring.met,
                        *self.nearby.doors(),
                    ),
                    changed=self._on_change,
                    renew=lambda: self._tasks.start(self._renew()),
                )
            )
            now.revoked.watch(lambda _: self._tasks.start(self._renew()))
            await self._part.open()
        elif now is not self._followed:
            await self._part.renew()
        self._followed = now

    async def _renew(self) -> None:
        """Somebody was revoked, or the buses have to be opened anew."""
        self._followed = None
        await self._follow()

    async def _close_part(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            await part.close()

    def _known(self) -> Known:
        """What a machine that joins is told."""
        me = self._own.record
        records = [me, *(member.record for member in self.members())]
        admins = sum(record.admin for record in records)
        return Known(admins, tuple(place for one in records for place in one.endpoints.bus))

    def _admin_doors(self) -> tuple[str, ...]:
        return self._part.admin_doors() if self._part is not None else ()

    def _hear(self) -> None:
        """A beacon says something new."""
        if self._part is not None:
            self._part.hear(self.nearby.places())
        self._on_change()


def _lasting(addresses: Iterable[str]) -> set[str]:
    found = set(addresses)
    return {host for host in found if ":" not in host} or found
