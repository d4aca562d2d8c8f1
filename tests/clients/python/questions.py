"""What the model `mini` is asked, and what it needs for its answers."""

from pydantic import BaseModel

SUM = "What is two plus two?"
WEATHER = "What is the weather like in Paris?"
PERSON = "As JSON with name, age: Ana is 12 years old and lives in Lima."
TEMPERATURES = {"Paris": 21}


class Person(BaseModel):
    name: str
    age: int


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f'{{"temperature": {TEMPERATURES[city]}}}'


def user(question: str) -> list[dict[str, str]]:
    """A conversation that is one question."""
    return [{"role": "user", "content": question}]
