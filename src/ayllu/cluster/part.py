"""What a member of an ayllu runs: its two buses, its table of the others, and the API between them.

The buses cannot change their certificate nor whom they deny while they are open, so they are closed
and opened anew; the API's listener stays, and takes a new certificate as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog
from msgspec import structs

from ayllu.cluster.bus_config import BusConfig
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.links import Links, serve_links
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.peer_server import PeerServer
from ayllu.cluster.peers import Peers
from ayllu.cluster.surroundings import Surroundings
from ayllu.cluster.view import Member
from ayllu.cluster.zenoh_bus import ZenohBus, open_bus
