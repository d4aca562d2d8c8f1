"""This machine as one of an ayllu: all of the cluster, from the server's start to its end.

A machine that is in no ayllu opens no port and imports nothing that it does not need; what goes
wrong with the cluster never stops the server: `problem` says it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import structlog
from msgspec import structs

from ayllu.cluster.bus import Close
from ayllu.cluster.choices import Choices
from ayllu.cluster.folder import CERTIFICATE, FOLDER
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.peers import Peers
from ayllu.cluster.record import Record
from ayllu.cluster.surroundings import Surroundings
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.tunnel import Tunnel
from ayllu.cluster.view import Ayllu, Snapshot
from ayllu.errors import AylluError, BadRequestError, ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from ayllu.cluster.awake import Awake
    from ayllu.cluster.diagnose import Finding
    from ayllu.cluster.nearby import Nearby

_ID = re.compile(r"[a-z2-7]{20}")
AWAKE_SECONDS = 900.0
"""How long a machine without an ayllu shows itself, once it was told to."""
NETWORK_SECONDS = 3.0
"""How often it is looked whether the machine has other addresses."""
_log = structlog.get_logger(__name__)


class LocalNode:
    """The machine's part in its ayllu, if it is in one. Whoever starts it closes it."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.own = OwnRecord(around.parts, name=around.parts.settings.node_name)
        self.problem = ""
        self._awake: Awake | None = None
        self._turn = asyncio.Lock()
        self._tasks = Tasks()
        self._follows_network = False
        self._bedtime: asyncio.TimerHandle | None = None
        self._listeners: list[Callable[[], None]] = []
        self._remarks: Callable[[], Mapping[str, str]] = dict

    def start(self) -> None:
        """Take part, where this machine does; nobody waits for it."""
        settings = self.around.parts.settings
        is_member = (settings.home / FOLDER / CERTIFICATE).exists()
        if settings.cluster != "off" and (is_member or self._is_eager):
            self._tasks.start(self._start())

    async def close(self) -> None:
        """Leave the others for as long as the server does not run."""
        await self._tasks.end()
        async with self._turn:
            if self._bedtime is not None:
                self._bedtime.cancel()
            await self._sleep()
        await self.own.close()

    # What the ayllu is, for whoever asks.

    @property
    def ayllu(self) -> str:
        """The id of the ayllu; empty for a machine that is in none."""
        return self._awake.ayllu if self._awake is not None else ""

    @property
    def name(self) -> str:
        """This machine's name for people."""
        return self.own.record.name

    @property
    def peers(self) -> Peers | None:
        """The way to the other machines; None for a machine that is in no ayllu."""
        return self._awake.peers if self._awake is not None else None

    @property
    def tunnel(self) -> Tunnel | None:
        """The same for streams of bytes."""
        return self._awake.tunnel if self._awake is not None else None

    def snapshot(self) -> Snapshot:
        """What is known now. Whoever asks first has this machine measured."""
        me = self.own.snapshot().me
        if self._awake is None:
            return Snapshot(me, problem=self.problem)
        known = Ayllu(self.ayllu, self.ayllu) if self.ayllu else None
        remarks = self._remarks()
        members = tuple(
            structs.replace(one, reason=one.reason or remarks.get(one.record.node, ""))
            for one in self._awake.members()
        )
        seen = self._awake.nearby.seen()
        return Snapshot(me, known, members, seen, problem=self.problem)

    def records(self) -> tuple[Record, ...]:
        """The records of this machine and of the others that can be used now."""
        others = self._awake.members() if self._awake is not None else ()
        return (self.own.record, *(one.record for one in others if one.state == "online"))

    def remark(self, remarks: Callable[[], Mapping[str, str]]) -> None:
        """Have snapshots say of machines, by their ids, what the result of `remarks` does."""
        self._remarks = remarks

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        """Be called on the event loop whenever another snapshot would be."""
        ends = self.own.subscribe(on_change)
        leaves = self.watch_others(on_change)

        def end() -> None:
            ends()
            leaves()

        return end

    def watch_others(self, on_change: Callable[[], None]) -> Close:
        """The same for the other machines alone, which costs nothing where there are none."""
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    async def measure_again(self) -> None:
        """Measure this machine now. Raises EngineError where that fails."""
        await self.own.measure_again()

    def note_models(self) -> None:
        """The models of this machine may be others: the ayllu is told at once."""
        if self._awake is not None:
            self._tasks.start(self.own.look_at_models())

    def tell(self) -> None:
        """Something of the others is different."""
        for listener in tuple(self._listeners):
            listener()

    def find(self, text: str) -> Record:
        """The machine of a name or an id, this one among them.

        Raises NotFoundError where there is none, BadRequestError where several have the name.
        """
        known = self.snapshot()
        records = [known.me, *(member.record for member in known.members)]
        found = [one for one in records if one.node and one.node == text.lower()]
        found = found or [one for one in records if one.name.lower() == text.lower()]
        if not found:
            names = ", ".join(sorted(one.name for one in records))
            raise NotFoundError(f"no machine {text!r} is there: the ayllu has {names}")
        if len(found) > 1:
            ids = ", ".join(one.node for one in found)
            raise BadRequestError(f"several machines are named {text!r}: say which id ({ids})")
        return found[0]

    def find_all(self, texts: Iterable[str]) -> Sequence[Record]:
        """The machines of some names or ids, each once; `all` are all that can be used."""
        found: dict[str, Record] = {}
        for text in texts:
            if text == "all":
                known = self.snapshot()
                others = [one.record for one in known.members if one.state != "set_aside"]
                found |= {one.node: one for one in (known.me, *others)}
            else:
                record = self.find(text)
                found[record.node] = record
        return list(found.values())

    # What the owner does.

    async def up(self, *, name: str = "", trusted_lan: str = "", peers: Sequence[str] = ()) -> None:
        """Take part in the ayllu, and make one where this machine is in none."""
        async with self._changing() as awake:
            if awake.choose(Choices(name, trusted_lan, tuple(peers))):
                await self._sleep()
                self._awake = await self._wake()
            await (self._awake or awake).up()

    async def invite(self, *, admin: bool | None) -> tuple[str, float]:
        """A code that lets one machine in, and until when (seconds since 1970)."""
        async with self._changing() as awake:
            return awake.invite(admin=admin)

    async def join(self, code: str) -> None:
        """Join the ayllu that a code is of."""
        async with self._changing() as awake:
            await awake.join(code)

    async def revoke(self, text: str, reason: str) -> tuple[str, str]:
        """Take a machine out of the ayllu for good; its id and name."""
        async with self._changing() as awake:
            try:
                found = self.find(text)
            except NotFoundError:
                if not _ID.fullmatch(text):
                    raise
                node, name = text, text  # one that is not here now
            else:
                node, name = found.node, found.name
            await awake.revoke(node, reason)
            return node, name

    async def leave(self) -> str:
        """Be in no ayllu; the id that this machine had."""
        async with self._changing() as awake:
            gone = await awake.leave()
            await self._sleep()
            return gone

    async def examine(self) -> tuple[Finding, ...]:
        """Why other machines are there, or are not: a report. It takes some seconds."""
        async with self._changing() as awake:
            return await awake.examine(self.problem)

    @property
    def nearby(self) -> Nearby | None:
        """The machines of the neighbourhood, while this one looks for them."""
        return self._awake.nearby if self._awake is not None else None

    async def pair(self, text: str) -> None:
        """Show this machine to others and, where one is named, begin to pair with it."""
        async with self._changing() as awake:
            if text:
                await awake.nearby.pair(text)

    async def _start(self) -> None:
        try:
            async with self._changing() as awake:
                if self._is_eager and not awake.ayllu:
                    await awake.up()
        except AylluError as error:
            self.problem = error.sentence
            _log.warning("this machine cannot take part in an ayllu", reason=error.sentence)

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Awake]:
        """The identity in use, for one at a time. Raises AylluError where it cannot be had."""
        if self.around.parts.settings.cluster == "off":
            raise ForbiddenError("this machine stays alone: AYLLU_CLUSTER is off")
        async with self._turn:
            if self._awake is None:
                self._awake = await self._wake()
            try:
                yield self._awake
            finally:
                self._sleep_later()

    async def _wake(self) -> Awake:
        # It imports all of the cluster: that takes a second, in which the server goes on.
        module = await asyncio.to_thread(import_module, "ayllu.cluster.awake")
        awake: Awake = module.Awake(self.around, self.own, self.tell, self._note_problem)
        try:
            await awake.open()
        except BaseException:
            await awake.close()
            raise
        if not self._follows_network:
            self._follows_network = True
            self._tasks.start(self._follow_network())
        return awake

    async def _follow_network(self) -> None:
        """The machine may come to another network: then everything is opened anew there."""
        was_awake = False
        while True:
            await asyncio.sleep(NETWORK_SECONDS)
            async with self._turn:
                awake = self._awake
                if awake is None and not was_awake:
                    continue
                if awake is not None and not await asyncio.to_thread(awake.has_moved):
                    continue
                was_awake = True
                try:
                    await self._sleep()
                    self._awake = await self._wake()
                except AylluError as error:  # it is tried again
                    self.problem = error.sentence
                else:
                    was_awake = False
                    places = self.own.record.endpoints.peer
                    _log.info("this machine has other addresses", places=places)

    async def _sleep(self) -> None:
        """Use the identity no more, until somebody changes something."""
        awake, self._awake = self._awake, None
        if awake is not None:
            await awake.close()
        self.tell()

    def _sleep_later(self) -> None:
        """A machine that came into no ayllu closes its door after a while."""
        if self._bedtime is not None:
            self._bedtime.cancel()
        self._bedtime = asyncio.get_running_loop().call_later(
            AWAKE_SECONDS, lambda: asyncio.ensure_future(self._sleep_if_alone())
        )

    async def _sleep_if_alone(self) -> None:
        async with self._turn:
            if not self.ayllu and not self._is_eager:
                await self._sleep()

    @property
    def _is_eager(self) -> bool:
        """Whether this machine is to be in an ayllu without being told each time."""
        settings = self.around.parts.settings
        return settings.cluster == "on" or bool(settings.trusted_lan)

    def _note_problem(self, sentence: str) -> None:
        self.problem = sentence
