"""Every available normaliser leaves a plain path unchanged, so reading it again gives the same path."""

from __future__ import annotations

import itertools
import random
import shutil
import string
from collections.abc import Sequence
from functools import cache
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restate_identity import VerificationError
from restate_identity.guard import RequestGuard
from restate_identity.signing import RequestSigner
from tests.servers.normalisers.batches import COMMANDS, normalised
from tests.servers.normalisers.in_python import READERS, WRITERS, Normaliser

MARKS = "-._~!$&'()*,=:@"
CHARACTERS = string.ascii_letters + string.digits + MARKS
OTHERS = [character for character in map(chr, range(128)) if character not in CHARACTERS + "/"]
GUARD = RequestGuard(identity_keys=[RequestSigner.generate().public_key], exempt_paths=lambda _path: True)


def is_plain(path: str) -> bool:
    try:
        return GUARD.admit(path, None, None, path.encode()) is None
    except VerificationError:
        return False


def _examples() -> list[str]:
    """Each character at each place of a segment, each pair of them, and longer paths from a fixed seed.

    A pair of two marks, or of a mark and a letter or digit, is a path by itself; all pairs are segments of longer ones.
    """
    places = ("/{}", "/{}a", "/a{}", "/a{}b", "/{}/b", "/a/{}", "/a/{}b/c")
    one = [place.format(character) for place in places for character in CHARACTERS]
    two = ["/" + "".join(pair) for pair in itertools.product(MARKS + "aZ0", repeat=2)]
    segments = [first + second for first in CHARACTERS for second in CHARACTERS if first + second != ".."]
    joined = ["/" + "/".join(segments[start : start + 50]) for start in range(0, len(segments), 50)]
    draw = random.Random(20261125)
    lengths = [[draw.randrange(1, 12) for _ in range(draw.randrange(1, 7))] for _ in range(1000)]
    long = ["".join("/" + "".join(draw.choices(CHARACTERS, k=length)) for length in segments) for segments in lengths]
    return [path for path in (*one, *two, *joined, *long) if not {".", ".."}.intersection(path.split("/"))]


EXAMPLES = _examples()


def of_python(readers: dict[str, Normaliser], paths: Sequence[str]) -> dict[str, list[str | None]]:
    def result(normaliser: Normaliser, path: str) -> str | None:
        try:
            return normaliser(path)
        except Exception:  # noqa: BLE001 (each refuses in its own way)
            return None

    return {name: [result(normaliser, path) for path in paths] for name, normaliser in readers.items()}


languages = pytest.mark.parametrize("language", ["python", *COMMANDS])


@cache
def results(language: str) -> tuple[dict[str, list[str | None]], dict[str, list[str | None]]]:
    """Return the results of a language's readers and writers for the examples."""
    if language == "python":
        return of_python(READERS, EXAMPLES), of_python(WRITERS, EXAMPLES)
    if shutil.which(language) is None:
        pytest.skip(f"{language} is not installed: what its normalisers do is not looked at")
    return normalised(language, EXAMPLES)


@languages
def test_a_plain_path_is_a_fixed_point_of_every_normaliser(language: str) -> None:
    readers, _ = results(language)
    changed = {
        name: [(path, result) for path, result in zip(EXAMPLES, of_paths, strict=True) if result != path][:5]
        for name, of_paths in readers.items()
    }
    assert {name: examples for name, examples in changed.items() if examples} == {}


@languages
def test_a_plain_path_that_is_written_into_a_url_is_read_as_the_same_path(language: str) -> None:
    _, writers = results(language)
    changed = {
        name: [(path, url) for path, url in zip(EXAMPLES, urls, strict=True) if url is None or unquote(url) != path][:5]
        for name, urls in writers.items()
    }
    assert {name: examples for name, examples in changed.items() if examples} == {}


def test_the_examples_are_plain() -> None:
    assert len(EXAMPLES) > 1500
    assert [path for path in EXAMPLES if not is_plain(path)] == []


segments = st.text(CHARACTERS, min_size=1, max_size=30).filter(lambda segment: segment not in (".", ".."))
paths = st.lists(segments, min_size=1, max_size=8).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=300)
@given(path=paths)
def test_no_normaliser_of_python_changes_a_plain_path(path: str) -> None:
    assert {name: of(path) for name, of in READERS.items()} == dict.fromkeys(READERS, path)
    assert {name: unquote(of(path)) for name, of in WRITERS.items()} == dict.fromkeys(WRITERS, path)


@settings(max_examples=100)
@given(data=st.data(), path=paths)
def test_normalisers_of_python_one_after_the_other_do_not_change_it_either(data: st.DataObject, path: str) -> None:
    several = data.draw(st.lists(st.sampled_from(sorted(READERS)), min_size=2, max_size=6))
    result = path
    for name in several:
        result = READERS[name](result)
    assert result == path


@pytest.mark.parametrize("character", OTHERS, ids=ascii)
def test_a_character_that_is_not_plain_is_changed_or_refused_by_a_normaliser(character: str) -> None:
    path = f"/a{character}b"
    assert not is_plain(path)
    assert [name for name, (result,) in of_python(READERS, [path]).items() if result != path]


@pytest.mark.parametrize("segment", [".", "..", ""])
def test_a_segment_that_is_not_plain_is_changed_by_a_normaliser(segment: str) -> None:
    path = f"/a/{segment}/b"
    assert not is_plain(path)
    assert [name for name, (result,) in of_python(READERS, [path]).items() if result != path]
