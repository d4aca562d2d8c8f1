"""Knocking at another machine's join door, and what its answers mean for whoever knocks."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from ayllu.cluster.door_messages import (
    LARGEST_REPLY,
    About,
    Hello,
    Refused,
    Reply,
    Request,
    frame,
    read_frame,
    read_reply,
    shown,
)
from ayllu.cluster.endpoints import split_endpoint
from ayllu.cluster.identity import Time
from ayllu.cluster.moments import moment
from ayllu.errors import AylluError, BadRequestError, ForbiddenError

CONNECT_SECONDS = 4.0
REPLY_SECONDS = 10.0
MOST_SKEW = 3000.0
"""Seconds that two clocks may differ when a machine joins; certificates begin an hour back."""

ReplyT = TypeVar("ReplyT", bound=Reply)


class DoorError(AylluError):
    """Nobody answers at a join door, or what answers is none."""

    status = 502


class RefusedError(ForbiddenError):
    """The machine behind the door refused, in its own words."""


class Caller:
    """An open connection to a door. `leaf` is the certificate (DER) that the door has shown.

    TLS has proved that the door has this certificate's key; whose it is, the caller has to check.
    """

    def __init__(
        self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.address = address
        self.leaf: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self._reader = reader
        self._writer = writer

    async def ask(self, request: Request, kind: type[ReplyT]) -> ReplyT:
        """The reply to the one request of this connection.

        Raises RefusedError with the other machine's sentence, DoorError for what makes no sense.
        """
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                self._writer.write(frame(request))
                await self._writer.drain()
                reply = read_reply(await read_frame(self._reader, LARGEST_REPLY))
        except TimeoutError as error:
            raise DoorError(f"{self.address} did not answer in time") from error
        except (OSError, EOFError) as error:
            raise DoorError(f"{self.address} broke off: it may be busy, try again") from error
        except BadRequestError as error:
            raise DoorError(
                f"what answers at {self.address} is no join door of Ayllu, or of another version"
            ) from error
        if isinstance(reply, Refused):
            raise RefusedError(shown(reply.sentence, 500))
        if not isinstance(reply, kind):
            raise DoorError(f"{self.address} answered something else than was asked")
        return reply


@asynccontextmanager
async def knock(address: str) -> AsyncIterator[Caller]:
    """A connection to the door at `host:port`. Raises DoorError where there is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whose it is is not known before: callers check `leaf`
    try:
        host, port = split_endpoint(address)
    except ValueError as error:
        raise BadRequestError(f"{shown(address)!r} is no address of the form 1.2.3.4:5") from error
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=context, limit=LARGEST_REPLY + 4
            )
    except TimeoutError as error:
        raise DoorError(f"{address} does not answer: a firewall may drop what is sent") from error
    except ssl.SSLError as error:
        raise DoorError(f"what answers at {address} is no join door of Ayllu") from error
    except OSError as error:
        reason = error.strerror or str(error) or "it broke off"
        raise DoorError(f"{address} cannot be reached: {reason}") from error
    try:
        yield Caller(address, reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def hello(address: str) -> About:
    """What the machine behind a door says to anybody; errors as `knock` and `ask`."""
    async with knock(address) as door:
        return await door.ask(Hello(), About)


def skew(about: About, now: Time) -> str:
    """How much the clocks of two machines differ, as a sentence; empty where it does no harm."""
    seconds = about.time - now
    if abs(seconds) <= MOST_SKEW:
        return ""
    amount = _amount(abs(seconds))
    which = "behind" if seconds > 0 else "ahead of"
    return (
        f"the clock of this machine ({moment(now)}) is {amount} {which} that of "
        f"{shown(about.name)} ({moment(about.time)}): set the one that is wrong, then try again"
    )


async def meet(address: str, now: Time | None = None) -> About:
    """The same as `hello`. Raises BadRequestError where the clocks differ too much to join."""
    about = await hello(address)
    difference = skew(about, time.time() if now is None else now)
    if difference:
        raise BadRequestError(difference)
    return about


def _amount(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"
