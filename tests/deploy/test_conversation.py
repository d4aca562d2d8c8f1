"""The beginning of a conversation is known again, in every dialect, by any machine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.deploy.conversation import BEGINNING, work_of

SYSTEM = {"role": "system", "content": "You are terse."}
HI = {"role": "user", "content": "hi"}
MORE = [{"role": "assistant", "content": "ho"}, {"role": "user", "content": "and?"}]


def key(body: dict[str, Any], model: str = "d") -> bytes:
    return work_of(model, json.dumps(body).encode()).key


@pytest.mark.parametrize("field", ["messages", "input"])
def test_the_next_question_of_a_conversation_has_the_same_key(field: str) -> None:
    begun = key({"model": "m", field: [SYSTEM, HI], "stream": True})
    assert begun
    assert begun == key({"model": "m", field: [SYSTEM, HI, *MORE], "temperature": 0})
    assert begun != key({"model": "m", field: [HI]})
    assert begun != key({"model": "m", field: [SYSTEM, {"role": "user", "content": "ho"}]})
    assert begun != key({"model": "m", field: [SYSTEM, HI]}, "another")


def test_what_stands_beside_the_messages_counts() -> None:
    keys = {
        key({"messages": [HI]}),
        key({"system": "a", "messages": [HI]}),
        key({"system": "b", "messages": [HI]}),
        key({"prompt": "a"}),
        key({"prompt": "b"}),
        key({"input": "a"}),
        key({"instructions": "x", "input": "a"}),
    }
    assert len(keys) == 7


def test_only_the_first_thousand_tokens_count() -> None:
    agent = {"role": "system", "content": "x" * BEGINNING}
    assert key({"messages": [agent, HI]}) == key({"messages": [agent, *MORE]})
    assert key({"prompt": "y" * BEGINNING + "1"}) == key({"prompt": "y" * BEGINNING + "2"})


@given(st.binary())
def test_any_body_is_some_work(body: bytes) -> None:
    work = work_of("d", body)
    assert work.length == len(body)
    assert work.prompt >= 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\x28\xb5\x2f\xfd", b'{"messages":[1]}'])
def test_a_body_that_cannot_be_read_has_no_key(body: bytes) -> None:
    assert work_of("d", body).key == b""
