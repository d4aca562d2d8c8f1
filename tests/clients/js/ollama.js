// Ollama's own JavaScript client, as its users write it.

import { Ollama } from "ollama";
import { GET_WEATHER, PERSON, PERSON_SCHEMA, RESULT, SUM, WEATHER } from "./questions.js";
import { report, thrown } from "./report.js";

const ollama = new Ollama({ host: process.argv[2] });
const shared = { model: "mini", think: false, options: { temperature: 0 } };
const tools = [{ type: "function", function: GET_WEATHER }];

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

report({
  async chats() {
    const reply = await ollama.chat({ ...shared, messages: SUM });
    return [reply.message.content, reply.done_reason, reply.eval_count];
  },
  async streams() {
    const parts = await collect(await ollama.chat({ ...shared, messages: SUM, stream: true }));
    return parts.map((part) => [part.message.content, part.done]);
  },
  async thinks() {
    const { message } = await ollama.chat({ ...shared, messages: SUM, think: true });
    return [message.thinking, message.content];
  },
  async usesTools() {
    const { message } = await ollama.chat({ ...shared, messages: WEATHER, tools });
    const [call] = message.tool_calls;
    const told = { role: "tool", tool_name: call.function.name, content: RESULT };
    const after = await ollama.chat({ ...shared, tools, messages: [...WEATHER, message, told] });
    return [call.function.name, call.function.arguments, after.message.content];
  },
  async structures() {
    const reply = await ollama.chat({ ...shared, messages: PERSON, format: PERSON_SCHEMA });
    return JSON.parse(reply.message.content);
  },
  async generates() {
    const options = { temperature: 0, num_predict: 4 };
    const request = { ...shared, prompt: "La capital de Francia", suffix: "París.", options };
    const parts = await collect(await ollama.generate({ ...request, stream: true }));
    return parts.map((part) => part.response).join("");
  },
  async embeds() {
    const { embeddings } = await ollama.embed({ model: "mini", input: ["a", "b"] });
    const older = await ollama.embeddings({ model: "mini", prompt: "a" });
    return [...embeddings, older.embedding].map((vector) => vector.length);
  },
  async managesModels() {
    const inti = { model: "inti", from: "mini", system: "Your name is Inti." };
    const steps = await collect(await ollama.create({ ...inti, stream: true }));
    await ollama.copy({ source: "inti", destination: "killa" });
    const names = (await ollama.list()).models.map((model) => model.name);
    const { capabilities, system } = await ollama.show({ model: "killa" });
    const pulled = await collect(await ollama.pull({ model: "mini", stream: true }));
    for (const model of ["inti", "killa"]) await ollama.delete({ model });
    const last = [steps, pulled].map((lines) => lines.at(-1).status);
    return [last, names, capabilities, system, (await ollama.list()).models.length];
  },
  async seesWhatIsLoaded() {
    return (await ollama.ps()).models.map((model) => model.name);
  },
  missesAModel: () =>
    thrown(
      () => ollama.chat({ model: "nope", messages: SUM }),
      (error) => [error.status_code, error.message],
    ),
  async leavesAndComesBack() {
    const stream = await ollama.chat({ model: "endless", messages: SUM, stream: true });
    let pieces = 0;
    const left = await thrown(
      async () => {
        for await (const part of stream) if (++pieces === 3) stream.abort();
      },
      (error) => error.name,
    );
    // One request at a time: this one waits for ever unless the first one's slot is free.
    const options = { num_predict: 3 };
    const reply = await ollama.chat({ model: "endless", messages: SUM, options });
    return [left, reply.message.content];
  },
});
