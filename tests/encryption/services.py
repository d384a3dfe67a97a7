"""Services that pass a secret through everything that a journal stores."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

import restate

desk = restate.Service("Desk")
vault = restate.VirtualObject("Vault")
signup = restate.Workflow("Signup")


class Answer(TypedDict):
    id: str
    text: str


@desk.handler()
async def say(ctx: restate.Context, text: str) -> str:
    return await ctx.run_typed("step", lambda: f"{text} step")


@desk.handler()
async def answer(ctx: restate.Context, given: Answer) -> None:
    ctx.resolve_awakeable(given["id"], given["text"])


@desk.handler()
async def relay(ctx: restate.Context, text: str) -> str:
    """Call, send, and wait for an awakeable that another invocation resolves."""
    called = await ctx.service_call(say, arg=f"{text} call")
    ctx.service_send(say, arg=f"{text} send")
    awakeable, answered = ctx.awakeable(type_hint=str)
    ctx.service_send(answer, arg=Answer(id=awakeable, text=f"{text} awakeable"))
    return f"{called}, {await answered}"


@desk.handler()
async def doze(ctx: restate.Context, text: str) -> str:
    """Take a step, sleep, and take another: whoever is killed in between has to replay the first."""
    first = await ctx.run_typed("first", lambda: f"{text} first")
    await ctx.sleep(timedelta(seconds=1.5))
    second = await ctx.run_typed("second", lambda: f"{text} second")
    return f"{first}, {second}"


@desk.handler()
async def fail(ctx: restate.Context, text: str) -> None:
    raise restate.TerminalError(text)


@vault.handler()
async def put(ctx: restate.ObjectContext, text: str) -> str | None:
    """Store a text, and return the one before."""
    before = await ctx.get("text", type_hint=str)
    ctx.set("text", text)
    return before


@vault.handler(kind="shared")
async def look(ctx: restate.ObjectSharedContext) -> str | None:
    return await ctx.get("text", type_hint=str)


@signup.main()
async def run(ctx: restate.WorkflowContext, text: str) -> str:
    return f"{text}, {await ctx.promise('confirmed', type_hint=str).value()}"


@signup.handler()
async def confirm(ctx: restate.WorkflowSharedContext, text: str) -> None:
    await ctx.promise("confirmed", type_hint=str).resolve(text)
