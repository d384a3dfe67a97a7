"""The heads of HTTP/1.1 messages, from and to those of HTTP/2."""

from __future__ import annotations

import re
from collections.abc import Iterable

import h11

from restate_identity.tunnel.client.exchange import Field, RequestHead, ResponseHead
from restate_identity.tunnel.client.response_head import passed_on, trailers_passed_on
from restate_identity.tunnel.fields import has_line_break
from restate_identity.tunnel.response import check_size

# RFC 9110, 9.3: a request with one of these methods has no body, unless it says that it has.
_WITHOUT_BODY = (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"DELETE")
# A trailer that is taken for a header must not change where the message ends, or whom it is for.
_NOT_IN_TRAILERS = (b"content-length", b"host", b"trailer", b"te")

# Where h11 begins to quote bytes.
_QUOTE = re.compile(r""":|\bb['"]""")


def complaint(error: h11.ProtocolError) -> str:
    """Return what is wrong, without what h11 quotes of the message: it may be a token."""
    return _QUOTE.split(str(error), maxsplit=1)[0].strip()


def request_event(head: RequestHead) -> h11.Request:
    """Return the head of the request as HTTP/1.1 has it.

    Raises:
        h11.LocalProtocolError: It cannot be sent, because a header is malformed.
    """
    headers: list[Field] = [(b"host", head.authority)]
    for name, value in head.headers:
        if name == b"content-length":
            headers.append((name, b"%d" % int(value)))
        elif name != b"te":
            headers.append((name, value))
    if (b"te", b"trailers") in head.headers:
        headers += [(b"te", b"trailers"), (b"connection", b"te")]
    if not any(name == b"content-length" for name, _ in headers):
        if not head.ended:
            headers.append((b"transfer-encoding", b"chunked"))
        elif head.method not in _WITHOUT_BODY:
            headers.append((b"content-length", b"0"))
    return h11.Request(method=head.method, target=head.path, headers=headers)


def request_end(trailers: Iterable[Field]) -> h11.EndOfMessage:
    """Return the end of the request with the *trailers* that HTTP/1.1 allows."""
    return h11.EndOfMessage(headers=[field for field in trailers if field[0] not in _NOT_IN_TRAILERS])


def response_head_of(event: h11.Response) -> ResponseHead:
    """Return the head without the fields of the connection, those that ``connection`` names among them.

    Raises:
        ValueError: The head is malformed. The message says why, without quoting it.
    """
    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
    named = {option.strip().lower() for name, value in fields if name == b"connection" for option in value.split(b",")}
    check_size(fields)
    names = {name for name, _ in fields}
    if b"transfer-encoding" in names and b"content-length" in names:
        raise ValueError("both a transfer-encoding and a content-length")
    return passed_on(event.status_code, fields, named=named - {b"content-length", b"content-type", b"trailer"})


def trailers_of(event: h11.EndOfMessage) -> list[Field]:
    """Return the trailers without fields of the connection.

    Raises:
        ValueError: A field is malformed.
    """
    fields = [(bytes(name), bytes(value)) for name, value in event.headers]
    check_size(fields)
    if any(has_line_break(value) for _, value in fields):
        raise ValueError("malformed trailers")
    return trailers_passed_on(fields)
