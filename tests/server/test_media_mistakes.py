"""Images and sounds that are wrong: always a 4xx with a sentence, and everything goes on."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import media_samples as samples
import pytest
from gguf_maker import walk
from hypothesis import given, settings
from hypothesis import strategies as st
from media_samples import b64
from serving import Answer, Serving

MESSAGE = {"role": "user", "content": "look"}


def ask(server: Serving, image: str, model: str = "both", **options: Any) -> Answer:
    message = MESSAGE | {"images": [image]}
    options = {"temperature": 0, "num_predict": 4, **options}
    body = {"model": model, "messages": [message], "options": options, "stream": False}
    return server.post("/api/chat", body)


def shorter(data: bytes) -> bytes:
    return data[: len(data) // 2]


def wav_of(*, rate: int = 16_000, bits: int = 16, size: int = 16_000) -> bytes:
    head = struct.pack("<HHIIHH", 1, 1, rate, rate * bits // 8, bits // 8, bits)
    data = b"data" + struct.pack("<I", size) + bytes(size)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt \x10\0\0\0" + head + data


XING = b"Xing\0\0\0\1"
SENTENCES = {
    "text": (b"This is no image.", 400, "is no JPEG, PNG, WebP or GIF image and no WAV"),
    "a PDF": (b"%PDF-1.7\n" + bytes(100), 400, "is no JPEG"),
    "a TIFF": (b"II*\0" + bytes(100), 400, "is no JPEG"),
    "a video": (b"\0\0\0\x18ftypmp42" + bytes(100), 400, "is no JPEG"),
    "half a PNG": (shorter(samples.png()), 400, "is damaged, or of a kind that cannot"),
    "a PNG's signature": (samples.png()[:8], 400, "is a damaged PNG file"),
    "half a WebP": (shorter(samples.WEBP), 400, "cannot be decoded"),
    "a WebP's signature": (samples.WEBP[:12], 400, "cannot be decoded"),
    "a JPEG's signature": (samples.JPEG[:4], 400, "is a damaged JPEG file"),
    "a JPEG of padding": (b"\xff\xd8" + b"\xff" * 100_000, 400, "is a damaged JPEG file"),
    "a JPEG of empty parts": (b"\xff\xd8" + b"\xff\xe0\0\2" * 50_000, 400, "is a damaged JPEG"),
    "a GIF's signature": (samples.GIF[:6], 400, "is a damaged GIF file"),
    "a PNG without pixels": (samples.png_bomb(0, 5), 400, "is a damaged PNG file"),
    "a bomb": (samples.png_bomb(50_000, 50_000), 413, "50000 x 50000 pixels: 100,000,000 is the"),
    "a small bomb": (samples.png_bomb(9000, 9000), 400, "is damaged"),
    "a line": (samples.png(201, 1), 400, "one side may be 200 times the other"),
    "half a WAV's head": (samples.wav()[:30], 400, "is a damaged WAV file"),
    "an empty WAV": (wav_of(size=0), 400, "is a sound without length"),
    "a WAV of one sample": (wav_of(size=2), 400, "is a sound without length"),
    "a WAV of no rate": (wav_of(rate=0), 400, "is a damaged WAV file"),
    "a WAV of no bits": (wav_of(bits=0), 400, "is a damaged WAV file"),
    "a slow WAV": (wav_of(rate=1), 413, "is longer than 60 minutes"),
    "an odd WAV": (wav_of(bits=4), 400, "is damaged, or of a kind"),
    "a FLAC of one sample": (samples.flac(claims=1), 400, "is a sound without length"),
    "a FLAC of years": (samples.flac(claims=1 << 35), 413, "is longer than 60 minutes"),
    "a FLAC's signature": (samples.flac()[:10], 400, "is a damaged FLAC file"),
    "a long MP3": (samples.mp3(20_000, tag=XING + (150_000).to_bytes(4)), 413, "is longer than 60"),
    "an MP3 of years": (samples.mp3(tag=XING + b"\xff" * 4), 400, "is a damaged MP3 file"),
    "a large MP3": (samples.mp3(90_000), 413, "25,000,000 bytes, the most of an MP3"),
    "an MP3 of nothing": (b"ID3" + bytes(1000), 400, "is damaged, or of a kind"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_cannot_be_decoded_is_told(media: Serving, name: str) -> None:
    data, status, words = SENTENCES[name]
    engines = media.engines()
    answer = ask(media, b64(data))
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body
    assert ask(media, b64(samples.png())).json["message"]["content"] == "RRRR"
    assert not engines or media.engines() == engines


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "the attachment is empty"),
        ("\n", "the attachment is empty"),
        ("?", "is not valid base64"),
        ("AAA", "is not valid base64"),
        ("ñ", "is not valid base64"),
        (f"data:image/png;base64,{b64(samples.png())}", "is not valid base64"),
        ("http://127.0.0.1:1/cat.png", "is not valid base64"),
        ("http", "is no JPEG"),
        ("file", "is no JPEG"),
    ],
)
def test_what_is_no_base64_is_told(media: Serving, image: str, words: str) -> None:
    for model in ("both", "go"):
        answer = ask(media, image, model)
        assert (answer.status, words in answer.json["error"]) == (400, True), answer.body


def test_base64_may_have_line_breaks(media: Serving) -> None:
    lines = b64(samples.png())
    broken = "\r\n".join(lines[at : at + 76] for at in range(0, len(lines), 76))
    assert ask(media, broken).json["message"]["content"] == "RRRR"


def test_the_second_of_two_is_named(media: Serving) -> None:
    images = [b64(samples.png()), "AAAA"]
    body = {"model": "both", "messages": [MESSAGE | {"images": images}]}
    answer = media.post("/api/chat", body)
    assert (answer.status, answer.json["error"][:12]) == (400, "attachment 2")
    raw = {"model": "both", "prompt": "[img-1]", "raw": True, "images": images}
    assert media.post("/api/generate", raw).status == 400


def requests(image: bytes) -> list[tuple[str, Any]]:
    """The same attachment in every dialect."""
    url = {"type": "image_url", "image_url": {"url": f"data:;base64,{b64(image)}"}}
    source = {"type": "base64", "media_type": "image/png", "data": b64(image)}
    block = {"type": "image", "source": source}
    return [
        ("/api/chat", {"messages": [MESSAGE | {"images": [b64(image)]}]}),
        ("/api/generate", {"prompt": "look", "images": [b64(image)]}),
        ("/api/generate", {"prompt": "look", "images": [b64(image)], "raw": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [url]}]}),
        ("/v1/messages", {"max_tokens": 4, "messages": [{"role": "user", "content": [block]}]}),
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": [block]}]}),
    ]


def message_of(answer: Answer) -> str:
    error = answer.json["error"]
    return str(error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize("streaming", [False, True])
def test_every_dialect_refuses_alike(media: Serving, streaming: bool) -> None:
    for model, image, words in (
        ("blind", samples.png(), "does not support vision"),
        ("hearing", samples.png(), "does not support vision"),
        ("both", b"no image", "is no JPEG"),
        ("go", samples.png()[:60], "is damaged"),
    ):
        for path, body in requests(image):
            answer = media.post(path, body | {"model": model, "stream": streaming})
            assert (answer.status, words in message_of(answer)) == (400, True), answer.body


def test_a_model_that_does_not_hear_is_sent_no_sound(media: Serving) -> None:
    wav = b64(samples.wav())
    part = {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}}
    for model in ("blind", "seeing"):
        for path, body in (
            ("/api/chat", {"messages": [MESSAGE | {"images": [wav]}]}),
            ("/api/generate", {"prompt": "look", "images": [wav]}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": [part]}]}),
        ):
            answer = media.post(path, body | {"model": model})
            refused = "does not support audio" in message_of(answer)
            assert (answer.status, refused) == (400, True), answer.body


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio"}, "has no data"),
        ({"type": "input_audio", "input_audio": {"data": ""}}, "is empty"),
        ({"type": "input_audio", "input_audio": {"data": b64(samples.png())}}, "is no WAV, MP3"),
        (
            {"type": "image_url", "image_url": {"url": f"data:;base64,{b64(samples.wav())}"}},
            "is no image",
        ),
        ({"type": "file", "file": {}}, "has the type file, which is not supported"),
        ({"type": "video_url"}, "is no part of type text, image_url or input_audio"),
    ],
)
def test_openais_parts_are_what_they_say(media: Serving, part: Any, words: str) -> None:
    body = {"model": "both", "messages": [{"role": "user", "content": [part]}]}
    answer = media.post("/v1/chat/completions", body)
    assert (answer.status, words in message_of(answer)) == (400, True), answer.body


def test_anthropics_images_are_no_sounds(media: Serving) -> None:
    path, body = requests(samples.wav())[4]
    answer = media.post(path, body | {"model": "both"})
    assert (answer.status, "an image is a sound" in message_of(answer)) == (400, True)


@pytest.mark.parametrize("dialect", range(3))
def test_a_sound_that_ends_the_engine_does_so_twice_and_is_refused(
    media: Serving, dialect: int
) -> None:
    def write() -> Any:
        body = {"model": "both", "messages": [MESSAGE], "stream": False, "options": {"seed": 1}}
        return media.post("/api/chat", body).json["message"]["content"]

    ask(media, b64(samples.png()))
    before = media.log.read_text("utf-8").count("engine ended")
    path, body = requests(samples.mp3_of_one_sample())[dialect]
    with ThreadPoolExecutor() as others:
        texts = [others.submit(write) for _ in range(3)]
        answer = media.post(path, body | {"model": "both"})
        assert [text.result() for text in texts] == [walk(26)] * 3
    words = "the engine did not survive the images or sounds of this request: the engine"
    assert (answer.status, message_of(answer)[: len(words)]) == (400, words)
    assert media.log.read_text("utf-8").count("engine ended") - before == 2
    assert ask(media, b64(samples.png())).json["message"]["content"] == "RRRR"


def test_an_image_too_many_is_told_before_the_engine_sees_it(media: Serving) -> None:
    images = [b64(samples.png_bomb(9999, 9999))] * 5
    body = {"model": "both", "messages": [MESSAGE | {"images": images}]}
    answer = media.post("/api/chat", body)
    assert (answer.status, "400,000,000 pixels together" in answer.json["error"]) == (413, True)


def test_large_bodies_are_long_in_their_texts_alone(media: Serving) -> None:
    large = b64(b"\x89PNG\r\n\x1a\n" + bytes(100_000_001))
    for path, body in requests(b"")[:1]:
        body["messages"][0]["images"] = [large]
        answer = media.post(path, body | {"model": "both"})
        assert (answer.status, "more than 100,000,000 bytes" in message_of(answer)) == (413, True)
    values = b'{"model": "both", "messages": [' + b"[]," * (24 << 20) + b"[]]}"
    answer = media.post("/api/chat", values)
    assert (answer.status, "more than 4,000,000 values" in answer.json["error"]) == (413, True)
    endless = b'{"model": "both", "prompt": "' + b"a" * (160 << 20) + b'"}'
    answer = media.post("/api/generate", endless)
    assert (answer.status, "larger than" in answer.json["error"]) == (413, True)
    text = b'{"model": "both", "raw": true, "prompt": "' + b"a" * (101 << 20) + b'"}'
    answer = media.post("/api/generate", text)
    assert (answer.status, "the engine takes: 100 MiB" in answer.json["error"]) == (413, True)


WHOLE = [
    samples.png(16, 16),
    samples.png(16, 16, (1, 2, 3, 4), depth=16),
    samples.JPEG,
    samples.JPEG_CMYK,
    samples.GIF,
    samples.wav(seconds=0.05),
    samples.flac(seconds=0.05),
    samples.mp3(2),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file that was whole, with a few bytes changed, and perhaps cut off."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(len(data), 200) - 1))
        data[place] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(8, len(data)))])


@settings(deadline=None)
@given(data=damaged())
def test_damage_of_any_kind_ends_no_engine(media: Serving, data: bytes) -> None:
    engines = media.engines()
    answer = ask(media, b64(data))
    assert answer.status in {200, 400, 413}, answer.body
    assert not engines or media.engines() == engines
