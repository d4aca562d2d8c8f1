// OpenAI's own JavaScript client, as its users write it.

import OpenAI from "openai";
import { GET_WEATHER, PERSON, PERSON_SCHEMA, RESULT, SUM, WEATHER } from "./questions.js";
import { report, thrown } from "./report.js";

const openai = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const shared = { model: "mini", temperature: 0, reasoning_effort: "none" };
const tools = [{ type: "function", function: GET_WEATHER }];
const chat = openai.chat.completions;

report({
  async chats() {
    const reply = await chat.create({ ...shared, messages: SUM });
    const [choice] = reply.choices;
    return [choice.message.content, choice.finish_reason, reply.usage.completion_tokens];
  },
  async streams() {
    const request = { ...shared, messages: SUM, stream: true };
    const parts = [];
    const stream = await chat.create({ ...request, stream_options: { include_usage: true } });
    for await (const part of stream) parts.push(part);
    return {
      texts: parts.flatMap((part) => part.choices).map((choice) => choice.delta.content ?? null),
      reason: parts.at(-2).choices[0].finish_reason,
      tokens: parts.at(-1).usage.completion_tokens,
    };
  },
  async thinks() {
    const { choices } = await chat.create({ ...shared, messages: SUM, reasoning_effort: "low" });
    return [choices[0].message.reasoning, choices[0].message.content];
  },
  async usesTools() {
    const [{ message }] = (await chat.create({ ...shared, messages: WEATHER, tools })).choices;
    const [call] = message.tool_calls;
    const told = { role: "tool", tool_call_id: call.id, content: RESULT };
    const after = await chat.create({ ...shared, tools, messages: [...WEATHER, message, told] });
    return [call.function.name, call.function.arguments, after.choices[0].message.content];
  },
  // The client's own loop: it calls the function and sends back what it returned.
  async runsTools() {
    const cities = [];
    const run = (parameters) => cities.push(parameters.city) && RESULT;
    const runnable = { ...GET_WEATHER, function: run, parse: JSON.parse };
    const runner = chat.runTools({
      ...shared,
      messages: WEATHER,
      tools: [{ type: "function", function: runnable }],
      stream: true,
    });
    return [await runner.finalContent(), cities];
  },
  async structures() {
    const json_schema = { name: "person", strict: true, schema: PERSON_SCHEMA };
    const response_format = { type: "json_schema", json_schema };
    const reply = await chat.create({ ...shared, messages: PERSON, response_format });
    return JSON.parse(reply.choices[0].message.content);
  },
  async completes() {
    const request = { model: "base", prompt: ["abc", "x"], max_tokens: 2, echo: true };
    const whole = await openai.completions.create(request);
    let streamed = "";
    const stream = await openai.completions.create({ ...request, prompt: "x", stream: true });
    for await (const part of stream) streamed += part.choices[0].text;
    return [whole.choices.map((choice) => choice.text), streamed];
  },
  async embeds() {
    const request = { model: "mini", input: ["a", "b"], dimensions: 64 };
    const decoded = await openai.embeddings.create(request);
    const floats = await openai.embeddings.create({ ...request, encoding_format: "float" });
    const [one, other] = [decoded, floats].map((reply) => reply.data[0].embedding);
    const apart = Math.max(...one.map((number, place) => Math.abs(number - other[place])));
    return [decoded.data.map((row) => row.embedding.length), apart];
  },
  async listsModels() {
    const ids = [];
    for await (const model of openai.models.list()) ids.push(model.id);
    return [ids, (await openai.models.retrieve("mini")).owned_by];
  },
  missesAModel: () =>
    thrown(
      () => chat.create({ model: "nope", messages: SUM }),
      (error) => [error.status, error.message],
    ),
  isToldWhatIsWrong: () =>
    thrown(
      () => chat.create({ ...shared, messages: [] }),
      (error) => [error.status, error.message],
    ),
  async leavesAndComesBack() {
    const stream = await chat.create({ model: "endless", messages: SUM, stream: true });
    let pieces = 0;
    for await (const part of stream) if (++pieces === 3) stream.controller.abort();
    // One request at a time: this one waits for ever unless the first one's slot is free.
    const reply = await chat.create({ model: "endless", messages: SUM, max_tokens: 3 });
    return reply.choices[0].message.content;
  },
});
