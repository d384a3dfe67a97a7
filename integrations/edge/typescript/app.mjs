// A service of the TypeScript SDK without identity keys, behind a proxy that asks `restate-identity edge`.
import * as restate from "@restatedev/restate-sdk";

// The signature covers the key of the object in the token, not the one in the body. These are the headers that the proxy
// added to this very request; `ctx.request().headers` are those of whoever called Restate. nginx and Caddy leave out an
// empty subject.
function requireSignedKey(ctx) {
  const subject = ctx.request().attemptHeaders.get("x-restate-identity-subject") ?? "";
  if (typeof subject !== "string" || decodeURIComponent(subject) !== ctx.key) {
    throw new restate.TerminalError("the request was signed for another object", { errorCode: 403 });
  }
}

const counter = restate.object({
  name: "Counter",
  handlers: {
    add: async (ctx, amount) => {
      requireSignedKey(ctx);
      const total = ((await ctx.get("total")) ?? 0) + amount;
      ctx.set("total", total);
      return total;
    },
  },
});

restate.serve({ services: [counter], port: Number(process.env.PORT ?? 9080) });
