from __future__ import annotations

from pathlib import Path

import pytest
from gguf_maker import make_successor_model

from ayllu.errors import GGUFError
from ayllu.gguf.cache import cached_header


def test_a_header_is_read_once_and_again_when_another_file_takes_its_place(tmp_path: Path) -> None:
    path = make_successor_model(tmp_path / "a.gguf")
    first = cached_header(path)
    assert cached_header(path) is first
    make_successor_model(tmp_path / "b.gguf", context=64).replace(path)
    assert cached_header(path).kvs["llama.context_length"] == 64
    assert first.kvs["llama.context_length"] == 512


def test_the_header_of_a_file_that_went_is_still_there(tmp_path: Path) -> None:
    path = make_successor_model(tmp_path / "a.gguf")
    first = cached_header(path)
    path.unlink()
    assert cached_header(path) is first
    with pytest.raises(GGUFError, match="cannot be read"):
        cached_header(tmp_path / "never.gguf")
