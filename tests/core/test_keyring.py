"""Keys from the environment and from files."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restate_identity import IdentityVerifier, InvalidKeyError, Reason, VerificationError
from restate_identity.guard import RequestGuard
from restate_identity.keyring import VARIABLES, KeyFile, verifier_from_environment
from restate_identity.signing import RequestSigner
from tests.support.clock import Clock
from tests.support.failing_handler import FailingHandler
from tests.support.odd_files import no_descriptors

PATH = "/invoke/Greeter/greet"
OLD, NEW, OTHER = (RequestSigner.generate() for _ in range(3))
KEYS, KEYS_FILE, SIGNING_KEY, INPROC_KEY = VARIABLES


def texts(verifier: IdentityVerifier | KeyFile) -> list[str]:
    return [str(key) for key in verifier.keys]


def lines(*signers: RequestSigner) -> str:
    return "".join(f"{signer.public_key}\n" for signer in signers)


def accepts(verifier: IdentityVerifier, signer: RequestSigner) -> bool:
    try:
        verifier.verify(PATH, signer.headers(PATH))
    except VerificationError as error:
        if error.reason is not Reason.UNKNOWN_KEY:
            raise
        return False
    return True


def replace(path: Path, content: str | bytes) -> None:
    """Put a new file in the place of *path*, as one step."""
    new = path.with_name("being-written")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    new.replace(path)


@pytest.fixture
def fine_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files were too old for a change to hide behind another one."""
    monkeypatch.setattr("restate_identity.keyring.COARSEST_CLOCK", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(lines(OLD))
    return path


class Watched:
    """A file with the key `OLD`, and a verifier that looks at it every 10 seconds of the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.file = KeyFile(path, clock=self.clock)
        self.verifier = self.file.verifier()


@pytest.fixture
def watched(path: Path) -> Watched:
    return Watched(path)


def logged(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# --- the environment


@pytest.mark.parametrize("separator", [",", " ", ", ", "\n", "\t", " ,\r\n, "])
def test_the_environment_holds_keys_separated_by_commas_or_white_space(separator: str) -> None:
    keys = f" {OLD.public_key}{separator}{NEW.public_key}{separator}"

    assert texts(verifier_from_environment({KEYS: keys})) == [str(OLD.public_key), str(NEW.public_key)]


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS, str(OLD.public_key))

    assert texts(verifier_from_environment()) == [str(OLD.public_key)]


@pytest.mark.parametrize("name", ["RESTATE_SIGNING_PUBLIC_KEY", "RESTATE_INPROC_SIGNING_PUBLIC_KEY"])
def test_the_variables_of_restates_own_tools_are_read(name: str) -> None:
    assert texts(verifier_from_environment({name: str(OLD.public_key)})) == [str(OLD.public_key)]


def test_the_first_variable_that_is_set_decides(path: Path) -> None:
    environ = {
        KEYS: str(NEW.public_key),
        KEYS_FILE: str(path),
        SIGNING_KEY: str(OTHER.public_key),
        INPROC_KEY: str(RequestSigner.generate().public_key),
    }
    seen = []
    for name in VARIABLES:
        seen += texts(verifier_from_environment(environ))
        del environ[name]

    assert seen[:3] == [str(signer.public_key) for signer in (NEW, OLD, OTHER)]
    assert len(set(seen)) == 4


def test_options_reach_the_verifier() -> None:
    verifier = verifier_from_environment({KEYS: str(OLD.public_key)}, leeway=60, clock=lambda: 1000 + 119)

    assert verifier.verify(PATH, OLD.headers(PATH, now=1000)).issued_at == 1000


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("empty", ["", " ", ",", "\n, \t"])
def test_a_variable_that_is_set_but_empty_is_an_error_and_nothing_else_is_tried(name: str, empty: str) -> None:
    environ = {**{other: str(OLD.public_key) for other in VARIABLES[VARIABLES.index(name) :]}, name: empty}

    with pytest.raises(ValueError, match=f"{name} is set, but empty") as refused:
        verifier_from_environment(environ)

    assert all(name in str(refused.value) for name in VARIABLES)


def test_no_variable_at_all_is_an_error_that_names_all_of_them() -> None:
    with pytest.raises(ValueError, match="no identity key is configured") as refused:
        verifier_from_environment({})

    assert str(refused.value).endswith(f"set one of the environment variables {', '.join(VARIABLES)}")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("RESTATE_IDENTITY_KEY", "RESTATE_IDENTITY_KEYS"), ("RESTATE_IDENTITY_KEY_FILE", "RESTATE_IDENTITY_KEYS_FILE")],
)
def test_a_variable_whose_name_lacks_the_s_is_not_read_and_the_error_says_so(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match="no identity key is configured") as refused:
        verifier_from_environment({name: str(OLD.public_key)})

    assert str(refused.value).endswith(f"{name} is set, but is read only by code that names it: rename it to {meant}")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({KEYS: f"{OLD.public_key},publickeyv1_x"}, f"^{KEYS}: identity key 2: "),
        ({SIGNING_KEY: "-----BEGIN PRIVATE KEY-----"}, f"^{SIGNING_KEY}: identity key 1: this is a PEM"),
        ({KEYS: "/etc/restate/keys"}, f"^{KEYS}: .* path of a file with keys, set {KEYS_FILE} to it"),
        ({KEYS_FILE: f"{OLD.public_key}"}, f"^{KEYS_FILE}: this is an identity key, .*set {KEYS} to it"),
        ({KEYS_FILE: f"{OLD.public_key},{NEW.public_key}"}, f"^{KEYS_FILE}: this is an identity key, .*set {KEYS}"),
        ({KEYS_FILE: "-----BEGIN PRIVATE KEY-----\nMC4C"}, f"^{KEYS_FILE}: this is a PEM, and not the path of a key"),
        ({KEYS_FILE: "/no/such/file"}, f"^{KEYS_FILE}: the key file /no/such/file cannot be read: No such file"),
    ],
)
def test_a_key_that_cannot_be_used_is_an_error_that_names_the_variable(environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidKeyError, match=message):
        verifier_from_environment(environ)


def test_a_key_in_the_place_of_the_path_of_a_key_file_is_told_from_one() -> None:
    for text in (str(OLD.public_key), "publickeyv1_" + "x" * 300):
        with pytest.raises(InvalidKeyError, match=r"this is an identity key, .*: pass identity_keys=") as refused:
            KeyFile(text)
        assert text not in str(refused.value)


def test_a_key_file_may_have_the_name_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / str(OLD.public_key)).write_text(lines(NEW))
    monkeypatch.chdir(tmp_path)

    assert texts(KeyFile(str(OLD.public_key))) == [str(NEW.public_key)]


def test_a_file_that_the_environment_names_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    defaults = KeyFile.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "clock", clock)
    verifier = verifier_from_environment({KEYS_FILE: f" {path}\n"})
    replace(path, lines(NEW))
    assert not accepts(verifier, NEW)

    clock.now += 10

    assert accepts(verifier, NEW)
    assert not accepts(verifier, OLD)


# --- the content of a file


def manifest(signer: RequestSigner = OLD, **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "restate.dev/v1beta1",
        "kind": "RestateCloudEnvironment",
        "metadata": {"name": "production"},
        "spec": {
            "environmentId": "env_201j4",
            "region": "eu",
            "signingPublicKey": str(signer.public_key),
            "authentication": {"secret": {"name": "token", "key": "token"}},
        },
        **changes,
    }


YAML = f"""\
# Made by hand
apiVersion: restate.dev/v1beta1
kind: RestateCloudEnvironment
metadata:
  name: production
spec:
  environmentId: env_201j4
  region: eu
  signingPublicKey: "{OLD.public_key}"
"""
OTHER_KIND = "apiVersion: v1\nkind: Secret\nstringData:\n  token: top-secret\n"


@pytest.mark.parametrize(
    ("content", "signers"),
    [
        (lines(OLD), [OLD]),
        (str(OLD.public_key), [OLD]),
        (lines(OLD, NEW, OLD), [OLD, NEW]),
        (f"# ours\n\n  {OLD.public_key}\t# until March\r\n#{NEW.public_key}\r\n", [OLD]),
        ("\ufeff" + lines(OLD), [OLD]),
        (lines(OLD).ljust(64 * 1024, "#"), [OLD]),
        (YAML, [OLD]),
        (f"---\n{OTHER_KIND}---\n{YAML}---\n{YAML.replace(str(OLD.public_key), str(NEW.public_key))}", [OLD, NEW]),
        (f"kind: ConfigMap\n---\n{YAML}", [OLD]),
        (json.dumps(manifest()), [OLD]),
        ("\n  " + json.dumps(manifest(NEW), indent=2), [NEW]),
    ],
)
def test_the_keys_of_a_file_are_read(path: Path, content: str, signers: list[RequestSigner]) -> None:
    path.write_bytes(content.encode())

    assert texts(KeyFile(path)) == [str(signer.public_key) for signer in signers]
    assert texts(KeyFile(str(path)).verifier()) == texts(KeyFile(path))


UNUSABLE: list[tuple[str | bytes, str]] = [
    ("", "has no keys in it"),
    ("# nothing\n\n", "has no keys in it"),
    (f"{OLD.public_key}\n{NEW.public_key}"[:-5], "line 2: "),
    (f"{OLD.public_key} {NEW.public_key}\n", "line 1: "),
    (OLD.to_pem(), "line 1: this is a PEM, not an identity key"),
    (b"publickeyv1_\xff\xfe", "not UTF-8"),
    (lines(OLD).ljust(64 * 1024 + 1, "#"), "more than 64 KiB"),
    (YAML.replace("RestateCloudEnvironment", "RestateCluster"), "no manifest of the kind RestateCloudEnvironment"),
    (OTHER_KIND, r"its kinds: Secret\)"),
    ("---\n", r"its kinds: none\)"),
    ("---\n- a list\n", "its kinds: a value of type list"),
    (YAML.replace("signingPublicKey", "signingKey"), "no spec.signingPublicKey"),
    (json.dumps(manifest(spec="x")), "no spec.signingPublicKey"),
    (json.dumps(manifest(spec={"signingPublicKey": 7})), "spec.signingPublicKey: "),
    ("kind: [\n", "not YAML from line 2 on"),
    ("---\n" + "[" * 1000, "it is not YAML$"),
    ("kind: !!timestamp 2026-99-99\n", "it is not YAML"),
    ("kind: !!timestamp yesterday\n", "it is not YAML"),
    ("kind: !!bool perhaps\n", "it is not YAML"),
    ("kind: !!int ''\n", "it is not YAML"),
    ("kind: \x01\n", "it is not YAML$"),
    (json.dumps(manifest())[:-10], "not JSON from line 1 on"),
    ('{"a":' * 5000, "not JSON"),
    ('{"a":' + "1" * 5000 + "}", "not JSON"),
]


@pytest.mark.parametrize(("content", "message"), UNUSABLE, ids=[message for _, message in UNUSABLE])
def test_a_file_that_cannot_be_used_is_an_error_and_not_a_verifier_without_keys(
    path: Path, content: str | bytes, message: str
) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(InvalidKeyError, match=message) as refused:
        KeyFile(path)

    assert str(path) in str(refused.value)
    assert "top-secret" not in str(refused.value)


def test_a_private_key_in_the_file_is_not_repeated_in_the_error(path: Path) -> None:
    path.write_bytes(OLD.to_pem().splitlines()[1])

    with pytest.raises(InvalidKeyError) as refused:
        KeyFile(path)

    assert OLD.to_pem().splitlines()[1].decode()[:16] not in str(refused.value)


def merged(levels: int) -> str:
    """A manifest in which each line holds, by merge keys, eight times what the line before it does."""
    lines = ["kind: RestateCloudEnvironment", "m0: &m0 {x: 1}"]
    lines += [f"m{n + 1}: &m{n + 1} {{<<: [{', '.join([f'*m{n}'] * 8)}]}}" for n in range(levels)]
    return "\n".join([*lines, f"spec: {{signingPublicKey: {OLD.public_key}}}", ""])


def with_members(count: int) -> str:
    """A manifest whose mappings have *count* members in all, most of them by merge keys."""
    lines = [f"spec: {{signingPublicKey: {OLD.public_key}}}", f"m: &m {{{', '.join(f'a{n}: 1' for n in range(255))}}}"]
    lines += [f"x{n}: {{<<: *m}}" for n in range(127)]
    # What is merged counts twice: where it is written, and where it is merged.
    members = 1 + 255 + 127 * (255 + 255) + len(lines)
    return "\n".join([*lines, *(f"y{n}: 1" for n in range(count - members - 1)), "kind: RestateCloudEnvironment", ""])


def test_a_manifest_that_grows_without_bound_by_its_merge_keys_is_an_error(path: Path) -> None:
    path.write_text(merged(levels=6))
    with pytest.raises(InvalidKeyError, match="its merge keys, <<, make too many members"):
        KeyFile(path)

    path.write_text(merged(levels=3))
    assert texts(KeyFile(path)) == [str(OLD.public_key)]


def test_a_manifest_may_have_65536_members_in_all(path: Path) -> None:
    path.write_text(with_members(65536))
    assert texts(KeyFile(path)) == [str(OLD.public_key)]

    path.write_text(with_members(65537))
    with pytest.raises(InvalidKeyError, match="its merge keys, <<, make too many members"):
        KeyFile(path)


def test_yaml_without_its_library_names_the_extra_and_json_needs_none(path: Path) -> None:
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from restate_identity.keyring import KeyFile\n"
        "try: print(len(KeyFile(sys.argv[1]).keys))\n"
        "except ImportError as error: print(error)"
    )

    def outcome(content: str) -> str:
        path.write_text(content)
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert outcome(YAML) == "a manifest in YAML needs PyYAML: pip install 'restate-identity[kubernetes]'"
    assert outcome(json.dumps(manifest())) == "1"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "10", None, True])
def test_an_interval_that_is_none_is_a_mistake(path: Path, seconds: Any) -> None:
    with pytest.raises(ValueError, match="refresh_every"):
        KeyFile(path, refresh_every=seconds)


# --- changes


def test_a_change_is_in_force_when_the_interval_has_passed_and_not_before(watched: Watched) -> None:
    replace(watched.path, lines(NEW))

    watched.clock.now += 9.9
    assert (accepts(watched.verifier, OLD), accepts(watched.verifier, NEW)) == (True, False)
    watched.clock.now += 0.1
    assert (accepts(watched.verifier, OLD), accepts(watched.verifier, NEW)) == (False, True)


def test_every_verifier_of_a_file_follows_it_and_so_does_a_guard(watched: Watched) -> None:
    verifiers = [watched.file.verifier(), watched.file.verifier(leeway=5)]
    guard = RequestGuard(verifier=verifiers[0])
    replace(watched.path, lines(NEW))
    watched.clock.now += 10

    identity = guard.admit(PATH, "v1", NEW.token(PATH))

    assert identity is not None
    assert identity.key == str(NEW.public_key)
    assert [texts(verifier) for verifier in verifiers] == [[str(NEW.public_key)]] * 2
    assert texts(watched.file) == [str(NEW.public_key)]


def test_a_verifier_is_not_kept_alive_by_its_file(path: Path) -> None:
    file = KeyFile(path)
    verifier = weakref.ref(file.verifier())

    gc.collect()

    assert verifier() is None


@pytest.mark.usefixtures("fine_clock")
def test_a_file_that_did_not_change_is_neither_read_nor_are_verified_tokens_forgotten(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = OLD.headers(PATH)
    watched.verifier.verify(PATH, headers)
    opened = counted(monkeypatch, os, "open")

    watched.clock.now += 10
    watched.verifier.verify(PATH, headers)

    assert opened() == 0
    assert watched.verifier.cache_info().hits == 1
    replace(watched.path, lines(OLD, NEW))
    opened_before = opened()
    watched.clock.now += 10
    watched.verifier.verify(PATH, headers)
    assert opened() == opened_before + 1


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Callable[[], int]:
    """Return a function that says how often ``owner.name`` was called since."""
    calls = [0]
    original = getattr(owner, name)

    def counting(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, counting)
    return lambda: calls[0]


def test_there_is_at_most_one_stat_in_an_interval_however_many_requests_come(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = counted(monkeypatch, Path, "stat")

    for seconds, seen in ((0, 0), (25, 1)):
        watched.clock.now += seconds
        for _ in range(100):
            accepts(watched.verifier, OLD)
        watched.file.refresh()
        assert stats() == seen


@pytest.mark.usefixtures("fine_clock")
@pytest.mark.parametrize("member", ["st_ino", "st_dev", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_a_change_of_which_only_one_thing_can_be_seen_is_noticed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    found = watched.path.stat()
    seen = SimpleNamespace(**{name: getattr(found, name) for name in dir(found) if name.startswith("st_")})
    monkeypatch.setattr(Path, "stat", lambda *_, **__: seen)

    watched.path.write_text(lines(NEW))
    watched.clock.now += 10
    assert accepts(watched.verifier, OLD), "nothing shows the change yet"
    setattr(seen, member, getattr(seen, member) + 1)
    watched.clock.now += 10

    assert accepts(watched.verifier, NEW)


def test_a_change_that_a_coarse_clock_hides_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # However long it took to get here from the writing of the file.
    monkeypatch.setattr("restate_identity.keyring.COARSEST_CLOCK", 3600.0)
    watched = Watched(path)
    same = path.stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: same)

    path.write_text(lines(NEW))
    watched.clock.now += 10

    assert accepts(watched.verifier, NEW)


def test_the_way_kubernetes_swaps_mounted_files_is_picked_up(tmp_path: Path) -> None:
    """As kubelet's atomic writer does: data directory, ``..data`` link to it, visible link through ``..data``."""
    volume = tmp_path / "volume"
    volume.mkdir()

    def publish(timestamp: str, content: str) -> None:
        directory = volume / f"..{timestamp}"
        directory.mkdir(mode=0o755)
        (directory / "keys").write_text(content)
        (volume / "..data_tmp").symlink_to(directory.name)
        previous = (volume / "..data").resolve() if (volume / "..data").exists() else None
        (volume / "..data_tmp").rename(volume / "..data")
        if previous is not None:
            (previous / "keys").unlink()
            previous.rmdir()

    publish("2026_03_01_10_00_00.123456789", lines(OLD))
    (volume / "keys").symlink_to("..data/keys")
    clock = Clock()
    verifier = KeyFile(volume / "keys", clock=clock).verifier()
    assert (accepts(verifier, OLD), accepts(verifier, NEW)) == (True, False)

    publish("2026_03_02_10_00_00.123456789", lines(OLD, NEW))
    clock.now += 10
    assert (accepts(verifier, OLD), accepts(verifier, NEW)) == (True, True)

    publish("2026_03_03_10_00_00.123456789", lines(NEW))
    clock.now += 10
    assert (accepts(verifier, OLD), accepts(verifier, NEW)) == (False, True)


# --- changes for the worse


@pytest.mark.parametrize("content", [content for content, _ in UNUSABLE], ids=[message for _, message in UNUSABLE])
def test_the_last_good_keys_stay_in_force_and_each_change_is_logged_once(
    watched: Watched, content: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    replace(watched.path, content)

    for _ in range(5):
        watched.clock.now += 10
        assert (accepts(watched.verifier, OLD), accepts(watched.verifier, NEW)) == (True, False)

    (line,) = logged(caplog)
    assert str(watched.path) in line
    assert str(OLD.public_key) in line
    assert "top-secret" not in caplog.text

    replace(watched.path, lines(NEW))
    watched.clock.now += 10

    assert (accepts(watched.verifier, OLD), accepts(watched.verifier, NEW)) == (False, True)
    assert logged(caplog) == [line]
    assert logged(caplog, logging.INFO) == [f"identity keys from {watched.path}: now trusting {NEW.public_key}"]


def test_a_second_change_for_the_worse_is_a_second_line(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:

    for content in ("", "nonsense\n", lines(OLD), ""):
        replace(watched.path, content)
        for _ in range(3):
            watched.clock.now += 10
            assert accepts(watched.verifier, OLD)

    assert len(logged(caplog)) == 3


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_system_that_is_slow_is_asked_again_an_interval_after_its_answer(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    original = Path.stat

    def slow_stat(self: Path, **options: Any) -> Any:
        watched.clock.now += 60
        if not is_there:
            raise OSError("gone")
        return original(self, **options)

    monkeypatch.setattr(Path, "stat", slow_stat)
    stats = counted(monkeypatch, Path, "stat")

    for seconds, seen in ((10, 1), (9.5, 1), (0.5, 2)):
        watched.clock.now += seconds
        for _ in range(10):
            assert accepts(watched.verifier, OLD)
        assert stats() == seen


def test_a_failure_nobody_thought_of_does_not_reach_the_request(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Path, "stat", lambda *_, **__: (_ for _ in ()).throw(MemoryError("top-secret")))

    watched.clock.now += 10

    assert accepts(watched.verifier, OLD)
    assert "MemoryError" in logged(caplog)[0]
    assert "top-secret" not in caplog.text


@pytest.mark.parametrize("content", [lines(NEW, OLD), "nonsense"])
def test_a_log_that_fails_does_not_reach_the_request(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    failing = FailingHandler()
    monkeypatch.setattr(logging.getLogger("restate_identity"), "handlers", [failing])
    replace(watched.path, content)

    watched.clock.now += 10

    assert accepts(watched.verifier, OLD)
    assert accepts(watched.verifier, NEW) == (content != "nonsense")
    assert failing.lines == 1


def test_a_file_with_a_relative_path_stays_the_same_file_when_the_working_directory_changes(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.chdir(path.parent)
    verifier = KeyFile(path.name, clock=clock).verifier()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / path.name).write_text(lines(OTHER))
    monkeypatch.chdir(elsewhere)
    replace(path, lines(NEW))
    clock.now += 10

    assert accepts(verifier, NEW)
    assert not accepts(verifier, OLD)
    assert not accepts(verifier, OTHER)


def test_what_cannot_be_used_is_not_parsed_again_while_it_stays_the_same(
    watched: Watched, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.path.write_text("kind: Secret\n")
    for _ in range(3):
        watched.clock.now += 10
        watched.file.refresh()
        # If it were parsed again, another error would be found, and logged.
        monkeypatch.setitem(sys.modules, "yaml", None)

    (problem,) = logged(caplog)
    assert "its kinds: Secret" in problem


@pytest.mark.usefixtures("fine_clock")
def test_a_second_loss_of_the_same_file_is_told_again(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    # With its folder, so that the file comes back with the same stamp.
    folder = watched.path.parent
    away = folder.with_name("away")

    for _ in range(2):
        folder.rename(away)
        for _ in range(3):
            watched.clock.now += 10
            assert accepts(watched.verifier, OLD)
        away.rename(folder)
        for _ in range(3):
            watched.clock.now += 10
            assert accepts(watched.verifier, OLD)

    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"] * 2
    assert logged(caplog, logging.INFO) == [f"identity keys from {watched.path}: now trusting {OLD.public_key}"] * 2


@pytest.mark.usefixtures("fine_clock")
def test_new_keys_are_in_force_as_soon_as_there_are_descriptors_again(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    replace(watched.path, lines(NEW))
    with no_descriptors():
        for _ in range(3):
            watched.clock.now += 10
            assert accepts(watched.verifier, OLD)

    # The file has not changed.
    watched.clock.now += 10

    assert (accepts(watched.verifier, OLD), accepts(watched.verifier, NEW)) == (False, True)
    (line,) = logged(caplog)
    assert "cannot be read: Too many open files" in line
    assert logged(caplog, logging.INFO) == [f"identity keys from {watched.path}: now trusting {NEW.public_key}"]


@pytest.mark.usefixtures("fine_clock")
def test_a_look_that_took_long_does_not_undo_what_a_later_one_found(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, may_go_on, has_read = os.read, threading.Event(), threading.Semaphore(0)

    def slow_read(*arguments: Any) -> bytes:
        content = original(*arguments)
        if threading.current_thread() is not threading.main_thread():
            has_read.release()
            assert may_go_on.wait(60)
        return content

    monkeypatch.setattr(os, "read", slow_read)
    slow = []
    for content in (lines(OTHER), "nonsense"):
        replace(watched.path, content)
        watched.clock.now += 10
        slow.append(threading.Thread(target=watched.file.refresh))
        slow[-1].start()
        assert has_read.acquire(timeout=60)
    replace(watched.path, lines(NEW))
    watched.clock.now += 10
    assert accepts(watched.verifier, NEW)
    may_go_on.set()
    for thread in slow:
        thread.join(60)

    assert texts(watched.file) == [str(NEW.public_key)]
    assert logged(caplog) == []


def test_a_manifest_that_cannot_be_read_for_lack_of_a_library_is_no_exception_to_that(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    replace(watched.path, YAML.replace(str(OLD.public_key), str(NEW.public_key)))

    watched.clock.now += 10

    assert accepts(watched.verifier, OLD)
    assert "pip install 'restate-identity[kubernetes]'" in logged(caplog)[0]


def test_a_key_file_says_which_one_it_is(path: Path) -> None:
    assert repr(KeyFile(path)) == f"<KeyFile '{path}'>"


# --- threads


def test_of_many_threads_at_the_deadline_one_looks_and_none_waits_or_fails(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = OLD.headers(PATH)
    replace(watched.path, lines(OLD, NEW))
    looks, may_look = threading.Semaphore(0), threading.Event()
    original = Path.stat

    def slow_stat(self: Path, **options: Any) -> Any:
        looks.release()
        assert may_look.wait(60)
        return original(self, **options)

    monkeypatch.setattr(Path, "stat", slow_stat)
    served = threading.Semaphore(0)

    def serve() -> None:
        watched.verifier.verify(PATH, headers)
        served.release()

    watched.clock.now += 10
    threads = [threading.Thread(target=serve) for _ in range(20)]
    for thread in threads:
        thread.start()
    # All but the one that looks are served while the file system still thinks.
    for _ in range(19):
        assert served.acquire(timeout=60)
    assert looks.acquire(timeout=60)
    may_look.set()
    for thread in threads:
        thread.join(60)

    assert not looks.acquire(blocking=False), "one looked"
    assert texts(watched.verifier) == [str(OLD.public_key), str(NEW.public_key)]


def test_no_genuine_request_is_refused_while_the_file_changes_under_load(path: Path) -> None:
    verifier = KeyFile(path, refresh_every=0.001).verifier()
    tokens = OLD.headers(PATH)
    failures: list[Exception] = []
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                verifier.verify(PATH, tokens)
            except Exception as error:  # noqa: BLE001 (a thread's is lost otherwise)
                failures.append(error)
                return

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        replace(path, lines(OLD, NEW))
        replace(path, "half-writ")
        replace(path, lines(NEW, OLD))
    done.set()
    for thread in threads:
        thread.join(60)

    assert failures == []
    time.sleep(0.002)
    assert accepts(verifier, NEW), "the file was never looked at"
    assert texts(verifier) == [str(NEW.public_key), str(OLD.public_key)]
