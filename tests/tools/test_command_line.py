"""The command `restate-identity`: in this process, or in one of its own where that makes a difference."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
import yaml

from restate_identity import IdentityVerifier, PublicKey
from restate_identity.keyring import KeyFile
from restate_identity.signing import RequestSigner
from tests.support.base64url import base64url
from tests.support.command import run_as_text as run
from tests.support.processes import ran

COMMAND = [sys.executable, "-m", "restate_identity"]
PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEY = str(SIGNER.public_key)
STRANGER = RequestSigner.generate()
# Tokens signed on import must outlive a slow run of the tests.
LASTING = SIGNER.token(PATH, leeway=86400)
ALL = ["keygen", "public-key", "inspect", "verify", "sign", "doctor"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "PYTHONIOENCODING"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pem(tmp_path: Path) -> str:
    file = tmp_path / "private.pem"
    file.touch(mode=0o600)
    file.write_bytes(SIGNER.to_pem())
    return file.name


def run_alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which reads the environment anew."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the single line of a command's error."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("restate-identity")
    assert done.stderr.count("\n") == 1
    return done.stderr.rstrip("\n")


class TestKeygen:
    def test_a_key_is_made_that_only_its_owner_can_read(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            done = run("keygen")
        finally:
            os.umask(before)
        file = tmp_path / "private.pem"
        assert done.returncode == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert done.stdout == f"{RequestSigner.from_pem(file).public_key}\n"
        assert "PRIVATE" not in done.stdout + done.stderr
        assert "wrote the private key to private.pem" in done.stderr

    def test_the_file_can_be_named(self, tmp_path: Path) -> None:
        done = run("keygen", "--out", "other.pem")
        assert done.stdout == f"{RequestSigner.from_pem(tmp_path / 'other.pem').public_key}\n"
        assert list(tmp_path.iterdir()) == [tmp_path / "other.pem"]

    def test_a_file_that_exists_is_not_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "private.pem").write_text("precious")
        assert "private.pem exists and is not overwritten" in complaint(run("keygen"))
        assert (tmp_path / "private.pem").read_text() == "precious"

    def test_a_link_is_not_followed_to_where_nothing_is(self, tmp_path: Path) -> None:
        (tmp_path / "private.pem").symlink_to(tmp_path / "elsewhere")
        assert "exists and is not overwritten" in complaint(run("keygen"))
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("out", ["-", ""])
    def test_a_private_key_is_never_printed(self, tmp_path: Path, out: str) -> None:
        told = complaint(run("keygen", "--out", out))
        assert told == "restate-identity: --out is the name of a new file: a private key is never printed"
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_not_there_is_named(self) -> None:
        assert "cannot make no/such.pem: No such file or directory" in complaint(run("keygen", "--out", "no/such.pem"))

    def test_where_nothing_can_be_written_nothing_is_left(self, tmp_path: Path) -> None:
        limited = f"ulimit -f 0; trap '' XFSZ; exec {shlex.join([*COMMAND, 'keygen'])}"
        done = ran("/bin/sh", "-c", limited)
        assert "cannot write private.pem: File too large; nothing was kept" in complaint(done)
        assert list(tmp_path.iterdir()) == []

    def test_the_file_is_whole_when_it_is_sent_to_the_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[bytes] = []
        monkeypatch.setattr("os.fsync", lambda _: written.append(Path("private.pem").read_bytes()))
        run("keygen")
        assert written == [Path("private.pem").read_bytes()]

    def test_who_interrupts_it_gets_the_status_of_that(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(RequestSigner, "generate", interrupted)
        done = run("keygen")
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "\n")

    def test_for_kubernetes_it_prints_a_secret_for_the_server_and_a_config_map_for_the_services(
        self, tmp_path: Path
    ) -> None:
        done = run("keygen", "--kubernetes", "restate-identity")
        secret, config_map = yaml.safe_load_all(done.stdout)
        assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (0, "", [])
        assert not done.stdout.endswith("\n\n")
        assert (secret["apiVersion"], secret["kind"], config_map["kind"]) == ("v1", "Secret", "ConfigMap")
        assert secret["metadata"] == config_map["metadata"] == {"name": "restate-identity"}
        # As Kubernetes mounts it.
        (tmp_path / "keys").write_text(config_map["data"]["keys"])
        (key,) = KeyFile(tmp_path / "keys").keys
        assert RequestSigner.from_pem(secret["stringData"]["private.pem"].encode()).public_key == key

    def test_the_names_of_its_manifests_are_those_that_kubernetes_takes(self) -> None:
        longest = ".".join(["a" * 63] * 3 + ["a" * 61])
        for name in ("1", "a.b-c", longest):
            printed = run("keygen", "--kubernetes", name).stdout
            assert [manifest["metadata"]["name"] for manifest in yaml.safe_load_all(printed)] == [name, name]
        for name in ("", "Big", "a_b", "-a", "a..b", "a" * 64, f"{longest}a", 'a"\nb: c'):
            assert "cannot be the name of a Secret" in complaint(run("keygen", "--kubernetes", name))
        assert "choose one" in complaint(run("keygen", "--kubernetes", "a", "--out", "b"))

    def test_a_manifest_with_a_private_key_is_not_printed_on_a_screen(self) -> None:
        shown = in_a_terminal("keygen", "--kubernetes", "a", stderr=True)
        assert "a private key is not printed on a terminal: pipe it" in shown
        assert "PRIVATE" not in shown


class TestPublicKey:
    def test_it_is_printed_for_a_file_and_for_standard_input(self, pem: str) -> None:
        for done in (run("public-key", pem), run("public-key", "-", stdin=SIGNER.to_pem())):
            assert (done.returncode, done.stdout, done.stderr) == (0, f"{KEY}\n", "")

    @pytest.mark.parametrize("command", [["public-key"], ["sign", "--path", PATH, "--key"]], ids=["public-key", "sign"])
    def test_a_private_key_in_the_place_of_its_file_is_not_repeated_and_it_is_said_what_to_pass(
        self, command: list[str]
    ) -> None:
        body = SIGNER.to_pem().decode().splitlines()[1]
        assert complaint(run(*command, body)) == (
            "restate-identity: cannot read (64 characters that may be a secret): No such file or directory; "
            "pass the private key's PEM file"
        )

    def test_a_pem_that_is_taken_for_an_option_is_not_repeated(self) -> None:
        told = complaint(run("public-key", SIGNER.to_pem().decode()))
        assert told == (
            "restate-identity public-key: this is a PEM, which must be in a file: "
            "pass the name of the file, or - for standard input. Try: restate-identity public-key --help"
        )

    @pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
    def test_the_permissions_of_a_file_without_a_private_key_are_not_warned_of(self, pem: str) -> None:
        Path(pem).write_text("something else")
        Path(pem).chmod(0o644)
        assert "PEM" in complaint(run("public-key", pem))

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path, pem: str) -> None:
        assert "cannot read none.pem: No such file or directory" in complaint(run("public-key", "none.pem"))
        assert "Is a directory" in complaint(run("public-key", str(tmp_path)))
        Path(pem).chmod(0)
        if os.access(pem, os.R_OK):
            pytest.skip("permissions do not bind this user")
        assert "cannot read private.pem: Permission denied" in complaint(run("public-key", pem))


@pytest.mark.parametrize(
    "command",
    [["public-key", "-"], ["public-key", "pipe"], ["verify", "--identity-key", KEY, "--path", PATH, "-"]],
    ids=["a key from standard input", "a key from a file", "a token"],
)
def test_what_is_too_long_is_refused_before_its_end_is_known(tmp_path: Path, command: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    # Open for reading too, so that neither side waits for the other, and it stays open.
    with (tmp_path / "pipe").open("r+b", buffering=0) as pipe:
        process = subprocess.Popen([*COMMAND, *command], stdin=pipe, stderr=subprocess.PIPE, text=True)
        try:
            for _ in range(70):
                pipe.write(b"x" * 1000)
            assert process.wait(60) == 2
        finally:
            process.kill()
            _, errors = process.communicate()
    assert "more than 65536" in errors


class TestSign:
    def test_the_headers_are_those_that_a_service_accepts(self, pem: str) -> None:
        done = run("sign", "--key", pem, "--path", PATH, "--subject", "alice/ü")
        headers = [tuple(line.split(": ")) for line in done.stdout.splitlines()]
        identity = IdentityVerifier([KEY]).verify(PATH, headers)  # type: ignore[arg-type]  # two parts each
        assert identity.subject == "alice/ü"
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("url", "requested"),
        [
            ("http://127.0.0.1:9080", "http://127.0.0.1:9080/invoke/Greeter/gr%C3%BC%C3%9F%20e"),
            ("http://127.0.0.1:9080/", "http://127.0.0.1:9080/invoke/Greeter/gr%C3%BC%C3%9F%20e"),
            ("http://127.0.0.1:9080/X/", "http://127.0.0.1:9080/X/invoke/Greeter/gr%C3%BC%C3%9F%20e"),
            ("https://a.example/mounted", "https://a.example/mounted/invoke/Greeter/gr%C3%BC%C3%9F%20e"),
            ("https://a.example/invoke/Greeter/grü%C3%9F%20e", "https://a.example/invoke/Greeter/grü%C3%9F%20e"),
        ],
    )
    def test_a_curl_command_is_ready_to_run(self, pem: str, url: str, requested: str) -> None:
        path = "/invoke/Greeter/grüß e"
        done = run("sign", "--key", pem, "--path", path, "--curl", url)
        words = shlex.split(done.stdout)
        assert [words[0], words[-1]] == ["curl", requested]
        fields = [words[i + 1].split(": ") for i, word in enumerate(words) if word == "-H"]
        claims = jwt.decode(dict(fields)["x-restate-jwt-v1"], options={"verify_signature": False})
        assert claims["aud"] == path

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            ("/foo", "no path that a Restate server calls"),
            ("/discover?x", "a query is never signed; omit it from --path"),
            ("/a//invoke/A/b", "has an empty segment"),
            ("/a%20b/discover", "contains '%'"),
        ],
    )
    def test_a_path_that_every_guard_refuses_is_signed_with_a_warning(self, pem: str, path: str, problem: str) -> None:
        done = run("sign", "--key", pem, "--path", path)
        assert (done.returncode, done.stdout.count("\n"), done.stderr.count("\n")) == (0, 2, 1)
        assert done.stderr.startswith("restate-identity: warning: every guard refuses this token: ")
        assert problem in done.stderr

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9080/it's;here&$(there)", "http://127.0.0.1:9080/a b"])
    def test_what_a_shell_would_read_in_the_url_of_a_curl_command_is_quoted(self, pem: str, url: str) -> None:
        done = run("sign", "--key", pem, "--path", "/discover", "--curl", url)
        assert shlex.split(done.stdout)[-1] == f"{url}/discover"
        shell = ran("/bin/sh", "-c", done.stdout.replace("curl -i", "printf '%s\\n'", 1))
        assert shell.stdout.splitlines()[-1] == f"{url}/discover"

    def test_the_token_can_be_had_alone(self, pem: str) -> None:
        done = run("sign", "--key", pem, "--path", PATH, "--token")
        assert IdentityVerifier([KEY]).verify_signature(PATH, "v1", done.stdout.removesuffix("\n")).audience == PATH

    def test_machines_read_the_headers_as_json(self, pem: str) -> None:
        headers = json.loads(run("sign", "--key", pem, "--path", PATH, "--json").stdout)
        assert IdentityVerifier([KEY]).verify(PATH, headers).audience == PATH

    def test_of_the_forms_of_a_signature_one_is_chosen(self, pem: str) -> None:
        for forms in (["--token", "--json"], ["--token", "--curl", "http://127.0.0.1"]):
            assert "choose one" in complaint(run("sign", "--key", pem, "--path", PATH, *forms))

    def test_what_cannot_be_signed_is_refused(self, pem: str) -> None:
        assert "Missing option '--path'" in complaint(run("sign", "--key", pem))
        assert "must begin with /" in complaint(run("sign", "--key", pem, "--path", "invoke/a/b"))
        for url in ("a.example", "http://["):
            assert "http:// or https://" in complaint(run("sign", "--key", pem, "--path", PATH, "--curl", url))
        assert "UTF-8" in complaint(run("sign", "--key", pem, "--path", PATH, "--subject", os.fsdecode(b"\xff")))


class TestVerify:
    def verify(self, token: str, *more: str) -> subprocess.CompletedProcess[str]:
        return run("verify", "--identity-key", KEY, "--path", PATH, "-", *more, stdin=token)

    def test_a_genuine_token_is_accepted(self) -> None:
        done = self.verify(SIGNER.token(PATH, subject="alice"))
        assert done.returncode == 0
        assert re.fullmatch(f"accepted: {PATH}, object alice, for (60|[1-5][0-9]) seconds more\n", done.stdout)

    def test_it_is_taken_from_the_argument_too_and_one_of_several_keys_is_enough(self) -> None:
        keys = ["--identity-key", str(STRANGER.public_key), "--identity-key", KEY]
        assert run("verify", *keys, "--path", PATH, SIGNER.token(PATH)).returncode == 0

    @pytest.mark.parametrize("separator", [",", " ", ", "])
    def test_the_keys_of_a_rotation_can_be_in_one_argument(self, separator: str) -> None:
        keys = f"{STRANGER.public_key}{separator}{KEY}"
        assert run("verify", "--identity-key", keys, "--path", PATH, SIGNER.token(PATH)).returncode == 0

    @pytest.mark.parametrize(
        "form",
        [
            "{scheme}: v1\n{name}: {token}\n",
            "{name}: {token}",
            "GET / HTTP/1.1\r\nHost: a.example\r\nX-Restate-Signature-Scheme: v1\r\nX-Restate-Jwt-V1: {token}\r\n",
            "curl -i \\\n  -H '{scheme}: v1' \\\n  -H '{name}: {token}' \\\n  http://127.0.0.1:9080/discover\n",
            '{{"{scheme}": "v1", "{name}": "{token}"}}',
        ],
        ids=["sign", "one line", "a request", "curl", "JSON"],
    )
    def test_a_token_can_be_pasted_with_its_headers(self, form: str) -> None:
        text = form.format(scheme="x-restate-signature-scheme", name="x-restate-jwt-v1", token=SIGNER.token(PATH))
        assert self.verify(text).stdout.startswith(f"accepted: {PATH}, ")
        assert f"aud        {PATH}\n" in run("inspect", "-", stdin=text).stdout

    def test_what_sign_prints_can_be_piped_to_it(self, pem: str) -> None:
        signed = run("sign", "--key", pem, "--path", PATH).stdout
        assert self.verify(signed).returncode == 0

    def test_the_scheme_among_the_headers_is_judged_unless_another_is_given(self) -> None:
        headers = f"x-restate-signature-scheme: unsigned\nx-restate-jwt-v1: {SIGNER.token(PATH)}\n"
        assert self.verify(headers).stdout.startswith("refused: unsigned: ")
        assert self.verify(headers, "--scheme", "v1").returncode == 0

    @pytest.mark.parametrize("form", ["Bearer {}", "x-restate-jwt-v1: bearer {}"])
    def test_a_token_with_bearer_in_front_is_judged_and_it_is_said_that_a_service_refuses_that(self, form: str) -> None:
        done = self.verify(form.format(SIGNER.token(PATH)))
        assert done.returncode == 0
        assert done.stderr == (
            "restate-identity: warning: ignoring 'Bearer', but a service refuses it: "
            "x-restate-jwt-v1 must be the token alone\n"
        )

    def test_the_headers_of_no_request_or_of_several_are_not_judged(self) -> None:
        one = f"x-restate-jwt-v1: {LASTING}\n"
        assert "several requests, or a header is repeated" in complaint(self.verify(one * 2))
        scheme = "x-restate-signature-scheme: v1\n"
        assert "there is no x-restate-jwt-v1 among these headers" in complaint(self.verify(scheme))
        assert "or a header is repeated" in complaint(self.verify(scheme * 2 + one))

    def test_a_refusal_has_its_reason_and_its_hint(self) -> None:
        done = self.verify(SIGNER.token(PATH, now=time.time() - 600))
        assert done.returncode == 1
        assert done.stdout.startswith("refused: expired: the token expired 5")
        assert done.stderr == ""

    @pytest.mark.parametrize(
        ("token", "more", "reason"),
        [
            (LASTING, ["--path", "/discover"], "wrong_audience"),
            (LASTING, ["--scheme", "unsigned"], "unsigned"),
            (STRANGER.token(PATH), [], "unknown_key"),
            ("garbage", [], "malformed_token"),
            ("ü.ü.ü", [], "malformed_token"),
            ("A" * 20_000, [], "oversized_token"),
        ],
    )
    def test_machines_read_json(self, token: str, more: list[str], reason: str) -> None:
        done = self.verify(token, "--json", *more)
        told = json.loads(done.stdout)
        assert (done.returncode, told["accepted"], told["reason"]) == (1, False, reason)
        assert set(told) == {"accepted", "reason", "hint"}
        assert token not in done.stdout

    def test_machines_read_the_identity(self) -> None:
        done = self.verify(SIGNER.token(PATH, subject="alice"), "--json")
        told = json.loads(done.stdout)
        assert (done.returncode, told["accepted"]) == (0, True)
        assert told["identity"]["subject"] == "alice"
        assert told["identity"]["key"] == KEY

    def test_without_a_token_or_a_sound_key_nothing_is_judged(self) -> None:
        assert "there is no token" in complaint(self.verify(" \n"))
        weak = str(PublicKey.parse(KEY))[:-5]
        assert "cut while copying" in complaint(run("verify", "--identity-key", weak, "--path", PATH, "-"))
        assert "copying? Try:" in complaint(run("verify", "--identity-key", weak, "--path", PATH, "-"))
        assert "Missing option '--path'" in complaint(run("verify", "--identity-key", KEY, "-"))
        assert "must begin with /" in complaint(run("verify", "--identity-key", KEY, "--path", PATH[1:], LASTING))

    def test_without_a_key_those_that_a_service_would_read_are_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert complaint(run("verify", "--path", PATH, LASTING)) == (
            "restate-identity: there is no key to verify with: "
            "pass --identity-key, or set RESTATE_IDENTITY_KEYS or RESTATE_IDENTITY_KEYS_FILE"
        )
        (tmp_path / "keys").write_text(f"{STRANGER.public_key}\n{KEY}\n")
        monkeypatch.setenv("RESTATE_IDENTITY_KEYS_FILE", "keys")
        assert run("verify", "--path", PATH, LASTING).returncode == 0
        monkeypatch.setenv("RESTATE_IDENTITY_KEYS", str(STRANGER.public_key))
        assert "refused: unknown_key" in run("verify", "--path", PATH, LASTING).stdout
        assert run("verify", "--identity-key", KEY, "--path", PATH, LASTING).returncode == 0
        monkeypatch.setenv("RESTATE_IDENTITY_KEYS", "nonsense")
        assert "RESTATE_IDENTITY_KEYS: identity key 1" in complaint(run("verify", "--path", PATH, LASTING))

    def test_without_standard_input_that_is_said(self) -> None:
        shell = f"exec {shlex.join([*COMMAND, 'verify', '--identity-key', KEY, '--path', PATH, '-'])} <&-"
        done = ran("/bin/sh", "-c", shell)
        assert "no standard input" in complaint(done)


class TestInspect:
    def test_times_are_told_in_words_and_local_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        done = run_alone("inspect", SIGNER.token(PATH, now=1_000_000_000))
        assert "iat        1000000000  2001-09-09 07:16:40+05:30, " in done.stdout
        assert " days ago\n" in done.stdout
        assert "Window       expired by this machine's clock" in done.stdout

    def test_what_a_token_says_does_not_steer_the_terminal(self) -> None:
        done = run("inspect", "-", stdin=SIGNER.token(PATH, subject="[red]\x1b[2J\u202e\r\nü"))
        assert "sub        [red]\\x1b[2J\\u202e\\r\\nü\n" in done.stdout

    def test_names_in_a_token_do_not_steer_the_terminal_either(self) -> None:
        token = SIGNER.sign_jws({"alg": "EdDSA", "\x1b[2Jk\u202e": "v"}, {"\x1b]0;t\x07c\n": "v", "aud": PATH})
        done = run("inspect", "-", stdin=token)
        assert "  \\x1b[2Jk\\u202e  " in done.stdout
        assert "  \\x1b]0;t\\x07c\\n  " in done.stdout
        assert done.stdout.replace("\n", "").isprintable()

    def test_machines_read_json(self) -> None:
        token = SIGNER.token(PATH, subject="\x1b[2Jalice")
        done = run("inspect", "--json", token)
        told = json.loads(done.stdout)
        assert (told["header"]["kid"], told["claims"]["sub"]) == (KEY, "\x1b[2Jalice")
        assert (told["window"], told["signature"]) == ("open", {"holds": None})
        assert "\x1b" not in done.stdout
        assert json.loads(run("inspect", "--identity-key", KEY, "--json", token).stdout)["signature"] == {"holds": True}
        forged = run("inspect", "--identity-key", str(STRANGER.public_key), "--json", token)
        assert forged.returncode == 1
        assert json.loads(forged.stdout)["signature"].items() >= {"holds": False, "reason": "unknown_key"}.items()

    def test_a_number_that_json_does_not_know_is_not_printed_as_json(self) -> None:
        claims = base64url(b'{"exp": 1e999}')
        token = f"e30.{claims}."
        assert "exp        Infinity\n" in run("inspect", token).stdout
        assert "a number that JSON cannot express" in complaint(run("inspect", "--json", token))


@pytest.mark.parametrize("command", [[], *([name] for name in ALL)], ids=["restate-identity", *ALL])
def test_the_help_of_each_command_has_an_example(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert f"\n    restate-identity {' '.join(command)}" in done.stdout


def test_without_a_command_it_says_what_there_is() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
    assert "keygen" in done.stderr


def test_a_command_that_does_not_exist_is_refused_in_one_line() -> None:
    assert "Try: restate-identity --help" in complaint(run("nope"))
    assert "No such option" in complaint(run("keygen", "--nope"))


def test_around_a_secret_among_the_arguments_the_others_are_repeated() -> None:
    told = complaint(run("public-key", "-", "before", "key_1KaWp2nSSvSuMbL5sxn4Jk", "behind"))
    assert "(before (not repeated, as it may be a secret) behind)" in told


@pytest.fixture
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python keep output that could not be written, as it does by default, and try again when it ends."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.usefixtures("_buffered")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["keygen"],
        ["public-key", "private.pem"],
        ["sign", "--key", "private.pem", "--path", PATH],
        ["inspect", LASTING],
        ["verify", "--identity-key", KEY, "--path", PATH, LASTING],
        ["verify", "--identity-key", KEY, "--path", PATH, "--json", "garbage"],
        ["nope"],
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_when_nobody_reads_the_output_it_ends_in_silence_and_with_no_verdict(pem: str, arguments: list[str]) -> None:
    if arguments == ["keygen"]:
        Path(pem).unlink()
    reader, writer = os.pipe()
    os.close(reader)
    try:
        # The errors of the one that has nothing else to say are what nobody reads.
        streams = {"stderr": writer} if arguments == ["nope"] else {"stdout": writer, "stderr": subprocess.PIPE}
        with subprocess.Popen([*COMMAND, *arguments], **streams) as process:  # type: ignore[call-overload]
            _, errors = process.communicate(timeout=60)
    finally:
        os.close(writer)
    assert process.returncode == 141
    told = [line for line in (errors or b"").splitlines() if not line.startswith(b"wrote the private key")]
    assert told == []


@pytest.mark.usefixtures("_buffered")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_reported_in_one_line(pem: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "public-key", pem], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot write the output: No space left on device" in done.stderr


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["verify", "--identity-key", KEY, "--path", PATH, "garbage"]
    assert "\x1b" not in run(*arguments).stdout
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31m" in in_a_terminal(*arguments)
    assert "\x1b[32m" in in_a_terminal(*arguments[:-1], LASTING)
    assert "\x1b[33m" in in_a_terminal("inspect", LASTING)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in in_a_terminal(*arguments)


def in_a_terminal(*arguments: str, stderr: bool = False) -> str:
    ours, theirs = pty.openpty()
    try:
        errors = theirs if stderr else None
        subprocess.run([*COMMAND, *arguments], stdout=theirs, stdin=theirs, stderr=errors, timeout=60, check=False)
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_narrow_encoding_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    assert "sub        \\u2192\n" in run_alone("inspect", SIGNER.token(PATH, subject="→")).stdout


@pytest.mark.parametrize("missing", ["click", "rich", "jwt", "cryptography", "h2", "httpx"])
def test_without_the_extra_one_line_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules['{missing}'] = None; from restate_identity.__main__ import main; sys.exit(main())"
    done = ran(sys.executable, "-c", code)
    assert complaint(done).endswith("is missing; run: pip install 'restate-identity[cli]'")


def test_the_installed_command_is_the_same() -> None:
    command = Path(sys.executable).with_name("restate-identity")
    assert ran(command, "--version").stdout == run("--version").stdout


def test_the_short_option_for_the_version_is_the_same() -> None:
    assert run("-V").stdout == run("--version").stdout != ""
    assert run("-h").stdout == run("--help").stdout != ""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("restate-identity ve", "plain,verify"),
        ("restate-identity public-key pri", "file,pri"),
        ("restate-identity keygen --out pri", "file,pri"),
        ("restate-identity sign --key pri", "file,pri"),
        ("restate-identity probe --key pri", "file,pri"),
        ("restate-identity tunnel --auth-token-file pri", "file,pri"),
        ("restate-identity tunnel-client --auth-token-file pri", "file,pri"),
    ],
)
def test_shells_complete_commands_and_the_names_of_files(
    words: str, offered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_RESTATE_IDENTITY_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert run().stdout == f"{offered}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_completion(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_RESTATE_IDENTITY_COMPLETE", f"{shell}_source")
    done = run()
    assert done.returncode == 0
    assert "complete" in done.stdout
