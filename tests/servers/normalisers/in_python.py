"""The normalisers of Python: each takes a path, and returns its result or raises an error."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urldefrag, urljoin, urlparse, urlsplit, urlunsplit

import httptools
import httpx
import rfc3986
import rfc3986.normalizers
import rfc3986.validators
import starlette.datastructures
import yarl
from django.utils import encoding as django_encoding
from werkzeug.test import EnvironBuilder
from werkzeug.urls import iri_to_uri, uri_to_iri
from werkzeug.wrappers import Request

Normaliser = Callable[[str], str]


def _yarl_built(path: str) -> str:
    return yarl.URL.build(scheme="http", host="h", path=path).path


def _werkzeug_request(path: str) -> str:
    return Request({**EnvironBuilder().get_environ(), "PATH_INFO": path.encode().decode("latin-1")}).path


def _werkzeug_builder(path: str) -> str:
    return Request(EnvironBuilder(path).get_environ()).path


def _rfc3986_reference(path: str) -> str:
    if not rfc3986.validators.path_is_valid(path, require=True):
        raise ValueError(path)
    reference: Any = rfc3986.uri_reference(path).normalize()
    return str(reference.path)


def _httptools(path: str) -> str:
    parsed: bytes = httptools.parse_url(path.encode()).path
    return parsed.decode()


def _starlette(path: str) -> str:
    scope = {"type": "http", "scheme": "http", "server": ("h", 80), "path": path, "query_string": b"", "headers": []}
    return starlette.datastructures.URL(scope=scope).path


def _latin_1(path: str) -> str:
    """As WSGI servers hand a path over, decoded by a framework that does not know."""
    return path.encode().decode("latin-1")


# What comes out is a path again: decoded, cleaned, parsed.
READERS: dict[str, Normaliser] = {
    "urllib unquote": unquote,
    "urllib unquote, twice": lambda path: unquote(unquote(path)),
    "urllib unquote_plus": unquote_plus,
    "urllib urlsplit": lambda path: urlsplit(path).path,
    "urllib urlsplit of a URL": lambda path: urlsplit("http://h" + path).path,
    "urllib urlparse": lambda path: urlparse(path).path,
    "urllib urlunsplit": lambda path: urlunsplit(urlsplit(path)),
    "urllib urljoin": lambda path: urljoin("/x/y", path),
    "urllib urldefrag": lambda path: urldefrag(path).url,
    "posixpath normpath": posixpath.normpath,
    "pathlib": lambda path: str(PurePosixPath(path)),
    "str strip": str.strip,
    "ISO 8859-1": _latin_1,
    **{form: partial(unicodedata.normalize, form) for form in ("NFC", "NFD", "NFKC", "NFKD")},
    "yarl": lambda path: yarl.URL(path).path,
    "yarl of a URL, raw": lambda path: yarl.URL("http://h" + path).raw_path,
    "yarl build": _yarl_built,
    "yarl join": lambda path: yarl.URL("http://h/x/y").join(yarl.URL(path)).path,
    "httpx": lambda path: httpx.URL(path).path,
    "httpx, raw": lambda path: httpx.URL("http://h" + path).raw_path.decode(),
    "httpx join": lambda path: httpx.URL("http://h/x/y").join(path).path,
    "httptools": _httptools,
    "werkzeug uri_to_iri": uri_to_iri,
    "werkzeug Request": _werkzeug_request,
    "werkzeug EnvironBuilder": _werkzeug_builder,
    "rfc3986 normalize_uri": rfc3986.normalize_uri,
    "rfc3986 reference": _rfc3986_reference,
    "rfc3986 normalize_path": rfc3986.normalizers.normalize_path,
    "Django uri_to_iri": lambda path: str(django_encoding.uri_to_iri(path)),
    "Starlette URL": lambda path: starlette.datastructures.URL("http://h" + path).path,
    "Starlette URL of a scope": _starlette,
}
# What comes out is a part of a URL, which may have escapes: decoded, it is a path again.
WRITERS: dict[str, Normaliser] = {
    "urllib quote": quote,
    "werkzeug iri_to_uri": iri_to_uri,
    "Django iri_to_uri": lambda path: str(django_encoding.iri_to_uri(path)),
    "Django escape_uri_path": django_encoding.escape_uri_path,
    "Django filepath_to_uri": lambda path: str(django_encoding.filepath_to_uri(path)),
}
