"""FNV-1a with 64 bits over gigabytes, in NumPy: what the engine names its cached tensors by.

h' = (h ^ b) * p mod 2^64 takes a byte after the other, but only the low byte s of h meets the data:
h ^ b = h + d, where d = (s ^ b) - s. Once every s is known, n bytes make of h
h * p^n + sum(d_i * p^(n - i)), which is a matrix product.

For the s, a block is cut into lanes that are stepped side by side: s' = (s ^ b) * p mod 256. Where
a lane begins is known after the lane before it has ended, bit by bit: bit k of s' hangs on the bits
0 to k of s alone, and on bit k by an exclusive or. So eight rounds over a block that lies in the
processor's cache find all beginnings, and a ninth walks through them.

Source: draft-eastlake-fnv, section 2; ggml-rpc.cpp, `fnv_hash`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OFFSET, PRIME = 0xCBF29CE484222325, 0x100000001B3
_MODULUS = 1 << 64
_STEP = np.uint8(PRIME & 0xFF)

ROWS = 64
"""Bytes of a lane: few, because lanes are what NumPy does at once."""
LANES = 1 << 15
_COLUMNS = 1024
"""Lanes of one matrix product: small enough for one thread of the BLAS, and for its cache."""

_POWERS = [pow(PRIME, ROWS - row, _MODULUS) for row in range(ROWS)]
_WEIGHTS = np.array([[w >> 32 for w in _POWERS], [w & 0xFFFFFFFF for w in _POWERS]], np.float64)
"""What each byte of a lane counts, in two halves: sums of them stay below 2^53, and exact."""
_LANE_POWERS = np.full(LANES, pow(PRIME, ROWS, _MODULUS), np.uint64)
_LANE_POWERS[0] = 1
_LANE_POWERS = np.multiply.accumulate(_LANE_POWERS)[::-1]

_Bytes = NDArray[np.uint8]


class Fnv1a:
    """A hash that grows. One thread at a time; NumPy lets others run meanwhile."""

    def __init__(self) -> None:
        self.value = OFFSET
        self._bytes = np.empty(ROWS * LANES, np.uint8)
        self._mixed = np.empty(ROWS * LANES, np.uint8)
        self._differences = np.empty((ROWS, _COLUMNS), np.float64)

    def update(self, data: bytes | memoryview) -> None:
        """Go on with some bytes, the faster the more they are: best mebibytes."""
        rest = np.frombuffer(data, np.uint8)
        while lanes := min(rest.size // ROWS, LANES):
            self._take(rest[: lanes * ROWS], lanes)
            rest = rest[lanes * ROWS :]
        for byte in rest.tolist():
            self.value = (self.value ^ byte) * PRIME % _MODULUS

    def _take(self, block: _Bytes, lanes: int) -> None:
        """Go on with a block of some lanes, ROWS bytes each."""
        rows = self._bytes[: block.size].reshape(ROWS, lanes)
        mixed = self._mixed[: block.size].reshape(ROWS, lanes)
        _turn(block, mixed, rows)
        low = _beginnings(rows, self.value & 0xFF)
        for row, meets in zip(rows, mixed, strict=True):
            np.bitwise_xor(low, row, out=meets)
            row[:] = low
            np.multiply(meets, _STEP, out=low)
        sums = np.empty(lanes, np.uint64)
        for at in range(0, lanes, _COLUMNS):
            part = slice(at, at + _COLUMNS)
            found = np.subtract(mixed[:, part], rows[:, part], dtype=np.int16)
            room = self._differences[:, : found.shape[1]]
            room[:] = found
            high, rest = (_WEIGHTS @ room).astype(np.int64).view(np.uint64)
            sums[part] = (high << np.uint64(32)) + rest
        total = int((sums * _LANE_POWERS[LANES - lanes :]).sum(dtype=np.uint64))
        self.value = (self.value * pow(PRIME, block.size, _MODULUS) + total) % _MODULUS


def _turn(block: _Bytes, room: _Bytes, rows: _Bytes) -> None:
    """Put the bytes of the lanes below each other: by eights first, which is twice as fast."""
    count, lanes = rows.shape
    eights = room.reshape(-1).view(np.uint64).reshape(count // 8, lanes)
    eights[:] = block.view(np.uint64).reshape(lanes, count // 8).T
    split = eights.view(np.uint8).reshape(count // 8, lanes, 8)
    rows.reshape(count // 8, 8, lanes)[:] = split.transpose(0, 2, 1)


def _beginnings(rows: _Bytes, first: int) -> _Bytes:
    """The low byte with which each lane begins; `first` is that of the first one."""
    lanes = rows.shape[1]
    found = np.full(lanes, first, np.uint8)
    for bit in range(8):
        low = found.copy()
        for row in rows:
            np.bitwise_xor(low, row, out=low)
            np.multiply(low, _STEP, out=low)
        flips = np.packbits((low ^ found) >> bit & 1, bitorder="little")
        before = _flips_before(int.from_bytes(flips.tobytes(), "little"), lanes)
        packed = np.frombuffer(before.to_bytes(flips.size, "little"), np.uint8)
        found ^= np.unpackbits(packed, count=lanes, bitorder="little") << bit
    return found


def _flips_before(flips: int, count: int) -> int:
    """Bit i of the result: whether the bits below i of `flips` are odd in number."""
    flips, step = flips << 1, 1
    while step < count:
        flips ^= flips << step
        step *= 2
    return flips & ((1 << count) - 1)
