// How a client's script tells the tests what it got: a line of JSON for each thing it tried.

export async function report(attempts) {
  for (const [attempt, attemptIt] of Object.entries(attempts)) {
    let line;
    try {
      line = { attempt, got: (await attemptIt()) ?? null };
    } catch (error) {
      line = { attempt, failed: error.stack };
    }
    console.log(JSON.stringify(line));
  }
}

// What is thrown, told as its class's name and what else the caller picks of it.
export async function thrown(work, pick) {
  try {
    return await work();
  } catch (error) {
    return [error.constructor.name, pick(error)];
  }
}

export const SUM = [{ role: "user", content: "What is two plus two?" }];
export const WEATHER = [{ role: "user", content: "What is the weather like in Paris?" }];
export const PERSON = [
  { role: "user", content: "As JSON with name, age: Ana is 12 years old and lives in Lima." },
];
export const PERSON_SCHEMA = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
export const GET_WEATHER = {
  name: "get_weather",
  description: "Get the weather of a city",
  parameters: {
    type: "object",
    properties: { city: { type: "string", description: "The name of the city" } },
    required: ["city"],
  },
};
export const RESULT = '{"temperature": 21}';
