// The smallest service of the TypeScript SDK that checks request identity: service.mjs SDK PORT KEY
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [, , folder, port, key] = process.argv;
const restate = await import(pathToFileURL(`${folder}/dist/index.js`));

const greeter = restate.service({
  name: "Greeter",
  handlers: { greet: async (_, name) => name },
});
const handler = restate.createEndpointHandler({ services: [greeter], identityKeys: [key], bidirectional: false });
createServer(handler).listen(Number(port), "127.0.0.1");
