from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ayllu.cluster import identity as identities
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.machine import Machine, this_machine
from ayllu.errors import StoreError

HERE = Machine("id-a", ("card-1", "card-2"))
ELSEWHERE = Machine("id-b", ("card-9",))


def modes(folder: Path) -> dict[str, int]:
    return {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()
    }


def test_a_machine_keeps_its_key_and_its_epoch_grows(tmp_path: Path) -> None:
    with opened(tmp_path, HERE) as first:
        pass
    with opened(tmp_path, HERE) as second:
        assert second.node == first.node
        assert second.epoch > first.epoch
    assert len(first.node) == 20
    (tmp_path / "cluster" / "epoch").unlink()
    with opened(tmp_path, HERE) as third:
        assert third.node == first.node
        assert third.epoch >= first.epoch


def test_every_file_is_its_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as identity:
        Keyring(identity).create()
        found = modes(identity.folder)
        assert {"key.pem", "node.crt", "ca.crt", "ca.key", "machine.json"} <= found.keys()
        assert {mode for name, mode in found.items() if name != "lock"} == {0o600}
        assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700


def test_a_copied_folder_becomes_another_machine_and_loses_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "one", HERE) as identity:
        Keyring(identity).create()
        key = (identity.folder / "key.pem").read_bytes()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with opened(tmp_path / "two", ELSEWHERE) as copy:
        assert copy.node != identity.node
        assert Keyring(copy).credentials is None
        (aside,) = copy.folder.glob(f"aside-{identity.node}-*")
        assert (aside / "key.pem").read_bytes() == key
        assert {"node.crt", "ca.crt", "ca.key"} <= modes(aside).keys()
    with opened(tmp_path / "two", ELSEWHERE) as again:
        assert again.node == copy.node
    with opened(tmp_path / "one", HERE) as original:
        assert original.node == identity.node


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Machine("id-a", ("card-2", "card-3")), True),  # one card was exchanged
        (Machine("id-a"), True),  # a container, or the cards are unplugged
        (Machine("", ("card-1",)), True),  # no machine-id
        (Machine(), True),
        (Machine("id-a", ("card-9",)), False),  # a virtual machine was cloned
        (Machine("id-b", ("card-1", "card-2")), False),  # the system was copied to a new disk
    ],
)
def test_what_counts_as_the_same_machine(tmp_path: Path, other: Machine, same: bool) -> None:
    with opened(tmp_path, HERE) as identity:
        pass
    with opened(tmp_path, other) as later:
        assert (later.node == identity.node) == same


def test_cards_that_are_unplugged_for_a_while_are_remembered(tmp_path: Path) -> None:
    for machine in (HERE, Machine("id-a", ("card-1",)), Machine("id-a", ("card-2",))):
        with opened(tmp_path, machine) as identity:
            pass
    kept = json.loads((tmp_path / "cluster" / "machine.json").read_bytes())
    assert sorted(kept["addresses"]) == ["card-1", "card-2"]
    assert not list(identity.folder.glob("aside-*"))


def test_the_fingerprint_says_nothing_of_the_machine(tmp_path: Path) -> None:
    with opened(tmp_path) as identity:
        text = (identity.folder / "machine.json").read_text()
    machine_id = Path("/etc/machine-id")
    if machine_id.exists() and machine_id.read_text().strip():
        assert machine_id.read_text().strip() not in text
    assert this_machine().is_same(this_machine())
    assert ":" not in "".join(this_machine().addresses)


def test_two_processes_do_not_use_one_identity(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom ayllu.cluster.identity import opened\n"
        "with opened(pathlib.Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="another Ayllu server uses the identity"):
            opened(tmp_path).__enter__()
        other.communicate()
    with opened(tmp_path):
        pass


def test_what_a_crash_left_is_removed_and_harmless(tmp_path: Path) -> None:
    with opened(tmp_path) as identity:
        left = identity.folder / ".tmp-abc"
        left.write_bytes(b"half a key")
    with opened(tmp_path) as later:
        assert later.node == identity.node
        assert not left.exists()


def test_a_crash_while_a_copy_is_set_aside_is_made_good(tmp_path: Path) -> None:
    with opened(tmp_path, HERE) as identity:
        Keyring(identity).create()
    folder = identity.folder
    aside = folder / f"aside-{identity.node}-20260101-000000"
    aside.mkdir()
    for name in ("node.crt", "ca.crt", "key.pem"):  # the others were still there
        (folder / name).replace(aside / name)
    with opened(tmp_path, ELSEWHERE) as copy:
        assert copy.node != identity.node
        assert not (folder / "ca.key").exists()
        assert Keyring(copy).credentials is None


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_named_and_kept(tmp_path: Path, data: bytes) -> None:
    with opened(tmp_path) as identity:
        path = identity.folder / "key.pem"
        path.write_bytes(data)
    with pytest.raises(StoreError, match=r"key\.pem"):
        opened(tmp_path).__enter__()
    assert path.read_bytes() == data


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster").write_text("a file")
    with pytest.raises(StoreError, match="cluster"):
        opened(tmp_path).__enter__()


def test_errors_of_whoever_uses_an_identity_pass_through(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), opened(tmp_path):
        raise TimeoutError


def test_a_signature_is_of_one_key_and_one_text(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as a, opened(tmp_path / "b") as b:
        signature = a.sign(b"text")
        assert identities.is_signed(a.key.public_key(), signature, b"text")
        assert not identities.is_signed(a.key.public_key(), signature, b"other")
        assert not identities.is_signed(b.key.public_key(), signature, b"text")
        assert not identities.is_signed(a.key.public_key(), b"", b"text")
