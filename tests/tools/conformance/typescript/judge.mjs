// Judges requests with the TypeScript SDK's verifier: one JSON request to a line in, one verdict to a line out.
// The SDK does not export its verifier, so the module is loaded by its path; its clock is
// `new Date().getTime()`, which is set here.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [, , sdk] = process.argv;
const { WasmIdentityVerifier, WasmHeader } = await import(
  pathToFileURL(`${sdk}/dist/endpoint/handlers/vm/sdk_shared_core_wasm_bindings.js`)
);

const verifiers = new Map();

function verifier(keys) {
  const name = keys.join(" ");
  if (!verifiers.has(name)) {
    try {
      verifiers.set(name, new WasmIdentityVerifier(keys));
    } catch {
      verifiers.set(name, null);
    }
  }
  return verifiers.get(name);
}

function accepts({ keys, headers, path, time }) {
  if (keys.length === 0) return true; // the SDK makes no verifier then
  const judge = verifier(keys);
  if (judge === null) return false;
  Date.prototype.getTime = () => time * 1000;
  try {
    judge.verify_identity(path, headers.map(([name, value]) => new WasmHeader(name, value)));
    return true;
  } catch {
    return false;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(accepts(JSON.parse(line)) ? "accepted\n" : "refused\n");
}
