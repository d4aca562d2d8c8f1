"""Records of machines that tests make up, and the owner of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import structs

from ayllu.cluster.bus import Close
from ayllu.cluster.record import Endpoints, Hardware, Load, Record


def a_record(node: str, **fields: Any) -> Record:
    return structs.replace(
        Record(
            node=node,
            name=f"machine {node[:4]}",
            epoch=1,
            counter=0,
            version="0",
            engine="0",
            started=time.time(),
            endpoints=Endpoints(),
            hardware=Hardware("cpu", 1, 1, (), 1 << 30, (), "Linux x86_64"),
            load=Load(1 << 29, 1 << 30),
        ),
        **fields,
    )


class OwnedRecord:
    """What `own.py` is for a server: the one who changes a machine's record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def change(self, **fields: Any) -> None:
        if any(getattr(self.record, name) != value for name, value in fields.items()):
            counter = self.record.counter + 1
            self.record = structs.replace(self.record, counter=counter, **fields)
            for listener in tuple(self._listeners):
                listener()
