"""`ayllu create` brings files to the server without copying them, where both use one disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import Ran, Serving, ayllu, serving
from small_disk import mounted, reflinking

from ayllu.models.manifest import digest_of

WORKS = {"model": "x", "prompt": "x", "stream": False, "options": {"num_predict": 3}}


@pytest.fixture
def gguf(tmp_path: Path, chat_gguf: Path) -> Path:
    path = tmp_path / "source/m.gguf"
    path.parent.mkdir()
    shutil.copyfile(chat_gguf, path)
    return path


def blob_of(server: Serving, gguf: Path) -> Path:
    name = digest_of(gguf.read_bytes()).replace(":", "-")
    return server.home / "models/blobs" / name


def copied(done: Ran) -> bool:
    """Whether a create that worked sent its file."""
    assert done.status == 0, done.stderr
    return "copying file sha256:" in done.stderr


def is_shared(path: Path) -> bool:
    """Whether blocks of the file are another's too, by the file system's word."""
    program = shutil.which("filefrag", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    done = subprocess.run([program, "-v", path], check=True, capture_output=True, text=True)
    return "shared" in done.stdout


def test_blocks_are_shared_where_the_disk_can(tmp_path: Path, chat_gguf: Path) -> None:
    with reflinking(tmp_path / "disk") as disk:
        source = disk / "m.gguf"
        shutil.copyfile(chat_gguf, source)
        with serving(disk / "home") as server:
            assert not copied(server.ayllu("create", "x", str(source)))
            blob = blob_of(server, source)
            assert is_shared(blob)
            assert blob.stat().st_ino != source.stat().st_ino
            assert blob.stat().st_mode & 0o777 == 0o644
            with source.open("r+b") as file:  # as a converter that runs again
                file.write(b"damaged")
            assert digest_of(blob.read_bytes()) == digest_of(chat_gguf.read_bytes())
            assert server.post("/api/generate", WORKS).status == 200
            assert not copied(server.ayllu("create", "again", str(chat_gguf)))
            subprocess.run(["sync", "-f", str(disk)], check=True)  # noqa: S607 - coreutils
        assert not list((disk / "home/models").rglob(".tmp-*"))


def test_files_are_copied_where_the_disk_cannot_share(tmp_path: Path, gguf: Path) -> None:
    with serving(tmp_path / "home") as server:
        assert copied(server.ayllu("create", "x", str(gguf)))
        assert blob_of(server, gguf).stat().st_nlink == 1
        assert not list((server.home / "models").rglob(".tmp-*"))


def test_a_link_takes_no_space(tmp_path: Path, gguf: Path) -> None:
    with serving(tmp_path / "home") as server:
        (gguf.parent / "named.gguf").symlink_to(gguf)
        assert not copied(server.ayllu("create", "x", "--link", str(gguf.parent / "named.gguf")))
        blob = blob_of(server, gguf)
        assert blob.samefile(gguf)
        assert not blob.is_symlink()
        assert server.post("/api/generate", WORKS).status == 200
        assert not copied(server.ayllu("create", "y", "--link", str(gguf)))
        assert server.ayllu("rm", "x", "y").status == 0
        assert not blob.exists()
        assert gguf.stat().st_nlink == 1


def test_a_server_with_another_store_gets_the_file_and_nothing_is_left_here(
    tmp_path: Path, gguf: Path
) -> None:
    with serving(tmp_path / "home", AYLLU_MODELS=str(tmp_path / "theirs")) as server:
        done = server.ayllu("create", "x", str(gguf), "--link")
        assert copied(done)
        assert (
            "could not be linked (the server's models lie elsewhere): it is copied" in done.stderr
        )
        assert not (server.home / "models").exists()
        assert gguf.stat().st_nlink == 1
        here = ayllu(server.environment | {"AYLLU_MODELS": str(tmp_path / "theirs")}, "list")
        assert "x:latest" in here.stdout


def test_a_link_over_two_disks_is_a_copy(tmp_path: Path, gguf: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk, serving(tmp_path / "home") as server:
        other = disk / "m.gguf"
        shutil.copyfile(gguf, other)
        done = server.ayllu("create", "x", "--link", str(other))
        assert copied(done)
        assert "m.gguf could not be linked (Invalid cross-device link)" in done.stderr


def test_a_file_that_the_servers_user_may_not_read_is_copied(tmp_path: Path, gguf: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    with serving(tmp_path / "home") as server:
        gguf.chmod(0o600)
        os.chown(gguf, 65534, 65534)
        done = server.ayllu("create", "x", "--link", str(gguf))
        assert copied(done)
        assert "could not read it" in done.stderr


def test_what_is_no_model_leaves_nothing_visible(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    with serving(tmp_path / "home") as server:
        done = server.ayllu("create", "x", "--link", str(bad))
        assert done.status == 1
        assert "x:latest" not in server.ayllu("list").stdout
