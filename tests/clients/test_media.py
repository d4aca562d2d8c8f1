"""Images and sounds from the clients of Ollama, OpenAI and Anthropic, and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import media_samples as samples
import ollama
import openai
from gguf_maker import CHATML, make_successor_model
from media_samples import GREEN, HIGH, LOW, b64
from projector_maker import make_projector
from serving import Serving

SHORT = {"temperature": 0, "num_predict": 4}


def test_ollamas_client_sends_images_and_sounds(media: Serving, tmp_path: Path) -> None:
    file = tmp_path / "green.webp"
    file.write_bytes(samples.WEBP)
    with ollama.Client(host=media.url) as client:
        for image, answer in (
            (samples.JPEG, "RRRR"),
            (samples.wav(HIGH), "HHHH"),
            (str(file), "GGGG"),
        ):
            message = {"role": "user", "content": "look", "images": [image]}
            assert client.chat("both", [message], options=SHORT).message.content == answer
            reply = client.generate("go", "look", images=[image], options=SHORT, stream=True)
            assert "".join(part.response or "" for part in reply) == answer
        shown = client.show("both")
        assert shown.capabilities == ["completion", "vision", "audio"]


def test_openais_client_sends_images_and_sounds(media: Serving) -> None:
    url = f"data:image/jpeg;base64,{b64(samples.JPEG)}"
    sound: Any = {"data": b64(samples.wav(LOW)), "format": "wav"}
    with openai.OpenAI(base_url=f"{media.url}/v1", api_key="none", max_retries=0) as client:
        for part, answer in (
            ({"type": "image_url", "image_url": {"url": url, "detail": "low"}}, "RRRR"),
            ({"type": "input_audio", "input_audio": sound}, "LLLL"),
        ):
            parts: Any = [{"type": "text", "text": "What is it?"}, part]
            reply = client.chat.completions.create(
                model="both",
                messages=[{"role": "user", "content": parts}],
                max_tokens=4,
                temperature=0,
            )
            assert reply.choices[0].message.content == answer


def test_openais_client_keeps_images_in_a_conversation(media: Serving) -> None:
    image: Any = {
        "type": "input_image",
        "image_url": f"data:image/png;base64,{b64(samples.png(colour=GREEN))}",
        "detail": "auto",
    }
    with openai.OpenAI(base_url=f"{media.url}/v1", api_key="none", max_retries=0) as client:
        parts: Any = [{"type": "input_text", "text": "What is it?"}, image]
        first = client.responses.create(
            model="both",
            input=[{"role": "user", "content": parts}],
            max_output_tokens=4,
            temperature=0,
        )
        assert first.output_text == "GGGG"
        second = client.responses.create(
            model="both",
            input="Sure?",
            previous_response_id=first.id,
            max_output_tokens=4,
            temperature=0,
        )
        assert second.output_text == "GGGG"


def test_anthropics_client_sends_an_image(media: Serving) -> None:
    source: Any = {"type": "base64", "media_type": "image/webp", "data": b64(samples.WEBP)}
    parts: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    ask: Any = {"model": "both", "messages": [{"role": "user", "content": parts}]}
    with anthropic.Anthropic(base_url=media.url, api_key="none", max_retries=0) as client:
        with client.messages.stream(max_tokens=4, extra_body={"temperature": 0}, **ask) as stream:
            assert stream.get_final_text() == "GGGG"
        counted = client.messages.count_tokens(**ask).input_tokens
        usage = stream.get_final_message().usage
        assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_the_command_line_makes_a_model_that_sees_and_shows_it_files(
    media: Serving, tmp_path: Path
) -> None:
    make_successor_model(
        tmp_path / "model.gguf", chat_template=CHATML, context=2048, perceives=True
    )
    make_projector(tmp_path / "mmproj.gguf")
    modelfile = tmp_path / "Modelfile"
    modelfile.write_text(
        "FROM ./model.gguf\nFROM ./mmproj.gguf\nPARAMETER num_predict 4\nPARAMETER temperature 0\n"
    )
    made = media.ayllu("create", "mine", "-f", str(modelfile))
    assert made.status == 0, made.stderr
    shown = media.ayllu("show", "mine").stdout
    assert "vision" in shown.partition("Capabilities")[2].partition("Projector")[0]
    assert "clip" in shown.partition("Projector")[2]
    for name, data, answer in (
        ("green.webp", samples.WEBP, "GGGG"),
        ("high.wav", samples.wav(HIGH), "HHHH"),
    ):
        (tmp_path / name).write_bytes(data)
        ran = media.ayllu("run", "mine", f"What is {tmp_path / name} ?")
        assert (ran.status, ran.stdout.strip()) == (0, answer), ran.stderr
        assert f"'{tmp_path / name}'" in ran.stderr
