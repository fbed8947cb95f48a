// A tool loop of three turns by hand, streamed, on one reused connection: node http_agents.mjs LIBRARY FOLDER BASE_URL PROMPT. LIBRARY is
// `agent` (node:http with a keep-alive agent), `fetch` (Node's own), or `undici` (the package of that name, in FOLDER).
import http from "node:http";
import { createRequire } from "node:module";

const [library, folder, url, prompt] = process.argv.slice(2);
const { Agent, request } = createRequire(`${folder}/package.json`)("undici");

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const dispatcher = new Agent({ connections: 1 });
const sockets = new Set();

async function text(stream) {
  let all = "";
  for await (const part of stream) {
    all += Buffer.from(part).toString();
  }
  return all;
}

// Each sends a body and returns the status and the text of the answer.
const SEND = {
  agent: (path, headers, body) => new Promise((resolve, reject) => {
    const sent = http.request(url + path, { method: "POST", agent, headers }, (answer) => {
      text(answer).then((all) => resolve([answer.statusCode, all]), reject);
    });
    sent.on("socket", (socket) => sockets.add(socket));
    sent.on("error", reject);
    sent.end(body);
  }),
  fetch: async (path, headers, body) => {
    const answer = await fetch(url + path, { method: "POST", headers, body });
    return [answer.status, await answer.text()];
  },
  undici: async (path, headers, body) => {
    const answer = await request(url + path, { method: "POST", headers, body, dispatcher });
    return [answer.statusCode, await text(answer.body)];
  },
};

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const messages = [{ role: "user", content: prompt }];
for (let turn = 0; turn < 5; turn++) {
  const body = JSON.stringify({ model: "scripted:latest", messages, tools, stream: true });
  const [status, answer] = await SEND[library]("/v1/chat/completions", { "Content-Type": "application/json" }, body);
  if (status !== 200) {
    console.error(`${status} ${answer}`);
    process.exit(1);
  }
  const chunks = answer.split("\n").filter((line) => line.startsWith("data: {")).map((line) => JSON.parse(line.slice(6)));
  const message = chunks[0].choices[0].delta;
  if (!message.tool_calls) {
    console.log(message.content);
    break;
  }
  messages.push(message);
  for (const call of message.tool_calls) {
    const { city } = JSON.parse(call.function.arguments);
    messages.push({ role: "tool", tool_call_id: call.id, content: `sunny in ${city}` });
  }
}
if (sockets.size > 1) {
  console.error(`used ${sockets.size} connections`);
  process.exit(1);
}
agent.destroy();
