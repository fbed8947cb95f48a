// A tool loop of three turns with each provider of Vercel's AI SDK: node ai_sdk.mjs FOLDER PROVIDER BASE_URL PROMPT, where FOLDER has the
// packages. Prints what it ends with, or the error as an application sees it.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, provider, url, prompt] = process.argv.slice(2);
const require = createRequire(`${folder}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)));

const { streamText, tool, stepCountIs, jsonSchema } = await load("ai");

const MODEL = "scripted:latest";
const PROVIDERS = {
  openai: async () => (await load("@ai-sdk/openai")).createOpenAI({ baseURL: `${url}/v1`, apiKey: "unused" })(MODEL),
  "openai-chat": async () => (await load("@ai-sdk/openai")).createOpenAI({ baseURL: `${url}/v1`, apiKey: "unused" }).chat(MODEL),
  "openai-compatible": async () =>
    (await load("@ai-sdk/openai-compatible")).createOpenAICompatible({ name: "mine", baseURL: `${url}/v1` })(MODEL),
  // Its base URL ends in /v1, unlike that of Anthropic's own SDKs.
  anthropic: async () => (await load("@ai-sdk/anthropic")).createAnthropic({ baseURL: `${url}/v1`, apiKey: "unused" })(MODEL),
  ollama: async () => (await load("ollama-ai-provider-v2")).createOllama({ baseURL: `${url}/api` })(MODEL),
};

let failed;
const result = streamText({
  model: await PROVIDERS[provider](),
  prompt,
  maxRetries: 0,
  stopWhen: stepCountIs(5),
  tools: {
    weather: tool({
      description: "Tells the weather of a city",
      inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
      execute: async ({ city }) => `sunny in ${city}`,
    }),
  },
  onError: ({ error }) => { failed = error; },
});
try {
  for await (const part of result.textStream) {
    process.stdout.write(part);
  }
} catch (error) {
  failed ??= error;
}
console.log();
if (failed) {
  console.error(`${failed.name}: ${failed.message}`);
  process.exit(1);
}
