// The pairs of pairs.py, with Node's own client and with undici: node pairs.mjs PROXY_URL COUNT UNDICI, where UNDICI is the
// folder that has undici installed.
import http from "node:http";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";

const [base, count, folder] = [process.argv[2].replace(/\/$/, ""), Number(process.argv[3]), process.argv[4]];
const undici = createRequire(`${folder}/package.json`)("undici");

const CASES = [
  ["/v1/embeddings", 30, 403],
  ["/v1/embeddings", 200_000, 403],
  ["/v1/embeddings", 300_000, 403],
  ["/v1/chat/completions", 300_000, 400],
];
const ORDINARY = [
  ["/v1/models", 0, 200],
  ["/api/show", 2, 400],
];
const PAUSE = 5;
const MS = 30_000;

async function* later(size) {
  await pause(PAUSE);
  for (let at = 0; at < size; at += 16_384) {
    yield Buffer.alloc(Math.min(16_384, size - at), "x");
  }
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(path, size) {
  return new Promise((resolve, reject) => {
    const [method, headers] = size ? ["POST", { "Content-Length": size }] : ["GET", {}];
    const request = http.request(base + path, { method, agent, headers, timeout: MS });
    request.on("error", reject); // no effect after the answer
    request.on("timeout", () => request.destroy(new Error("timeout")));
    request.on("response", (response) => {
      response.on("error", reject);
      response.on("end", () => resolve(response.statusCode));
      response.resume();
    });
    request.flushHeaders();
    if (size) {
      setTimeout(() => request.end("x".repeat(size)), PAUSE);
    } else {
      request.end();
    }
  });
}

const dispatcher = new undici.Agent({ connections: 1, headersTimeout: MS, bodyTimeout: MS });

async function fetched(path, size) {
  const [method, headers] = size ? ["POST", { "content-length": String(size) }] : ["GET", {}];
  const body = size ? later(size) : null;
  const answer = await undici.request(base + path, { method, headers, body, dispatcher });
  await answer.body.dump();
  return answer.statusCode;
}

let all = 0;
for (const [name, send] of [["node:http", ask], ["undici", fetched]]) {
  let failed = 0;
  for (let n = 0; n < count; n++) {
    const pair = [CASES[n % CASES.length], ORDINARY[Math.floor(n / CASES.length) % ORDINARY.length]];
    try {
      for (const [path, size, expected] of pair) {
        const status = await send(path, size);
        if (status !== expected) {
          throw new Error(`answered ${status}`);
        }
      }
    } catch (error) {
      failed++;
      console.error(`${name}: ${pair.join(" then ")}: ${error}`);
    }
  }
  console.log(`${name}: ${count} pairs, ${failed} failed`);
  all += failed;
}
process.exit(all ? 1 : 0);
