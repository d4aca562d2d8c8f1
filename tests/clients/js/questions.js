// What the model `mini` is asked, and what it needs for its answers.

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
