// Services of the TypeScript SDK without identity keys. Each returns what the edge said about the caller.
import "./with_resolvers.mjs";
import * as restate from "@restatedev/restate-sdk";

function identity(ctx) {
  const headers = ctx.request().attemptHeaders;
  const value = (name) => [headers.get(name) ?? null].flat().join(", ");
  return { signedBy: value("x-restate-identity-key"), subject: value("x-restate-identity-subject") };
}

const greeter = restate.service({
  name: "Greeter",
  handlers: {
    greet: async (ctx, name) => ({ greeting: `Hello, ${name}!`, ...identity(ctx) }),
    nap: async (ctx, milliseconds) => {
      await ctx.sleep(milliseconds);
      return { slept: milliseconds, ...identity(ctx) };
    },
    echo: async (_ctx, text) => text,
  },
});

const counter = restate.object({
  name: "Counter",
  handlers: {
    add: async (ctx, amount) => {
      const total = ((await ctx.get("total")) ?? 0) + amount;
      ctx.set("total", total);
      return { total, key: ctx.key, ...identity(ctx) };
    },
  },
});

const signup = restate.workflow({
  name: "Signup",
  handlers: {
    run: async (ctx, email) => {
      const confirmed = await ctx.run("confirm", () => true);
      return { email, confirmed, key: ctx.key, ...identity(ctx) };
    },
  },
});

restate.serve({ services: [greeter, counter, signup], port: Number(process.env.PORT) });
