from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_successor_model
from gguf_writer import Array, Raw, Typed, gguf_bytes, tensor_info, text, value, write_gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ayllu.errors import GGUFError
from ayllu.gguf import arch
from ayllu.gguf.read import GGUFArray, read_header

F32 = np.zeros((4, 32), np.float32)


def head(*parts: bytes, tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    """A header of any counts, followed by anything."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + b"".join(parts)


def key(name: str, kind: int, *parts: bytes) -> bytes:
    return head(text(name), struct.pack("<I", kind), *parts, keys=1)


def tensor(
    *, name: str = "t", shape: tuple[int, ...] = (32,), kind: int = 0, at: int = 0, data: int = 128
) -> bytes:
    raw = head(tensor_info(name, shape, kind, at), tensors=1)
    return raw + bytes(-len(raw) % 32) + bytes(data)


U64 = struct.Struct("<Q").pack
HUGE = U64(2**63)
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "one byte": (b"G", "is not a GGUF file"),
    "magic alone (CVE-2024-39720)": (b"GGUF", "is truncated"),
    "another magic": (b"PK\x03\x04" + bytes(40), "is not a GGUF file"),
    "version 1": (head(version=1), "has GGUF version 1"),
    "version 4": (head(version=4), "has GGUF version 4"),
    "version 0": (head(version=0), "has GGUF version 0"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "counts cut off": (head()[:20], "is truncated"),
    "huge tensor count": (head(tensors=2**64 - 1), "claims 18446744073709551615 tensors"),
    "huge key count": (head(keys=2**63), "claims 9223372036854775808 keys"),
    "more keys than bytes": (head(keys=60_000), "is truncated"),
    "more tensors than bytes": (head(tensors=60_000), "is truncated"),
    "key name of 2^63 bytes": (head(HUGE + bytes(40), keys=1), "has a key of"),
    "key without a name": (head(U64(0), bytes(20), keys=1), "has a key without a name"),
    "key name not UTF-8": (head(text(b"\xff"), bytes(20), keys=1), "is not UTF-8"),
    "unknown value type": (key("k", 13, bytes(8)), "unknown value type 13"),
    "string of 17 MiB": (key("k", 8, U64(17 << 20), bytes(17 << 20)), "a string in k of"),
    "string past the end": (key("k", 8, U64(100), b"x"), "is truncated"),
    "truth value of 2": (key("k", 7, b"\x02", bytes(9)), "truth value of 2"),
    "array of arrays": (key("k", 9, struct.pack("<IQ", 9, 1), bytes(20)), "unknown type 9"),
    "array of an unknown type": (key("k", 9, struct.pack("<IQ", 77, 1)), "unknown type 77"),
    "array of 2^62 items": (key("k", 9, struct.pack("<IQ", 4, 2**62)), "items in k"),
    "array past the end": (key("k", 9, struct.pack("<IQ", 4, 1000), bytes(80)), "is truncated"),
    "strings past the end": (
        key("k", 9, struct.pack("<IQ", 8, 2), text("ab"), U64(9), b"abc"),
        "is truncated in k",
    ),
    "a string of an array too long": (
        key("k", 9, struct.pack("<IQ", 8, 2), HUGE, bytes(80)),
        "has a string of",
    ),
    "the same key twice": (
        head(text("k") + value(1), text("k") + value(2), keys=2),
        "has the key k twice",
    ),
    "alignment 0 (CVE-2025-0317)": (gguf_bytes({"general.alignment": 0}), "power of two"),
    "alignment 48": (gguf_bytes({"general.alignment": 48}), "power of two"),
    "alignment of the wrong type": (gguf_bytes({"general.alignment": "32"}), "not an integer"),
    "alignment true": (gguf_bytes({"general.alignment": True}), "not an integer"),
    "alignment negative": (gguf_bytes({"general.alignment": Typed(5, -32)}), "power of two"),
    "alignment of 64 bits": (gguf_bytes({"general.alignment": Typed(10, 32)}), "than uint32"),
    "alignment of 2^31": (
        gguf_bytes({"general.alignment": 1 << 31}, {"t": F32}),
        "after the end of the file",
    ),
    "five dimensions": (tensor(shape=(32, 1, 1, 1, 1)), "has 5 dimensions"),
    "a dimension of 0": (tensor(shape=(32, 0)), "dimension of 0"),
    "elements overflow": (tensor(shape=(2**32, 2**32, 2**32)), "too large to be true"),
    "bytes overflow": (tensor(shape=(2**62, 1)), "too large to be true"),
    "unknown tensor type": (tensor(kind=999), "not known here (999)"),
    "removed tensor type": (tensor(kind=31), "Q4_0_4_4"),
    "rows that the type cannot store": (tensor(shape=(33,), kind=2), "rows of 33"),
    "offset not aligned": (tensor(at=4), "not aligned"),
    "offset past the end (CVE-2026-7482)": (tensor(at=1 << 40), "after the end"),
    "offset near 2^64": (tensor(at=2**64 - 32), "after the end"),
    "data cut off": (tensor(data=127), "after the end"),
    "tensor name too long": (tensor(name="x" * 64), "has a tensor name of 64 bytes"),
    "tensor without a name": (tensor(name=""), "without a name"),
    "two tensors in one place": (
        head(tensor_info("a", (32,), 0, 0), tensor_info("b", (32,), 0, 96), bytes(300), tensors=2),
        "has the tensor b where another one lies",
    ),
    "a tensor in another": (
        head(tensor_info("a", (8,), 0, 32), tensor_info("b", (32,), 0, 0), bytes(300), tensors=2),
        "has the tensor a where another one lies",
    ),
    "2^32 - 1 dimensions": (
        head(text("t") + struct.pack("<I", 2**32 - 1), bytes(80), tensors=1),
        "has 4294967295 dimensions",
    ),
    "the same tensor twice": (
        head(tensor_info("t", (1,), 0, 0) * 2, bytes(64), tensors=2),
        "has the tensor t twice",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    data, sentence = BAD_FILES[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(GGUFError) as caught:
        read_header(path)
    assert sentence in caught.value.sentence
    assert caught.value.sentence.startswith("bad.gguf ")
    assert "\n" not in caught.value.sentence


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match=r"absent\.gguf cannot be read: No such file"):
        read_header(tmp_path / "absent.gguf")
    with pytest.raises(GGUFError, match="is not a file"):
        read_header(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GGUFError, match="pipe is not a file"):
        read_header(tmp_path / "pipe")
    with pytest.raises(GGUFError, match="random is not a file"):
        read_header(Path("/dev/random"))


def test_a_sound_header_is_read_whole(tmp_path: Path) -> None:
    kvs: dict[str, Any] = {
        "general.architecture": "llama",
        "u8": Typed(0, 255),
        "i64": Typed(11, -(2**63)),
        "f64": Typed(12, 0.1),
        "yes": True,
        "floats": Array(6, [0.5, 1.5]),
        "flags": Array(7, [True, False]),
        "words": ["a", "ñ"],
        "none": Array(8, []),
        "general.alignment": 64,
    }
    half = np.ones((2, 64), np.float16)
    quants = Raw(14, (256, 2), bytes(420))
    path = write_gguf(tmp_path / "x.gguf", kvs, {"a": F32, "b": half, "c": quants}, alignment=64)
    header = read_header(path)
    assert header.version == 3
    assert header.alignment == 64
    assert header.data_offset % 64 == 0
    assert header.file_size == path.stat().st_size
    assert [(t.name, t.shape, t.type_name, t.size) for t in header.tensors] == [
        ("a", (32, 4), "F32", 512),
        ("b", (64, 2), "F16", 256),
        ("c", (256, 2), "Q6_K", 420),
    ]
    assert header.tensors[2].elements == 512
    assert header.kvs["i64"] == -(2**63)
    assert header.kvs["yes"] is True
    assert header.kvs["floats"].values == (0.5, 1.5)
    assert header.kvs["flags"].values == (True, False)
    assert list(header.kvs["words"]) == ["a", "ñ"]
    assert header.kvs["none"].items() == []


def test_version_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "v2.gguf"
    path.write_bytes(head(text("k") + value("v"), keys=1, version=2))
    assert read_header(path).kvs == {"k": "v"}


def test_long_arrays_are_read_only_when_asked(tmp_path: Path) -> None:
    words = [f"word{n}" * (n % 13) for n in range(5000)]
    numbers = list(range(5000))
    path = write_gguf(tmp_path / "x.gguf", {"words": words, "numbers": numbers, "after": 7})
    header = read_header(path)
    array = header.kvs["words"]
    assert isinstance(array, GGUFArray)
    assert (len(array), array.values) == (5000, None)
    assert array.items() == words
    assert header.kvs["numbers"].items() == numbers
    assert header.kvs["after"] == 7
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(GGUFError, match="became shorter"):
        array.items()


@given(
    st.lists(st.integers(0, 70), min_size=500, max_size=1600),
    st.integers(0, 20),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_strings_of_every_length_are_stepped_over(
    tmp_path: Path, lengths: list[int], cut: int
) -> None:
    """The quick walk over runs of short strings and the slow one agree."""
    words = ["\x00" * length for length in lengths]
    path = write_gguf(tmp_path / "x.gguf", {"words": Array(8, words), "after": 7})
    header = read_header(path)
    assert header.kvs["words"].items() == words
    assert header.kvs["after"] == 7
    path.write_bytes(gguf_bytes({"words": Array(8, words)}, alignment=1)[: -cut - 1])
    with pytest.raises(GGUFError):
        read_header(path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_successor_model(tmp_path_factory.mktemp("sound") / "x.gguf").read_bytes()


def test_a_file_cut_anywhere_is_refused(tmp_path: Path, sound: bytes) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(sound)
    header = read_header(path)
    ends = [*range(header.data_offset + 64), *range(len(sound) - 64, len(sound)), len(sound) // 2]
    for end in sorted(ends, reverse=True):
        os.truncate(path, end)
        with pytest.raises(GGUFError):
            read_header(path)


@given(place=st.integers(0, 6000 * 8))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_flipped_bit_ends_in_a_header_or_a_sentence(
    tmp_path: Path, sound: bytes, place: int
) -> None:
    data = bytearray(sound)
    data[place // 8] ^= 1 << place % 8
    path = tmp_path / "flipped.gguf"
    path.write_bytes(data)
    with suppress(GGUFError):
        arch.check(read_header(path))


@given(
    edits=st.lists(
        st.tuples(st.integers(0, 6000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4
    ),
    length=st.one_of(st.none(), st.integers(0, 7000)),
)
@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_mutated_files_end_in_a_header_or_a_sentence(
    tmp_path: Path, sound: bytes, edits: list[tuple[int, bytes]], length: int | None
) -> None:
    data = bytearray(sound)
    for at, new in edits:
        data[at : at + len(new)] = new
    path = tmp_path / "mutated.gguf"
    path.write_bytes(data[:length])
    with suppress(GGUFError):
        arch.check(read_header(path))
