"""Images and sounds through every API, decoded by the real engine with a real projector."""

from __future__ import annotations

from typing import Any

import media_samples as samples
import pytest
from media_samples import BLUE, GREEN, HIGH, LOW, RED, b64
from projector_maker import vision_tokens
from serving import Serving

SHORT = {"temperature": 0, "num_predict": 4}


def chat(server: Serving, *images: bytes, model: str = "both", text: str = "look") -> Any:
    """A chat's answer and the size of its prompt."""
    message = {"role": "user", "content": text, "images": [b64(image) for image in images]}
    body = {"model": model, "messages": [message], "stream": False, "options": SHORT}
    answer = server.post("/api/chat", body)
    assert answer.status == 200, answer.body
    return answer.json["message"]["content"], answer.json["prompt_eval_count"]


def generate(server: Serving, *images: bytes, **fields: Any) -> Any:
    body = {"model": "both", "images": [b64(image) for image in images], "options": SHORT}
    answer = server.post("/api/generate", body | {"stream": False} | fields)
    assert answer.status == 200, answer.body
    return answer.json["response"], answer.json["prompt_eval_count"]


IMAGES = {
    "PNG": (samples.png(colour=BLUE), "BBBB"),
    "PNG of 16 bits": (samples.png(colour=BLUE, depth=16), "BBBB"),
    "PNG with transparency": (samples.png(colour=(0, 255, 0, 9)), "GGGG"),
    "PNG of greys": (samples.png(colour=(200,)), "RRRR"),
    "black PNG": (samples.png(colour=samples.BLACK), "abcd"),
    "animated PNG": (samples.apng(BLUE, RED), "BBBB"),
    "JPEG": (samples.JPEG, "RRRR"),
    "JPEG of four colours": (samples.JPEG_CMYK, "RRRR"),
    "GIF": (samples.GIF, "BBBB"),
    "WebP": (samples.WEBP, "GGGG"),
    "WebP with loss": (samples.WEBP_LOSSY, "GGGG"),
    "a single pixel": (samples.png(1, 1, GREEN), "GGGG"),
    "a line": (samples.png(200, 1, GREEN), "GGGG"),
}


@pytest.mark.parametrize("model", ["both", "go", "legacy"])
@pytest.mark.parametrize("name", IMAGES)
def test_a_model_sees_images_of_every_kind(media: Serving, name: str, model: str) -> None:
    image, answer = IMAGES[name]
    assert chat(media, image, model=model)[0] == answer


PIPED = samples.wav(LOW).replace(b"data" + (16_000).to_bytes(4, "little"), b"data" + b"\xff" * 4)
SOUNDS = {
    "low WAV": (samples.wav(LOW), "LLLL"),
    "high WAV": (samples.wav(HIGH), "HHHH"),
    "WAV of 44 kHz": (samples.wav(HIGH, rate=44_100), "HHHH"),
    "WAV of unknown length": (PIPED, "LLLL"),
    "low FLAC": (samples.flac(LOW), "LLLL"),
    "high FLAC": (samples.flac(HIGH), "HHHH"),
    "silent MP3": (samples.mp3(), "abcd"),
}


@pytest.mark.parametrize("model", ["both", "go"])
@pytest.mark.parametrize("name", SOUNDS)
def test_a_model_hears_sounds_of_every_kind(media: Serving, name: str, model: str) -> None:
    sound, answer = SOUNDS[name]
    assert chat(media, sound, model=model)[0] == answer


def test_images_and_sounds_take_tokens(media: Serving) -> None:
    _, without = chat(media)
    _, small = chat(media, samples.png(64, 48))
    _, large = chat(media, samples.png(1600, 1200))
    _, two = chat(media, samples.png(64, 48), samples.png(96, 96, BLUE))
    assert small - without == vision_tokens(64, 48) == 12
    assert 40 < large - without <= 64
    assert two - without == vision_tokens(64, 48) + vision_tokens(96, 96)
    _, sound = chat(media, samples.wav())
    _, longer = chat(media, samples.wav(seconds=31, rate=1000))
    assert (sound - without, longer - sound) == (14, 1)


def test_an_image_may_end_the_prompt(media: Serving) -> None:
    image = samples.png(64, 48, GREEN)
    _, bare = chat(media, model="early", text="ab")
    engines = {engine.pid for engine in media.engines()}
    assert chat(media, image, model="early", text="ab[img]") == ("GGGG", bare + 12 + 1)
    assert chat(media, image, model="early", text="[img]ab") == ("GGGG", bare + 12)
    assert chat(media, image, model="early", text="") == ("GGGG", 12 + 1)
    assert engines == {engine.pid for engine in media.engines()}


