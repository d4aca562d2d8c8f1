"""Instructor, as its users write it: structured answers by JSON schema and by a tool."""

import sys

import instructor
from pydantic import BaseModel
from questions import PERSON, WEATHER, Person, user
from report import report

URL = sys.argv[1]


class get_weather(BaseModel):  # noqa: N801 - the model knows the function by this name
    """Get the weather of a city"""

    city: str


def client(mode: instructor.Mode) -> instructor.Instructor:
    return instructor.from_provider("ollama/mini", base_url=f"{URL}/v1", mode=mode)


def structures() -> object:
    modes = (instructor.Mode.JSON_SCHEMA, instructor.Mode.JSON)
    asked = {"response_model": Person, "messages": user(PERSON), "temperature": 0}
    return [client(mode).create(**asked).model_dump() for mode in modes]


def structures_by_a_tool() -> object:
    asked = {"response_model": get_weather, "messages": user(WEATHER), "temperature": 0}
    return client(instructor.Mode.TOOLS).create(**asked).model_dump()


def streams_what_it_has_so_far() -> object:
    asked = {"response_model": Person, "messages": user(PERSON), "temperature": 0}
    parts = client(instructor.Mode.JSON_SCHEMA).create_partial(**asked)
    return [part.model_dump() for part in parts]


report(structures, structures_by_a_tool, streams_what_it_has_so_far)
