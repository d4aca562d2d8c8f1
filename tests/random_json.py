"""JSON that nobody would write, for requests: any kind of value, and now and then a known word."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Values = st.SearchStrategy[Any]


def words(size: int) -> st.SearchStrategy[str]:
    """Short texts; all of Unicode would take Hypothesis long to lay out."""
    return st.text(st.sampled_from("aB0 \n{}[]<>/\"'\\\x00\ufffe\u00e9\U0001f600"), max_size=size)


def scalars(*known: str, infinite: bool = True) -> Values:
    """Values that hold no others; numbers leave what the engine can hold, too."""
    values = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=infinite)
        | st.text(max_size=8)
    )
    return values | st.sampled_from(known) if known else values


def containers(inner: Values, keys: st.SearchStrategy[str], size: int = 3) -> Values:
    """Short lists of values and objects of up to `size` of them."""
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=size)
