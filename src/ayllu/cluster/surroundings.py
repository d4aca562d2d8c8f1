"""What the cluster has of the server around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ayllu.cluster.own import Parts
from ayllu.cluster.tunnel import Host
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.downloads import Downloads


class Surroundings(Struct, frozen=True):
    """The server's parts, its downloads and their bandwidth, and the application (ASGI) itself.

    `host` is asked what other machines' streams are for.
    """

    parts: Parts
    downloads: Downloads
    bandwidth: Bandwidth
    app: Callable[..., Any]
    host: Host
