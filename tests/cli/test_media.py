from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ayllu.cli.media import attach, begins_with_file
from ayllu.errors import BadRequestError

PNG = b"\x89PNG\r\n\x1a\n rest"
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt "


def test_a_picture_is_read_and_taken_out_of_the_prompt(tmp_path: Path) -> None:
    picture = tmp_path / "a b.PNG"
    picture.write_bytes(PNG)
    escaped = str(picture).replace(" ", "\\ ")

    attached = attach(f"what is {escaped} ?")

    assert attached.images == (base64.b64encode(PNG).decode(),)
    assert attached.prompt == "what is  ?"
    assert attached.notes == (f"Added image '{picture}'",)


def test_quotes_around_a_path_go_with_it(tmp_path: Path) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(WAV)

    attached = attach(f"'{sound}' what is said?")

    assert attached.prompt == "what is said?"
    assert attached.notes == (f"Added audio '{sound}'",)


def test_a_path_to_nothing_stays_text() -> None:
    prompt = " look at /nowhere/at/all.png "

    assert attach(prompt).prompt == prompt


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    fake = tmp_path / "a.jpg"
    fake.write_text("#!/bin/sh")

    with pytest.raises(BadRequestError, match="no JPEG, PNG or WebP"):
        attach(f"what is {fake}")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    large = tmp_path / "a.jpg"
    with large.open("wb") as file:
        file.truncate(100_000_001)

    with pytest.raises(BadRequestError, match="more than 100 MB"):
        attach(f"what is {large}")


def test_a_line_may_begin_with_a_file_instead_of_a_command(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)

    assert begins_with_file(f"{picture} what is this?")
    assert not begins_with_file("/show info")
    assert not begins_with_file("/nowhere.png")
