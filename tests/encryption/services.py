"""Services that pass a secret through everything that a journal stores."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

import restate

# Or the tests would wait long for those who were killed.
often = restate.InvocationRetryPolicy(initial_interval=timedelta(seconds=0.2), max_interval=timedelta(seconds=0.5))
desk = restate.Service("Desk", invocation_retry_policy=often)
vault = restate.VirtualObject("Vault", invocation_retry_policy=often)
signup = restate.Workflow("Signup", invocation_retry_policy=often)


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

    def step(name: str) -> str:
        with Path(os.environ["STEPS"]).open("a") as steps:
            steps.write(f"{ctx.request().id} {name}\n")
        return f"{text} {name}"

    first = await ctx.run_typed("first", lambda: step("first"))
    await ctx.sleep(timedelta(seconds=1.5))
    second = await ctx.run_typed("second", lambda: step("second"))
    return f"{first}, {second}"


@desk.handler(invocation_retry_policy=restate.InvocationRetryPolicy(max_attempts=1, on_max_attempts="pause"))
async def try_once(ctx: restate.Context, text: str) -> str:
    return text


@desk.handler(invocation_retry_policy=restate.InvocationRetryPolicy(max_attempts=1, on_max_attempts="kill"))
async def try_once_or_fail(ctx: restate.Context, text: str) -> str:
    return text


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