def test_a_raw_prompt_has_its_images_where_it_names_them(media: Serving) -> None:
    image = samples.png(64, 48, GREEN)
    named = generate(media, image, raw=True, prompt="USER [img-0]\nyes")
    before = generate(media, image, raw=True, prompt="USER yes")
    last = generate(media, image, raw=True, prompt="yes [img-0]")
    assert named == ("GGGG", len("USER \nyes") + 12)
    assert before == ("GGGG", len("USER yes") + 12)
    assert last == ("GGGG", len("yes \n") + 12)
    twice = generate(media, image, raw=True, prompt="[img-0][img-0][img-1]\n")
    assert twice == ("GGGG", len("[img-1]\n") + 24)
    assert generate(media, raw=True, prompt="[img-0]a") == ("bcde", 8)


def test_a_text_says_where_its_image_is(media: Serving) -> None:
    image = samples.png(64, 48, GREEN)
    for model in ("both", "go"):
        bare, count = chat(media, model=model, text="a\nb")
        assert bare == "abcd"
        for text in ("a[img]\nb", "[img]a\nb", "a\nb"):
            assert chat(media, image, model=model, text=text) == ("GGGG", count + 12), text
    literal = chat(media, image, text="[img][img]")
    assert literal == ("GGGG", chat(media, text="[img]")[1] + 12)


def test_a_prompt_and_a_template_of_the_request_have_images(media: Serving) -> None:
    image = samples.png(64, 48, BLUE)
    assert generate(media, image, prompt="look")[0] == "BBBB"
    template = "<{{ .System }}|{{ .Prompt }}>\n"
    found = generate(media, image, prompt="see [img]", template=template, system="be")
    assert found == ("BBBB", len("<be|see >\n") + 12)


def test_a_context_comes_before_an_image(media: Serving) -> None:
    body = {"model": "both", "prompt": "look", "options": SHORT, "stream": False}
    first = media.post("/api/generate", body | {"images": [b64(samples.png(64, 48))]}).json
    assert len(first["context"]) == first["prompt_eval_count"] - 12 + 4
    image = {"images": [b64(samples.wav(HIGH))], "context": first["context"]}
    second = media.post("/api/generate", body | image).json
    assert second["response"] == "HHHH"
    alone = first["prompt_eval_count"] - 12
    assert second["prompt_eval_count"] == len(first["context"]) + alone + 14


def test_text_that_looks_like_a_place_is_text(media: Serving) -> None:
    for text in ("<__media__>", "<__image__>", "[img-0]", "\ufffc", f"media{'0' * 32}"):
        for model in ("both", "go"):
            seen, count = chat(media, samples.png(64, 48), model=model, text=text)
            said, without = chat(media, model=model, text=text)
            gone = 3 if text == "\ufffc" else 0
            assert (seen, said, count - without) == ("RRRR", "abcd", 12 - gone)


def test_the_prompt_that_is_shown_numbers_its_images(media: Serving) -> None:
    images = [b64(samples.png()), b64(samples.wav())]
    message = {"role": "user", "content": "see [img]", "images": images}
    body = {"messages": [message], "_debug_render_only": True}
    for model, prompt in (
        ("go", "user: [img-0]see [img-1]\n"),
        ("both", "<|im_start|>user\n[img-0]see [img-1]<|im_end|>\n<|im_start|>assistant\n"),
    ):
        shown = media.post("/api/chat", body | {"model": model}).json["_debug_info"]
        assert shown == {"rendered_template": prompt, "image_count": 2}


def openai(server: Serving, *parts: Any, **fields: Any) -> Any:
    message = {"role": "user", "content": list(parts)}
    body = {"model": "both", "messages": [message], "temperature": 0, "max_tokens": 4}
    answer = server.post("/v1/chat/completions", body | fields)
    assert answer.status == 200, answer.body
    reply = answer.json
    return reply["choices"][0]["message"]["content"], reply["usage"]["prompt_tokens"]


def picture(data: bytes, kind: str = "image/png") -> Any:
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{b64(data)}"}}


def sound(data: bytes, form: str) -> Any:
    return {"type": "input_audio", "input_audio": {"data": b64(data), "format": form}}


def words(text: str) -> Any:
    return {"type": "text", "text": text}


