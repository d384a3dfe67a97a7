// A service of the TypeScript SDK, which verifies with its own verifier.
import "./with_resolvers.mjs";
import * as restate from "@restatedev/restate-sdk";

const greeter = restate.service({ name: "Greeter", handlers: { greet: async (_ctx, name) => `Hello ${name}!` } });

restate.serve({
  services: [greeter],
  identityKeys: [process.env.IDENTITY_KEY],
  port: Number(process.env.PORT),
});
