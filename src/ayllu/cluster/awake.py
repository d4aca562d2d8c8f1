"""What runs once this machine takes part in anything: its identity, the join door, and its ayllu.

`Part` is what only a member runs. It follows the credentials: it is opened when the machine joins,
opened anew for a new certificate and when somebody was revoked, and closed when the machine leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import structlog

from ayllu.cluster import choices
from ayllu.cluster.choices import Choices
from ayllu.cluster.door import Door
from ayllu.cluster.identity import opened
from ayllu.cluster.invite import Invites, decode, encode
from ayllu.cluster.join import Admission, Known, join, keep_renewed
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.listening import bind_each, endpoint
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.part import Part
from ayllu.cluster.peers import Peers
from ayllu.cluster.surroundings import Surroundings
from ayllu.cluster.view import Member, Sighting
from ayllu.errors import AylluError, BadRequestError

JOIN_PORT = 3
"""The join door's, after the first port of the cluster."""
_log = structlog.get_logger(__name__)


class Awake:
    """An identity in use. `open` it before anything else; whoever opens it closes it.

    `on_change` is told when something of the others is different, `on_problem` what is wrong.
    """

    def __init__(
        self,
        around: Surroundings,
        own: OwnRecord,
        on_change: Callable[[], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._around = around
        self._settings = around.parts.settings
        self._own = own
        self._on_change = on_change
        self._on_problem = on_problem
        self._stack = ExitStack()
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._part: Part | None = None

    async def open(self) -> None:
        """Open the identity and the join door. Raises AylluError, and is closed then."""
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        settings = self._settings
        self._identity = await asyncio.to_thread(self._stack.enter_context, opened(settings.home))
        self._keyring = Keyring(self._identity)
        self._keyring.watch(self._changed)
        self._choices = choices.load(self._identity.folder)
        self._invites = Invites(self._keyring)
        self._door = Door(self._keyring, self._name)
        Admission(self._door, self._keyring, self._invites, self._known)
        listeners = bind_each(self._addresses(), self._port(JOIN_PORT))
        self._doors = tuple(map(endpoint, listeners))
        await self._door.open(listeners)
        await self._follow()
        self._spawn(keep_renewed(self._keyring, self._admin_doors))
