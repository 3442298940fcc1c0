// Calls methods of a Node client and prints the results, so that the tests of Node clients are written in Python.
// Standard input: {"client": "cloudflare" or "mastra", "folder": its installation, "calls": [["method", argument, ...], ...]}.
// Standard output: a list with {"value": ...} or {"error": {"name", "message", "status", "codes"}} for each call.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { client: name, folder, calls } = JSON.parse(readFileSync(0, "utf8"));
const credentials = { accountId: process.env.CLOUDFLARE_ACCOUNT_ID, apiToken: process.env.CLOUDFLARE_API_TOKEN };
const packages = {
  cloudflare: ["cloudflare/index.mjs", ({ default: Cloudflare }) => new Cloudflare({ maxRetries: 0 })],
  mastra: ["@mastra/vectorize/dist/index.js", ({ CloudflareVector }) => new CloudflareVector(credentials)],
};

function describe(error) {
  const cause = error.cause?.status ? error.cause : error;
  const codes = (cause.errors ?? []).map((item) => item.code);
  return { name: error.constructor.name, message: String(error.message), status: cause.status ?? null, codes };
}

const [path, create] = packages[name];
const client = create(await import(pathToFileURL(join(folder, "node_modules", path))));
const answers = [];
for (const [method, ...args] of calls) {
  const parts = method.split(".");
  const last = parts.pop();
  try {
    const owner = parts.reduce((object, part) => object[part], client);
    const value = await owner[last](...args);
    answers.push({ value: value?.result !== undefined && value?.response !== undefined ? value.result : (value ?? null) });
  } catch (error) {
    answers.push({ error: describe(error) });
  }
}
process.stdout.write(JSON.stringify(answers));
