// The responses of OpenAI's own JavaScript client, as its users write them.

import OpenAI from "openai";
import { GET_WEATHER, PERSON, PERSON_SCHEMA, RESULT, SUM, WEATHER } from "./questions.js";
import { report, thrown } from "./report.js";

const openai = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const shared = { model: "mini", temperature: 0, reasoning: { effort: "none" } };
const tools = [{ type: "function", strict: true, ...GET_WEATHER }];

report({
  async answers() {
    const asked = { instructions: "Your name is Wayra.", input: "What's your name?" };
    const reply = await openai.responses.create({ ...shared, ...asked });
    return [reply.output_text, reply.status, reply.usage.output_tokens];
  },
  async streams() {
    const stream = await openai.responses.create({ ...shared, input: SUM, stream: true });
    const kinds = new Set();
    const pieces = [];
    for await (const event of stream) {
      kinds.add(event.type);
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
    }
    return [pieces, [...kinds]];
  },
  async thinks() {
    const reasoning = { effort: "low", summary: "auto" };
    const reply = await openai.responses.create({ ...shared, input: SUM, reasoning });
    const [thought] = reply.output;
    return [reply.output.map((item) => item.type), thought.summary[0].text, reply.output_text];
  },
  async usesTools() {
    const stream = openai.responses.stream({ ...shared, input: WEATHER, tools });
    const first = await stream.finalResponse();
    const [call] = first.output;
    const told = { type: "function_call_output", call_id: call.call_id, output: RESULT };
    const input = [...WEATHER, ...first.output, told];
    const after = await openai.responses.create({ ...shared, tools, input });
    return [call.name, call.arguments, after.output_text];
  },
  async structures() {
    const format = { type: "json_schema", name: "person", strict: true, schema: PERSON_SCHEMA };
    const reply = await openai.responses.parse({ ...shared, input: PERSON, text: { format } });
    return reply.output_parsed;
  },
  async goesOnWithWhatIsKept() {
    const first = await openai.responses.create({ ...shared, input: WEATHER, tools });
    const told = { type: "function_call_output", call_id: first.output[0].call_id, output: RESULT };
    const kept = { ...shared, tools, input: [told], previous_response_id: first.id };
    const after = await openai.responses.create(kept);
    const again = await openai.responses.retrieve(after.id);
    await openai.responses.delete(after.id);
    const gone = await thrown(
      () => openai.responses.retrieve(after.id),
      (error) => error.status,
    );
    return [after.output_text, again.output_text, gone];
  },
  missesAModel: () =>
    thrown(
      () => openai.responses.create({ ...shared, model: "nope", input: SUM }),
      (error) => [error.status, error.message],
    ),
  async leavesAndComesBack() {
    const stream = await openai.responses.create({ model: "endless", input: SUM, stream: true });
    let pieces = 0;
    for await (const event of stream) {
      if (event.type === "response.output_text.delta" && ++pieces === 3) stream.controller.abort();
    }
    // One request at a time: this one waits for ever unless the first one's slot is free.
    const request = { model: "endless", input: SUM, max_output_tokens: 3 };
    const reply = await openai.responses.create(request);
    return [reply.output_text, reply.status];
  },
});
