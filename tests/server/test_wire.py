from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.errors import BadRequestError
from ayllu.server.wire import decode, encode
from ayllu.server.wire_anthropic import DocumentBlock, MessagesRequest, Source, TextBlock
from ayllu.server.wire_ollama import ChatRequest, GenerateRequest


def test_json_is_escaped_as_go_escapes_it() -> None:
    assert encode({"a": "<b>&\u2028\u2029é"}) == (
        b'{"a":"\\u003cb\\u003e\\u0026\\u2028\\u2029' + "é".encode() + b'"}'
    )


@given(st.recursive(st.text() | st.integers(-(2**53), 2**53) | st.booleans(), st.lists))
def test_escaping_never_changes_a_value(value: Any) -> None:
    assert json.loads(encode(value)) == value


def test_keys_match_whatever_their_case_at_every_level() -> None:
    body = b'{"MODEL":"m","Messages":[{"Role":"user","CONTENT":"hi","Tool_Calls":null}]}'
    request = decode(body, ChatRequest)
    assert (request.model, request.messages[0].content) == ("m", "hi")


def test_tool_calls_keep_their_arguments_as_they_are() -> None:
    call = {"Function": {"Name": "f", "Arguments": {"City": "Lima", "n": None}}}
    body = json.dumps({"messages": [{"role": "assistant", "tool_calls": [call]}]}).encode()
    function = decode(body, ChatRequest).messages[0].tool_calls[0].function
    assert (function.name, function.arguments) == ("f", {"City": "Lima", "n": None})


def test_options_keep_their_keys() -> None:
    assert decode(b'{"options":{"Num_Ctx":1}}', GenerateRequest).options == {"Num_Ctx": 1}


def test_a_number_without_a_fraction_is_a_whole_one() -> None:
    request = decode(b'{"top_logprobs":2.0,"context":[1.0,2]}', GenerateRequest)
    assert (request.top_logprobs, request.context) == (2, (1, 2))
    with pytest.raises(BadRequestError, match="top_logprobs"):
        decode(b'{"top_logprobs":2.5}', GenerateRequest)


def test_of_several_structs_the_tag_says_which_it_is() -> None:
    block = {"type": "document", "SOURCE": {"type": "text", "Data": "x"}, "title": None}
    message = {"role": "user", "content": [block, {"type": "text", "text": "y"}]}
    body = json.dumps({"messages": [message], "system": [{"type": "text", "Text": "z"}]}).encode()
    request = decode(body, MessagesRequest)
    assert request.messages[0].content == (
        DocumentBlock(Source("text", "x")),
        TextBlock("y"),
    )
    assert request.system == (TextBlock("z"),)


@pytest.mark.parametrize("block", [{"text": "x"}, {"type": "image", "text": "x"}, {"type": None}])
def test_a_block_must_say_what_it_is(block: Any) -> None:
    with pytest.raises(BadRequestError, match=r"\$\.system\[0\]"):
        decode(json.dumps({"system": [block]}).encode(), MessagesRequest)


@pytest.mark.parametrize("key", ["role", "ROLE"])
def test_roles_are_read_in_any_case(key: str) -> None:
    body = json.dumps({"messages": [{key: "User", "content": "hi"}]}).encode()
    assert decode(body, ChatRequest).messages[0].role == "user"


def test_a_body_of_null_is_an_empty_request() -> None:
    assert decode(b"null", GenerateRequest) == GenerateRequest()


def test_null_means_absent_and_unknown_keys_are_ignored() -> None:
    request = decode(b'{"stream":null,"prompt":null,"what":1}', GenerateRequest)
    assert (request.stream, request.prompt) == (True, "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "missing request body"),
        (b"  \n", "missing request body"),
        (b"{", "not JSON"),
        (b"[1]", "does not fit"),
        (b'{"model":5}', "model"),
        (b'{"messages":{}}', "messages"),
        (b'{"messages":[{"role":"robot","content":""}]}', "role"),
        (b'{"prompt":"\xff"}', "not JSON"),
        (b'{"options":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_bodies_are_refused_in_one_sentence(body: bytes, words: str) -> None:
    kind = ChatRequest if b"messages" in body else GenerateRequest
    with pytest.raises(BadRequestError, match=words) as caught:
        decode(body, kind)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_a_bad_request(body: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        decode(body, ChatRequest)
