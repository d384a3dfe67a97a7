"""Measure what each shortcut of the fast path saves, with genuine input that cannot use one of them."""

from __future__ import annotations

from benchmarks.contenders import PATH, Contender, ours, prove
from benchmarks.measure import Case, calls
from benchmarks.servers.apps import bare
from benchmarks.session import Outcome, Session
from benchmarks.signed import SignedRequest
from benchmarks.workloads import middleware
from benchmarks.workloads.checks import slices
from restate_identity.asgi import RequestIdentityMiddleware

NEW = "new token"
SEEN = "token seen before"
REQUEST = "request in the middleware"


def run(session: Session) -> Outcome:
    """Time genuine input in the server's form, and in forms that need full parsing, cutting or searching."""
    request = session.pair.request(PATH, subject="alice")
    under_prefix = request._replace(path=f"/mounted{PATH}")
    upper_case = request._replace(headers=[(name.title(), value) for name, value in request.headers])
    cases = [
        _new(session, NEW),
        _new(session, f"{NEW}, JOSE header parsed", header_reversed=True),
        _new(session, f"{NEW}, claims parsed", claims_reversed=True),
        _seen(session, SEEN, request),
        _seen(session, f"{SEEN}, path cut", under_prefix),
        _served(session, REQUEST, request),
        _served(session, f"{REQUEST}, header names in another case", upper_case),
    ]
    return Outcome(session.interleave(cases, turns=session.scale.turns))


def _contender(session: Session, name: str) -> Contender:
    contender = ours([session.pair.public], name)
    prove(contender, session.pair)
    return contender


def _new(session: Session, name: str, **written: bool) -> Case:
    contender = _contender(session, name)
    request = session.pair.request(PATH)
    pool = [
        request._replace(token=session.pair.token(PATH, subject=f"key-{number}", **written))
        for number in range(session.scale.slow * 2)
    ]
    return calls(name, contender.check, slices(contender, pool, session.scale.slow), before=contender.forget)


def _seen(session: Session, name: str, request: SignedRequest) -> Case:
    contender = _contender(session, name)
    return calls(name, contender.check, lambda: contender.arguments([request] * session.scale.fast))


def _served(session: Session, name: str, request: SignedRequest) -> Case:
    app = RequestIdentityMiddleware(bare, identity_keys=[session.pair.public])
    if middleware.status(app, request) != 200:
        raise AssertionError(f"{name} is not served")
    return calls(name, middleware.call, middleware.scopes(app, request, session.scale.fast))
