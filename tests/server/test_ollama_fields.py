"""Where images stand in the texts of Ollama's API, which cannot be seen from outside."""

from __future__ import annotations

import pytest

from ayllu.chat.placing import PLACE
from ayllu.server.ollama_fields import read_places, read_raw_places
from ayllu.types import Message


@pytest.mark.parametrize(
    ("content", "images", "placed", "ordered"),
    [
        ("look", "AB", "look", "AB"),
        ("see [img]", "AB", f"see {PLACE}", "BA"),
        ("[img][img][img]", "AB", f"{PLACE}{PLACE}[img]", "AB"),
        (f"a{PLACE}[img]", "A", f"a{PLACE}", "A"),
        ("[img-0]", "A", "[img-0]", "A"),
        (f"[img]{PLACE}", "", f"[img]{PLACE}", ""),
    ],
)
def test_messages_have_their_images_in_the_order_of_the_text(
    content: str, images: str, placed: str, ordered: str
) -> None:
    (message,) = read_places([Message("user", content, images=tuple(images))])
    assert (message.content, "".join(message.images)) == (placed, ordered)


@pytest.mark.parametrize(
    ("prompt", "images", "placed", "ordered"),
    [
        ("[img-1] or [img-0]", "AB", f"{PLACE} or {PLACE}", "BA"),
        ("[img-1]", "ABC", f"{PLACE}{PLACE}{PLACE}", "ACB"),
        ("[img-0][img-0]", "A", f"{PLACE}{PLACE}", "AA"),
        ("[img-7][img][img-99999999]", "A", f"{PLACE}[img-7][img][img-99999999]", "A"),
        ("[img-0]", "", "[img-0]", ""),
    ],
)
def test_raw_prompts_name_their_images_by_number(
    prompt: str, images: str, placed: str, ordered: str
) -> None:
    told, given = read_raw_places(prompt, tuple(images))
    assert (told, "".join(given)) == (placed, ordered)
