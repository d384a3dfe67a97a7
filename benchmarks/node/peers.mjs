// The verifiers that run on Node. They time themselves, one sample at a time, when the parent process says so: that
// keeps them in the same rounds as everything else. Requests and answers are JSON lines.

import { createPublicKey } from "node:crypto";
import { createInterface } from "node:readline";

import { createVerifier } from "fast-jwt";
import { jwtVerify } from "jose";
// The SDK keeps its verifier to itself: there is no public name to import it by.
import {
  WasmHeader,
  WasmIdentityVerifier,
} from "./node_modules/@restatedev/restate-sdk/dist/endpoint/handlers/vm/sdk_shared_core_wasm_bindings.js";

const jwk = JSON.parse(process.argv[2]);
const kid = process.argv[3];
const publicKey = createPublicKey({ key: jwk, format: "jwk" });
const pem = publicKey.export({ type: "spki", format: "pem" });

function sdk() {
  const verifier = new WasmIdentityVerifier([kid]);
  return ({ path, headers }) => {
    // What the SDK does with Node's headers before it verifies.
    const vmHeaders = Object.entries(headers)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => new WasmHeader(name, value instanceof Array ? value[0] : value));
    verifier.verify_identity(path, vmHeaders);
  };
}

function jose() {
  const options = (path) => ({ algorithms: ["EdDSA"], audience: path, requiredClaims: ["exp", "nbf"] });
  return ({ path, token }) => jwtVerify(token, publicKey, options(path));
}

function fastJwt(cache) {
  return () => {
    // The audience is fixed when a verifier is made, so there is one for each path.
    const verifiers = new Map();
    return ({ path, token }) => {
      let verify = verifiers.get(path);
      if (verify === undefined) {
        verify = createVerifier({
          key: pem,
          algorithms: ["EdDSA"],
          allowedAud: path,
          requiredClaims: ["aud", "exp", "nbf"],
          cache,
        });
        verifiers.set(path, verify);
      }
      verify(token);
    };
  };
}

const peers = {
  "TypeScript SDK": { make: sdk, waits: false },
  jose: { make: jose, waits: true },
  "fast-jwt": { make: fastJwt(false), waits: false },
  "fast-jwt with its cache": { make: fastJwt(4096), waits: false },
};
const checks = Object.fromEntries(Object.entries(peers).map(([name, { make }]) => [name, make()]));
const sets = new Map();

async function timed(name, requests) {
  const check = checks[name];
  if (peers[name].waits) {
    const start = process.hrtime.bigint();
    for (const request of requests) await check(request);
    return Number(process.hrtime.bigint() - start) / requests.length;
  }
  const start = process.hrtime.bigint();
  for (const request of requests) check(request);
  return Number(process.hrtime.bigint() - start) / requests.length;
}

const commands = {
  peers: () => Object.keys(peers),
  check: async ({ peer, request }) => {
    try {
      await checks[peer](request);
      return true;
    } catch {
      return false;
    }
  },
  load: ({ set, requests }) => {
    sets.set(set, requests);
    return requests.length;
  },
  time: async ({ peer, set, start, count, forget }) => {
    if (forget) checks[peer] = peers[peer].make();
    const requests = sets.get(set);
    const batch = Array.from({ length: count }, (_, number) => requests[(start + number) % requests.length]);
    return timed(peer, batch);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { value: await commands[command.do](command) };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
