"""Models shared between the machines of an ayllu: the Neighbours of this machine's downloads.

Everything that is had is said as state, in maps: whoever comes late asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct

from ayllu.cluster.bus import HASHES, HOLDS, LIVE, MANIFEST, PIECE, Bus, BusError, Close
from ayllu.cluster.exchange import Exchange
from ayllu.cluster.giving import Giving
from ayllu.cluster.have import ManifestReply, ManifestRequest, decode, encode
from ayllu.cluster.quiet import Quiet
from ayllu.errors import BadRequestError
from ayllu.models.manifest import digest_of, parse_manifest
from ayllu.models.store import Store
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.neighbours import Landing, Offer

MANIFEST_SECONDS = 2.0


class Members(Struct, frozen=True):
    """What sharing asks membership: whom to trust, what machines are called, and whom to tell."""

    trusts: Callable[[str], bool]
    name_of: Callable[[str], str]
    on_liar: Callable[[str, str], None]


class Sharing:
    """Gives models to other machines, and gets pieces from them, while it is attached to two buses.

    Downloads under way outlive the buses: they go on with the next ones. `serves` is the setting
    `share_models`: without it this machine only takes.
    """

    def __init__(
        self,
        node: str,
        store: Store,
        bandwidth: Bandwidth,
        members: Members,
        *,
        serves: bool = True,
    ) -> None:
        self.node = node
        self.bandwidth = bandwidth
        self.quiet = Quiet()
        self.members: set[str] = set()
        self.on_liar = members.on_liar
        self.trusts = members.trusts
        self._name_of = members.name_of
        self._serves = serves
        self._giving = Giving(store, bandwidth, self._find)
        self._exchanges: dict[str, Exchange] = {}
        self._buses: tuple[Bus, Bus] | None = None
        self._closes: list[Close] = []

    def attach(self, control: Bus, bulk: Bus) -> None:
        """Begin to answer the others, and to ask them."""
        self._buses = control, bulk
        # Tokens and not membership, which keeps a machine that returns for seconds: its pieces are
        # asked for elsewhere at once. One that lost its token is asked while others are there.
        self._closes.append(control.watch(LIVE.format(node="*"), self._on_change))
        if self._serves:
            giving = self._giving
            for bus, key, answer in (
                (control, HOLDS, giving.holds),
                (control, MANIFEST, giving.manifest),
                (bulk, PIECE, giving.piece),
                (bulk, HASHES, giving.hashes),
            ):
                self._closes.append(bus.serve(key.format(node=self.node), answer))
        for exchange in self._exchanges.values():
            exchange.attach()

    def detach(self) -> None:
        """Answer no more, and ask nobody: the buses are about to close."""
        self._buses = None
        self.members.clear()
        for exchange in self._exchanges.values():
            exchange.detach()
        for close in self._closes:
            close()
        self._closes.clear()

    def subscribe(self, pattern: str, on_data: Callable[[str, bytes], None]) -> Close:
        """Be given what others publish on the control bus, until it closes."""
        return self._buses[0].subscribe(pattern, on_data) if self._buses else lambda: None

    def publish(self, key: str, data: bytes) -> None:
        """Tell the other machines, unless there are none."""
        if self._buses and self._serves and self.members:
            self._buses[0].publish(key, data)

    async def gather(self, pattern: str, data: bytes, *, seconds: float) -> Mapping[str, bytes]:
        """The answers of all other machines that are trusted, by their ids."""
        if self._buses is None or not self.members:
            return {}
        answers = await self._buses[0].gather(pattern, data, seconds=seconds)
        found = {key.rpartition("/")[2]: answer for key, answer in sorted(answers.items())}
        return {n: answer for n, answer in found.items() if n != self.node and self.trusts(n)}

    async def call(self, key: str, data: bytes, *, seconds: float) -> bytes:
        """The answer of one machine on the bulk bus. Raises BusError."""
        if self._buses is None:
            raise BusError("this machine is not connected to the others")
        return await self._buses[1].call(key, data, seconds=seconds)

    def open(self, digest: str, landing: Landing, *, fetches: bool) -> Exchange:
        """Share a blob's download."""
        text = digest.removeprefix("sha256:")
        exchange = self._exchanges[text] = Exchange(self, text, landing, fetches=fetches)
        return exchange

    def got(self, digest: str) -> None:
        """A blob is here, though no model has it yet."""
        self._giving.note_download(digest)

    def ended(self, digest: str) -> None:
        """An exchange has ended."""
        self._exchanges.pop(digest, None)

    async def manifest(self, name: str) -> Offer | None:
        """The manifest that most other machines have of a model."""
        request = encode(ManifestRequest(name))
        answers = await self.gather(MANIFEST.format(node="*"), request, seconds=MANIFEST_SECONDS)
        found: dict[str, tuple[str, ManifestReply]] = {}
        for node, data in answers.items():
            try:
                reply = decode(data, ManifestReply)
                parse_manifest(reply.data)
            except BadRequestError as error:
                reason = error.sentence
                self.quiet.warn("a manifest cannot be read", node=node, reason=reason)
                continue
            found[node] = (digest_of(reply.data), reply)
        if not found:
            return None
        digest = Counter(digest for digest, _ in found.values()).most_common(1)[0][0]
        node, reply = next((n, reply) for n, (known, reply) in found.items() if known == digest)
        return Offer(reply.data, self._name_of(node), reply.scheme)

    def _find(self, digest: str) -> Exchange | None:
        return self._exchanges.get(digest)

    def _on_change(self, key: str, alive: bool) -> None:
        """A machine has come or gone."""
        node = key.rpartition("/")[2]
        if node == self.node:
            return
        if alive:
            self.members.add(node)
            for exchange in self._exchanges.values():
                exchange.came()
        else:
            self.members.discard(node)
            for exchange in self._exchanges.values():
                exchange.left(node)