def test_openais_parts_keep_their_order(media: Serving) -> None:
    _, bare = openai(media, words("ab"))
    one = samples.png(64, 48, GREEN)
    assert openai(media, words("a"), picture(one), words("b")) == ("GGGG", bare + 12)
    assert openai(media, picture(one), words("ab")) == ("GGGG", bare + 12)
    assert openai(media, words("ab"), sound(samples.wav(HIGH), "wav")) == ("HHHH", bare + 14)
    assert openai(media, sound(samples.flac(), "flac"), words("ab")) == ("LLLL", bare + 14)
    assert openai(media, sound(samples.mp3(), "mp3"), words("ab")) == ("abcd", bare + 14)
    assert openai(media, picture(samples.WEBP, "image/webp"), words("ab"))[0] == "GGGG"
    assert openai(media, picture(samples.GIF, "image/gif"), words("ab"))[0] == "BBBB"
    two = openai(media, picture(one), words("a"), picture(one), words("b"), n=2)
    assert two == ("GGGG", bare + 24)
    texts = openai(media, words("a"), words("b"))
    assert texts == ("abcd", bare + 1)


def block(data: bytes) -> Any:
    source = {"type": "base64", "media_type": "image/png", "data": b64(data)}
    return {"type": "image", "source": source}


def anthropic(server: Serving, path: str, *messages: Any, **fields: Any) -> Any:
    body = {"model": "both", "max_tokens": 4, "temperature": 0, "messages": messages}
    answer = server.post(f"/v1/messages{path}", body | fields)
    assert answer.status == 200, answer.body
    return answer.json


def test_anthropics_blocks_are_seen_and_counted(media: Serving) -> None:
    image = samples.png(64, 48, BLUE)
    user = {"role": "user", "content": [words("a"), block(image), words("b")]}
    for model in ("both", "go"):
        reply = anthropic(media, "", user, model=model)
        assert reply["content"] == [words("BBBB")]
        count = anthropic(media, "/count_tokens", user, model=model)["input_tokens"]
        usage = reply["usage"]
        assert count == usage["input_tokens"] + usage["cache_read_input_tokens"]
        bare = {"role": "user", "content": [words("ab")]}
        without = anthropic(media, "/count_tokens", bare, model=model)["input_tokens"]
        assert count - without == 12


def test_old_messages_go_where_images_are_too_many(media: Serving) -> None:
    image = b64(samples.png(128, 128, GREEN))
    for model in ("both", "go"):
        turns = [{"role": "user", "content": "look", "images": [image]} for _ in range(40)]
        body = {"model": model, "messages": turns, "stream": False, "options": SHORT}
        reply = media.post("/api/chat", body).json
        assert reply["message"]["content"] == "GGGG"
        assert 1900 < reply["prompt_eval_count"] < 2048
        assert 5 < reply["truncated"] < 20
        refused = media.post("/api/chat", body | {"truncate": False})
        assert (refused.status, "the context holds 2048" in refused.json["error"]) == (400, True)
        last = [{"role": "user", "content": "look", "images": [image] * 40}]
        alone = media.post("/api/chat", body | {"messages": last})
        assert (alone.status, "the context holds 2048" in alone.json["error"]) == (400, True)


def test_a_bounded_answer_leaves_room_for_images(media: Serving) -> None:
    images = [samples.png(128, 128)] * 31
    message = {"role": "user", "content": "look", "images": [b64(image) for image in images]}
    body = {"model": "both", "messages": [message], "stream": False, "shift": False}
    reply = media.post("/api/chat", body | {"options": {"temperature": 0}}).json
    assert reply["done_reason"] == "length"
    assert reply["prompt_eval_count"] + reply["eval_count"] == 2048


def test_capabilities_and_the_projector_are_shown(media: Serving) -> None:
    for model, senses in (
        ("both", ["vision", "audio"]),
        ("seeing", ["vision"]),
        ("hearing", ["audio"]),
        ("blind", []),
    ):
        shown = media.post("/api/show", {"model": model}).json
        assert shown["capabilities"] == ["completion", *senses]
        info = shown.get("projector_info", {})
        assert [s for s in ("vision", "audio") if info.get(f"clip.has_{s}_encoder")] == senses
        printed = media.ayllu("show", model).stdout
        assert ("embedding length    " in printed.partition("Projector")[2]) == bool(senses)
    assert " 32 " in media.ayllu("show", "both").stdout.partition("Projector")[2]
    assert " 16 " in media.ayllu("show", "hearing").stdout.partition("Projector")[2]
