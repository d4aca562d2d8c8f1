"""The user's files: each kind is read, each mistake gets one sentence, memory stays bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hf_maker import run_torch
from hypothesis import given
from hypothesis import strategies as st

from ayllu.errors import BadRequestError, StoreError, UnsupportedError
from ayllu.tune.data import Data, read
from ayllu.tune.lines import LONGEST
from ayllu.tune.rows import Chat, Text

ROWS = [{"question": f"What is {n}+{n}?", "answer": f"It is {2 * n}."} for n in range(3)]
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS)
TABLE = "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in ROWS)


def look(folder: Path, files: dict[str, str | bytes], **more: Any) -> Data:
    """Write files and look through them."""
    paths = {}
    for number, (name, content) in enumerate(files.items()):
        paths[name] = folder / f"blob-{number}"
        paths[name].write_bytes(content.encode() if isinstance(content, str) else content)
    return asyncio.run(read(paths, folder, **more))


def asked(data: Data) -> list[str]:
    """What is asked in each row, or its text."""
    found = []
    for row in data.read():
        example = row.example
        found.append(example.text if isinstance(example, Text) else example.messages[-2].content)
    return found


def refusal(folder: Path, files: dict[str, str | bytes], **more: Any) -> str:
    with pytest.raises(BadRequestError) as caught:
        look(folder, files, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", LINES),
        ("rows.jsonl", LINES.replace("\n", "\r\n\r\n")),
        ("rows.ndjson", LINES.rstrip()),
        ("rows.json", LINES),
        ("rows", LINES),
        ("rows.jsonl", json.dumps(ROWS)),
        ("rows.json", json.dumps(ROWS)),
        ("rows.json", json.dumps(ROWS, indent=2)),
        ("rows.json", "\n".join(json.dumps(row, indent=2) for row in ROWS)),
        ("rows", json.dumps(ROWS, indent=2)),
        ("rows.json", json.dumps({"data": ROWS})),
        (
            "rows.json",
            json.dumps({"version": 1, "tags": ["x"], "rows": ROWS, "more": {}}, indent=1),
        ),
        ("rows.csv", TABLE),
        ("rows.csv", TABLE.replace(",", ";")),
        ("rows.CSV", TABLE.replace("\n", "\r\n")),
        ("rows.tsv", TABLE.replace(",", "\t")),
        ("rows.csv", "id,Question, answer\n" + "".join(f'1,"{r["question"]}",x\n' for r in ROWS)),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_are_read_from_each_kind_of_file(
    tmp_path: Path, name: str, content: str, encoding: str
) -> None:
    data = look(tmp_path, {name: content.encode(encoding)})
    assert asked(data) == [row["question"] for row in ROWS]
    assert data.shapes == {"question/answer": 3}
    assert (data.rows, data.bad_count) == (3, 0)


def test_cells_may_have_lines_and_lists(tmp_path: Path) -> None:
    turns = json.dumps([{"from": "human", "value": "a\nb"}, {"from": "gpt", "value": "c"}])
    row = '"' + turns.replace('"', '""') + '"'
    data = look(tmp_path, {"rows.csv": f"n,conversations\n1,{row}\n2,{row}\n\n"})
    assert asked(data) == ["a\nb", "a\nb"]
    assert [row.line for row in data.read()] == [2, 3]


def test_an_object_that_is_a_row_is_no_list(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    files: dict[str, str | bytes] = {f"{n}.json": json.dumps(row, indent=1) for n in range(2)}
    assert look(tmp_path, files).shapes == {"messages": 2}


def test_lines_are_counted(tmp_path: Path) -> None:
    content = json.dumps([*ROWS, {"a": "b"}], indent=1)
    data = look(tmp_path, {"rows.json": content})
    assert [row.line for row in data.read()] == [2, 6, 10]
    assert [(row.line, row.reason[:10]) for row in data.bad] == [(14, "its fields")]
    table = look(tmp_path, {"rows.csv": 'question,answer\n"a\nb",c\nd,e\nf\n'})
    assert [row.line for row in table.read()] == [2, 4]
    assert table.bad[0].sentence == "rows.csv, line 5: it has 1 fields and the header 2"


def test_a_folder_of_documents_is_read_by_name(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "b/two.md": "# Two\r\nLines\r\n",
        "a.txt": "One",
        "c": "Three",
        "d.txt": " \n",
        "e.pdf": b"%PDF-1.7 x",
        "f.bin": bytes(range(256)),
        "g.jsonl.gz": gzip.compress(LINES.encode()),
    }
    data = look(tmp_path, files)
    assert asked(data) == ["One", "# Two\nLines\n", "Three"]
    assert data.shapes == {"document": 3}
    assert [row.sentence for row in data.bad] == [
        "d.txt: the file has no text",
        "e.pdf: the file is a PDF: take its text out first",
        "f.bin: the file is neither text nor Parquet",
        "g.jsonl.gz: the file is compressed with gzip: unpack it first",
    ]


def test_files_of_several_shapes_go_together(tmp_path: Path) -> None:
    data = look(tmp_path, {"a.jsonl": LINES, "b.jsonl": '{"text": "x"}\n', "c.txt": "y"})
    assert data.shapes == {"question/answer": 3, "text": 1, "document": 1}


def test_a_long_document_comes_in_parts(tmp_path: Path) -> None:
    text = "".join(f"Line {n}, é\n" for n in range(300_000))
    data = look(tmp_path, {"long.txt": text})
    parts = [row.example for row in data.read()]
    assert data.rows == 1
    assert len(parts) > 3
    assert "".join(part.text for part in parts if isinstance(part, Text)) == text
    assert [(p.begins, p.ends) for p in parts if isinstance(p, Text)] == [
        (True, False),
        *[(False, False)] * (len(parts) - 2),
        (False, True),
    ]


def test_the_digest_is_of_the_files_and_their_names(tmp_path: Path) -> None:
    one = look(tmp_path, {"a.jsonl": LINES, "b.txt": "x"})
    again = look(tmp_path, {"b.txt": "x", "a.jsonl": LINES})
    other = look(tmp_path, {"a.jsonl": LINES, "c.txt": "x"})
    assert one.digest == again.digest != other.digest


BAD = '{"question": 1\n' + LINES + '{"question": "x"}\n{"messages": []}\n'


def test_bad_rows_are_listed_and_left_out(tmp_path: Path) -> None:
    data = look(tmp_path, {"rows.jsonl": BAD})
    assert data.rows == 3
    assert data.bad_count == 3
    assert [row.line for row in data.bad] == [1, 5, 6]
    assert data.bad[0].reason.startswith("not JSON: ")


def test_strict_refuses_bad_rows_with_the_first_reasons(tmp_path: Path) -> None:
    told = refusal(tmp_path, {"rows.jsonl": BAD + "1\n2\n"}, strict=True)
    assert told.startswith("the data has bad rows (5): rows.jsonl, line 1: not JSON")
    assert "rows.jsonl, line 6: the list of messages is empty" in told
    assert told.endswith("; and 2 more")


def test_a_file_that_is_gone_meanwhile_is_named(tmp_path: Path) -> None:
    data = look(tmp_path, {"rows.jsonl": LINES})
    (tmp_path / "blob-0").unlink()
    with pytest.raises(StoreError, match="cannot be used: No such file"):
        asked(data)


def test_only_the_first_bad_rows_are_kept(tmp_path: Path) -> None:
    data = look(tmp_path, {"rows.jsonl": LINES + "[1]\n" * 500})
    assert (len(data.bad), data.bad_count) == (20, 500)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.jsonl": ""}, "there is nothing to train on: a.jsonl: the file is empty"),
        ({"a.jsonl": "\n\n"}, "there is nothing to train on: the files have no rows"),
        ({"a.json": "[]"}, "there is nothing to train on: the files have no rows"),
        ({"a.csv": "question,answer\n"}, "there is nothing to train on: the files have no rows"),
        ({"a.jsonl": LINES.splitlines()[0]}, "the data has only one example"),
        (
            {"a.jsonl": '{"messages": [{"role": "user", "content": "x"}]}\n' * 5},
            "it has no message of the assistant, so there is nothing to learn",
        ),
        (
            {"a.jsonl": LINES + '{"text": "x"}\n' + LINES + '{"text": "y"}\n'},
            "it has lines 1-3, 5-7 as `question/answer`, lines 4, 8 as `text`; put each shape",
        ),
        ({"a.json": '[{"a": 1},\n {"b": }]'}, "a.json, line 2: this is not JSON: Expecting value"),
        ({"a.json": '[{"a": 1}\n {"b": 2}]'}, "a.json, line 2: this is not JSON: a ] is missing"),
        ({"a.json": '[{"a": 1}]\n\n3'}, "line 3: this is not JSON: there is more after the list"),
        ({"a.json": '{"x": [{"a": 1}],\n"y": [1]}'}, "has another list, 'y'"),
        ({"a.json": '[{"a": 1},\n\n'}, "line 3: this is not JSON"),
        ({"a.json": "[" * 5000 + "]" * 5000}, "it is nested too deep"),
        ({"a.csv": 'question,answer\n"a,b\nc,d\n'}, "a.csv, line 3: unexpected end of data"),
        ({"a.jsonl": LINES.encode("utf-32")}, "a.jsonl is in UTF-32: save it as UTF-8"),
        ({"a.jsonl": LINES.encode("utf-16-le")}, "line 1: this is UTF-16 without a byte order"),
        (
            {"a.jsonl": (LINES + '{"text": "Perú"}\n').encode("latin-1")},
            "a.jsonl, line 4: the byte 0xfa is not UTF-8 but as in Windows-1252 or Latin-1",
        ),
        (
            {"a.txt": b"one\n\n\xe4\xe2\xe0"},
            "a.txt, line 3: the byte 0xe4 is not UTF-8 but of some other encoding",
        ),
        ({"a.txt": "é".encode("utf-16") + b"\x00\xd8"}, "line 1: the file is damaged"),
        ({"a.parquet": b"PAR1 but no more"}, "a.parquet cannot be read: "),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(
    tmp_path: Path, files: dict[str, str | bytes], told: str
) -> None:
    assert told in refusal(tmp_path, files)


def test_what_the_documentation_shows_can_be_trained_on(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tune.md").read_text("utf-8")
    blocks = re.findall(r"(?ms)^```\n(\{.*?)^```$", page)
    assert len(blocks) == 4
    for number, block in enumerate(blocks):
        data = look(tmp_path, {f"rows{number}.jsonl": block})
        assert (data.rows, data.shapes, data.bad_count) == (2, {"messages": 2}, 0)


def test_no_files_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, {}) == "there is no data"


def test_a_line_that_is_too_long_is_left_out_with_its_number(tmp_path: Path) -> None:
    long = json.dumps({"question": "x" * (LONGEST + 10), "answer": "y"})
    data = look(tmp_path, {"a.jsonl": f"{LINES}{long}\n{LINES}"})
    assert data.rows == 6
    assert [row.sentence for row in data.bad] == [
        f"a.jsonl, line 4: the line is longer than {LONGEST:,} characters"
    ]
    longer = long.replace("xx", "xxx")
    assert "a row is longer than" in refusal(tmp_path, {"a.json": f"[\n{longer}\n]"})
    assert "line 2: longer than" in refusal(tmp_path, {"a.csv": f"question,answer\n{long}\n"})


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_large_files_take_little_memory(tmp_path: Path, name: str) -> None:
    row = {"question": "Is it long? " * 1000, "answer": "Yes."}
    line = f"{row['question']},Yes.\n" if name == "a.csv" else f"{json.dumps(row)}\n"
    path = tmp_path / "blob"
    with path.open("w") as file:
        file.write({"a.json": "[", "a.csv": "question,answer\n"}.get(name, ""))
        for number in range(3000):
            file.write(line if name != "a.json" or number == 0 else f",{line}")
        file.write("]" if name == "a.json" else "")
    tracemalloc.start()
    data = asyncio.run(read({name: path}, tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.stat().st_size > 32 << 20
    assert data.rows == (1 if name == "a.txt" else 3000)
    assert peak < 12 << 20


@given(
    st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a"]),
    st.binary(max_size=200) | st.text('{}[]":,a1\\ \n', max_size=60).map(str.encode),
)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    with suppress(BadRequestError, UnsupportedError):
        assert asked(look(tmp_path_factory.getbasetemp(), {name: content}))


def test_parquet_is_read_where_pytorch_is(tmp_path: Path, torch_python: Path) -> None:
    path = tmp_path / "rows.parquet"
    script = (
        "import sys, json, pyarrow as pa, pyarrow.parquet as pq\n"
        "rows = json.loads(sys.argv[1])\n"
        "pq.write_table(pa.Table.from_pylist(rows), sys.argv[2])\n"
    )
    turns = [{"role": "user", "content": "Perú?"}, {"role": "assistant", "content": "Sí."}]
    rows = [{"messages": turns, "n": n} for n in range(2)]
    run_torch(torch_python, script, json.dumps(rows), path)
    data = look(tmp_path, {"rows.parquet": path.read_bytes()}, python=str(torch_python))
    assert data.shapes == {"messages": 2}
    first = next(data.read())
    assert first.file == "rows.parquet"
    assert isinstance(first.example, Chat)
    assert first.example.messages[1].content == "Sí."


def test_parquet_without_its_reader_names_what_to_do(tmp_path: Path) -> None:
    missing = tmp_path / "python"
    missing.write_text("#!/bin/sh\necho '@missing pyarrow'; exit 1\n")
    missing.chmod(0o755)
    with pytest.raises(UnsupportedError, match=r"has no pyarrow: `pip install 'ayllu\[tune\]'`"):
        look(tmp_path, {"a.parquet": b"PAR1"}, python=str(missing))
