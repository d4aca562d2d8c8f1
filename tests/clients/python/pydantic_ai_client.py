"""pydantic-ai, as its users write it: OpenAI's chat, Anthropic's messages, OpenAI's responses."""

import asyncio
import sys

from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from questions import PERSON, SUM, WEATHER, Person, get_weather
from report import report

URL = sys.argv[1]
SETTINGS = {"temperature": 0}

provider = OllamaProvider(base_url=f"{URL}/v1")
ollama = OpenAIChatModel("mini", provider=provider)
client = AsyncAnthropic(base_url=URL, api_key="none")
claude = AnthropicModel("mini", provider=AnthropicProvider(anthropic_client=client))
MODELS = (ollama, claude, OpenAIResponsesModel("mini", provider=provider))


class Place(BaseModel):
    city: str


async def pieces(agent: Agent) -> list[str]:
    async with agent.run_stream(SUM) as result:
        return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]


def answers() -> object:
    agents = [Agent(model, model_settings=SETTINGS) for model in MODELS]
    return [agent.run_sync(SUM).output for agent in agents]


def streams() -> object:
    agents = [Agent(model, model_settings=SETTINGS) for model in MODELS]
    return [asyncio.run(pieces(agent)) for agent in agents]


def uses_tools() -> object:
    told = []
    for model in MODELS:
        result = Agent(model, tools=[get_weather], model_settings=SETTINGS).run_sync(WEATHER)
        told.append([result.output, [type(m).__name__ for m in result.all_messages()]])
    return told


def structures() -> object:
    agent = Agent(ollama, output_type=NativeOutput(Person), model_settings=SETTINGS)
    return agent.run_sync(PERSON).output.model_dump()


def structures_by_a_tool() -> object:
    form = ToolOutput(Place, name="get_weather", description="Get the weather of a city")
    agent = Agent(ollama, output_type=form, model_settings=SETTINGS)
    return agent.run_sync(WEATHER).output.model_dump()


def misses_a_model() -> object:
    try:
        return Agent(OpenAIChatModel("nope", provider=provider)).run_sync(SUM).output
    except ModelHTTPError as error:
        return [error.status_code, error.body]


report(answers, streams, uses_tools, structures, structures_by_a_tool, misses_a_model)
