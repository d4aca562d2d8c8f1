"""Joining by an invite and renewing a certificate: both ends, over the join door."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable

import structlog
from msgspec import Struct

from ayllu.cluster.authority import Authority, CertificateError, parse, requester
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.door import Door, Visitor
from ayllu.cluster.door_client import DoorError, RefusedError, hello, knock, skew
from ayllu.cluster.door_messages import (
    About,
    Granted,
    Join,
    Renew,
    Renewed,
    shown,
    statement,
)
from ayllu.cluster.identity import is_signed, node_id
from ayllu.cluster.invite import Invite, InviteError, Invites, check_authority
from ayllu.cluster.keyring import Keyring
from ayllu.errors import AylluError, BadRequestError, ForbiddenError
from ayllu.registry.limits import end

CHECK_SECONDS = 600.0
_log = structlog.get_logger()


class Known(Struct, frozen=True):
    """What membership knows and a grant needs.

    `admins` are the admin machines that are members now, this one included; `peers` addresses of
    control buses, `host:port`.
    """

    admins: int
    peers: tuple[str, ...] = ()


class Admission:
    """Lets machines in by invites and renews certificates, at a door."""

    def __init__(
        self, door: Door, keyring: Keyring, invites: Invites, known: Callable[[], Known]
    ) -> None:
        self._keyring = keyring
        self._invites = invites
        self._known = known
        door.answer(Join, self._join)
        door.answer(Renew, self._renew)

    async def _join(self, request: Join, visitor: Visitor) -> Granted:
        invite = self._invites.find(request.invite)
        proof = _proof(invite.key, visitor.leaf, request.request, request.name)
        if not hmac.compare_digest(proof, request.proof):
            raise InviteError("whoever sent this invite does not know its secret")
        node = node_id(requester(request.request))
        self._invites.check(invite, node)
        known = self._known()
        grant = self._keyring.grant(
            request.request, admin=invite.admin, admins=known.admins, peers=known.peers
        )
        self._invites.use(invite, node)
        _log.info(
            "a machine joined by an invite",
            node=node,
            name=shown(request.name),
            host=visitor.host,
            admin=bool(grant.ca_key),
        )
        return Granted(grant)

    async def _renew(self, request: Renew, visitor: Visitor) -> Renewed:
        own = self._keyring.admin()
        holder = own.authority.read(request.certificate)
        own.check_not_revoked(holder.node)
        said = statement("renew", visitor.leaf, request.certificate, request.request)
        if requester(request.request) != holder.key or not is_signed(
            holder.key, request.signature, said
        ):
            raise ForbiddenError(f"the request is not of {holder.node}, whose certificate it shows")
        certificate = self._keyring.certify(request.request)
        _log.info("a certificate was renewed", node=holder.node, host=visitor.host)
        return Renewed(certificate, own.revoked.encode())


async def join(keyring: Keyring, invite: Invite, name: str) -> Credentials:
    """Join the ayllu of an invite; `name` is this machine's for people.

    Where the other members are is in `keyring.met` then. Nothing is sent to a door that is not of
    the invite's ayllu. Raises BadRequestError, ForbiddenError or DoorError: in an ayllu
    with others already, nobody answers, another CA, clocks that differ, an invite that is refused.
    """
    keyring.check_free()
    name = shown(name)
    address, about, authority = await _first(invite)
    now = keyring.clock()
    difference = skew(about, now)
    if difference:
        raise BadRequestError(difference)
    request = keyring.identity.request()
    async with knock(address) as door:
        authority.check(door.leaf, now)
        proof = _proof(invite.key, door.leaf, request, name)
        granted = await door.ask(Join(invite.id, request, name, proof), Granted)
    check_authority(invite, Authority(parse(granted.grant.ca)))
    return keyring.join(granted.grant)


async def renew(keyring: Keyring, addresses: Iterable[str]) -> Credentials:
    """Renew this machine's certificate: an admin machine by itself, others at an admin's door.

    `addresses` are join doors, tried in their order. It may have run out already. Raises the most
    telling error of all doors: a refusal, else why none could be asked.
    """
    own = keyring.member()
    if own.is_admin:
        return keyring.renew()
    errors: list[AylluError] = []
    for address in addresses:
        try:
            return await _renew_at(keyring, own, address)
        except AylluError as error:
            errors.append(error)
    errors.sort(key=lambda error: not isinstance(error, (RefusedError, CertificateError)))
    if errors:
        raise errors[0]
    raise DoorError("no admin machine of the ayllu is known that could renew the certificate")


async def keep_renewed(
    keyring: Keyring, addresses: Callable[[], Iterable[str]], every: float = CHECK_SECONDS
) -> None:
    """Renew the certificate whenever a third of its life is left; for ever.

    `addresses` gives the join doors of the admin machines that are known at that time.
    """
    while True:
        own = keyring.credentials
        if own is not None and keyring.clock() >= own.renews:
            try:
                renewed = await renew(keyring, addresses())
                _log.info("this machine's certificate was renewed", ends=renewed.ends)
            except AylluError as error:
                _log.warning("the certificate could not be renewed yet", reason=error.sentence)
        await asyncio.sleep(every)


async def _renew_at(keyring: Keyring, own: Credentials, address: str) -> Credentials:
    request = keyring.identity.request()
    async with knock(address) as door:
        try:
            own.check(door.leaf, keyring.clock())
        except CertificateError as error:
            raise await _with_clocks(error, address, keyring.clock()) from error
        said = statement("renew", door.leaf, own.certificate, request)
        asked = Renew(own.certificate, request, keyring.identity.sign(said))
        reply = await door.ask(asked, Renewed)
    try:
        own.revoked.merge(reply.revoked)
        return keyring.renew(reply.certificate)
    except CertificateError as error:
        raise await _with_clocks(error, address, keyring.clock()) from error


async def _with_clocks(error: CertificateError, address: str, now: float) -> CertificateError:
    """The same error; where the clocks of the two machines differ, it says by how much."""
    if error.flaw not in ("expired", "early"):
        return error
    try:
        difference = skew(await hello(address), now)
    except AylluError:
        return error
    return CertificateError(error.flaw, difference or error.sentence, error.node)


async def _first(invite: Invite) -> tuple[str, About, Authority]:
    """The first door of the invite's ayllu that answers.

    Raises the most telling error of all doors: one of a wrong machine, else why none answers.
    """

    async def ask(address: str) -> tuple[str, About, Authority]:
        about = await hello(address)
        if not about.ca:
            raise ForbiddenError(f"{shown(about.name)} at {address} is in no ayllu (any more)")
        authority = Authority(parse(about.ca))
        check_authority(invite, authority)
        return address, about, authority

    tasks = [asyncio.create_task(ask(address)) for address in invite.addresses]
    errors: list[AylluError] = []
    try:
        for done in asyncio.as_completed(tasks):
            try:
                return await done
            except AylluError as error:
                errors.append(error)
    finally:
        await end(tasks)
    for found in errors:
        if not isinstance(found, DoorError):
            raise found
    reasons = "; ".join(found.sentence for found in errors)
    raise DoorError(f"the machine that issued the invite cannot be asked: {reasons}")


def _proof(key: bytes, leaf: bytes, request: bytes, name: str) -> bytes:
    return hmac.digest(key, statement("join", leaf, request, name), "sha256")
