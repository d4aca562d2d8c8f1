// Anthropic's own JavaScript client, as its users write it.

import Anthropic from "@anthropic-ai/sdk";
import { GET_WEATHER, PERSON, PERSON_SCHEMA, RESULT, SUM, WEATHER } from "./questions.js";
import { report, thrown } from "./report.js";

const anthropic = new Anthropic({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const shared = { model: "mini", max_tokens: 200, temperature: 0 };
const { parameters: input_schema, ...described } = GET_WEATHER;
const tools = [{ ...described, input_schema }];
const thinking = { type: "enabled", budget_tokens: 1024 };

report({
  async answers() {
    const system = "Your name is Wayra.";
    const messages = [{ role: "user", content: "What's your name?" }];
    const reply = await anthropic.messages.create({ ...shared, system, messages });
    return [reply.content, reply.stop_reason];
  },
  async streams() {
    const pieces = [];
    const stream = anthropic.messages.stream({ ...shared, messages: SUM });
    stream.on("text", (piece) => pieces.push(piece));
    const { stop_reason, usage } = await stream.finalMessage();
    return [pieces, stop_reason, usage.output_tokens];
  },
  async streamsThinking() {
    const thoughts = [];
    const stream = anthropic.messages.stream({ ...shared, messages: SUM, thinking });
    stream.on("thinking", (piece) => thoughts.push(piece));
    const { content } = await stream.finalMessage();
    return [thoughts, content.map((block) => block.type), await stream.finalText()];
  },
  async streamsToolsAndThinking() {
    const request = { model: "tool", max_tokens: 200, messages: SUM, thinking };
    const kinds = new Set();
    const add = { name: "add", input_schema: { type: "object" } };
    const stream = anthropic.messages.stream({ ...request, tools: [add] });
    for await (const event of stream) kinds.add(event.delta?.type ?? event.type);
    const { content, stop_reason } = await stream.finalMessage();
    const [thought, call] = content;
    return [[...kinds], thought.thinking, call.name, call.input, stop_reason];
  },
  async usesTools() {
    const stream = anthropic.messages.stream({ ...shared, messages: WEATHER, tools });
    const first = await stream.finalMessage();
    const [call] = first.content;
    const result = { type: "tool_result", tool_use_id: call.id, content: RESULT };
    const told = { role: "user", content: [result] };
    const messages = [...WEATHER, { role: "assistant", content: first.content }, told];
    const after = await anthropic.messages.create({ ...shared, messages, tools });
    return [first.stop_reason, call.name, call.input, after.content[0].text];
  },
  async structures() {
    const output_config = { format: { type: "json_schema", schema: PERSON_SCHEMA } };
    const reply = await anthropic.messages.create({ ...shared, messages: PERSON, output_config });
    return JSON.parse(reply.content[0].text);
  },
  async countsTokens() {
    const { input_tokens } = await anthropic.messages.countTokens({ model: "mini", messages: SUM });
    const reply = await anthropic.messages.create({ ...shared, messages: SUM });
    const { usage } = reply;
    return [input_tokens, usage.input_tokens + usage.cache_read_input_tokens];
  },
  missesAModel: () =>
    thrown(
      () => anthropic.messages.create({ ...shared, model: "nope", messages: SUM }),
      (error) => [error.status, error.error.error],
    ),
  async leavesAndComesBack() {
    let pieces = 0;
    const stream = anthropic.messages.stream({ ...shared, model: "endless", messages: SUM });
    stream.on("text", () => ++pieces === 3 && stream.abort());
    const left = await thrown(
      () => stream.finalMessage(),
      (error) => error.message,
    );
    // One request at a time: this one waits for ever unless the first one's slot is free.
    const request = { model: "endless", max_tokens: 3, messages: SUM };
    const reply = await anthropic.messages.create(request);
    return [left, reply.content[0].text];
  },
});
