"""Services of each kind, made to show whether an invocation was lost or ran twice."""

from __future__ import annotations

from datetime import timedelta

import restate

from restate_identity import current_identity

greeter = restate.Service("Greeter")
ledger = restate.VirtualObject("Ledger")
signup = restate.Workflow("Signup")


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> dict[str, object]:  # noqa: ARG001
    identity = current_identity()
    return {"greeting": f"Hello, {name}!", "audience": identity.audience if identity else None}


@greeter.handler()
async def nap(ctx: restate.Context, milliseconds: int) -> int:
    """Sleep in two parts, with a step in between that is run once and remembered."""
    await ctx.sleep(timedelta(milliseconds=milliseconds / 2))
    slept = await ctx.run_typed("half", lambda: milliseconds)
    await ctx.sleep(timedelta(milliseconds=milliseconds / 2))
    return slept


@greeter.handler()
async def echo(ctx: restate.Context, text: str) -> str:  # noqa: ARG001
    return text


@ledger.handler()
async def book(ctx: restate.ObjectContext, entry: int) -> int:
    """Write an entry down; twice would show."""
    entries = await ctx.get("entries", type_hint=list[int]) or []
    await ctx.sleep(timedelta(milliseconds=20))
    ctx.set("entries", [*entries, entry])
    return entry


@ledger.handler(kind="shared")
async def entries(ctx: restate.ObjectSharedContext) -> list[int]:
    return await ctx.get("entries", type_hint=list[int]) or []


@signup.main()
async def run(ctx: restate.WorkflowContext, email: str) -> dict[str, str]:
    confirmed = await ctx.promise("confirmed", type_hint=str).value()
    return {"email": email, "key": ctx.key(), "confirmed": confirmed}


@signup.handler()
async def confirm(ctx: restate.WorkflowSharedContext, word: str) -> None:
    await ctx.promise("confirmed", type_hint=str).resolve(word)


app = restate.app([greeter, ledger, signup])
