"""The tests that are responsible for each module, and must notice a mutant of it.

Slow tests with real servers are left out if faster ones exist, because a module's own tests should specify it.
"""

from __future__ import annotations

from tests.tools.mutation.mutants import modules

_CORE = (
    "core/test_paths.py",
    "core/test_keys.py",
    "core/test_ed25519.py",
    "core/test_verifier.py",
    "core/test_vectors.py",
    "core/test_reasons.py",
    "core/test_recorded_requests.py",
)
_COMMAND_LINE = "tools/test_command_line.py"
_HELP = "tools/test_help.py"
_CLI = (_HELP, "tools/test_command_line.py", "tools/test_doctor.py", "tools/test_no_secret_is_printed.py")
_ENCRYPTION = tuple(
    f"encryption/test_{name}.py"
    for name in ("codec", "waiting", "writing_key", "plaintext", "log", "in_the_sdk", "daemon_threads")
)
_TUNNEL = (
    "tunnel/test_dispatch.py",
    "tunnel/test_malformed.py",
    "tunnel/test_streaming.py",
    "tunnel/test_handshake.py",
    "tunnel/test_draining.py",
    "tunnel/test_liveness.py",
    "tunnel/test_lane.py",
    "tunnel/test_supervision.py",
    "tunnel/test_floods.py",
    "tunnel/test_losses.py",
    "tunnel/test_tls.py",
)
_PAGE = ("tunnel/client/test_documentation.py",)
_CLIENT = tuple(
    f"tunnel/client/test_{name}.py"
    for name in ("documentation", "http2", "http1", "restriction", "connections", "flow", "life", "status")
)
_PROXIES = (*_PAGE, "tunnel/client/test_proxies.py", "tunnel/client/test_proxy_attacks.py")
_FIRST: dict[str, tuple[str, ...]] = {
    "_allowance": ("core/test_refusal_log.py", "tunnel/client/test_failure_log.py"),
    "_base64url": _CORE,
    "_descriptors": ("adapters/test_edge_listening.py",),
    "_ed25519": ("core/test_ed25519.py", "tools/test_accelerator.py", "tools/test_pyodide.py"),
    "_edwards25519": ("core/test_edwards25519.py",),
    "_node_crypto": ("tools/test_pyodide.py",),
    "_libsodium": ("core/test_ed25519.py", "core/test_keys.py", "tools/test_accelerator.py"),
    "_fork": ("core/test_fork.py", "encryption/test_codec.py"),
    "_headers": _CORE,
    "_health_server": ("tunnel/test_health.py",),
    "_http_server": ("tools/test_http_server.py", "tools/test_doctor.py", "tools/test_probe.py"),
    "_key_list": ("core/test_keyring.py",),
    "_open_body": ("tools/test_open_body.py", "tools/test_http_server.py"),
    "_quoting": ("core/test_reasons.py", "core/test_paths.py", "core/test_refusal_log.py"),
    "_redaction": ("core/test_odd_files.py", "core/test_keys.py", *_CLI),
    "_refusal_log": ("core/test_refusal_log.py", "core/test_telemetry.py"),
    "_regular_file": ("core/test_odd_files.py", "core/test_keyring.py", "tools/test_no_secret_is_printed.py"),
    "_strict_json": _CORE,
    "_waiting": ("core/test_waiting.py",),
    "__init__": ("tools/test_package.py",),
    "__main__": _CLI,
    "asgi": ("adapters/test_asgi.py", "adapters/test_options.py", "servers/test_refused_bodies.py"),
    "aws_lambda": ("adapters/test_aws_lambda.py", "adapters/test_options.py"),
    "cli.application": ("tunnel/test_command.py",),
    "cli.clock": ("tools/test_doctor.py",),
    "cli.codec_server": ("encryption/test_command.py",),
    "cli.complaints": (_COMMAND_LINE, "tools/test_no_secret_is_printed.py"),
    "cli.doctor": ("tools/test_doctor.py",),
    "cli.edge": ("servers/integrations/test_edge.py",),
    "cli.encryption": ("encryption/test_command.py",),
    "cli.exit_status": (_COMMAND_LINE,),
    "cli.export": ("servers/edge/test_envoy_alone.py",),
    "cli.inspect": ("tools/test_inspect.py", f"{_COMMAND_LINE}::TestInspect"),
    "cli.journal_keygen": ("encryption/test_command.py",),
    "cli.journal_keys": (
        "encryption/test_command.py::TestValues",
        "tools/test_no_secret_is_printed.py::test_a_secret_in_the_place_of_a_variable_of_aws_is_not_repeated",
    ),
    "cli.journal_values": ("encryption/test_command.py::TestValues",),
    "cli.keys": (f"{_COMMAND_LINE}::TestKeygen", f"{_COMMAND_LINE}::TestPublicKey"),
    "cli.main": (_COMMAND_LINE,),
    "cli.manifests": (f"{_COMMAND_LINE}::TestKeygen",),
    "cli.new_files": (f"{_COMMAND_LINE}::TestKeygen",),
    "cli.options": (
        "servers/integrations/test_edge.py::test_a_mistake_in_the_options_is_named_and_ends_it_with_status_2",
        *(f"{_COMMAND_LINE}::TestVerify", f"{_COMMAND_LINE}::TestSign", "tunnel/test_command.py"),
    ),
    "cli.pasted": (f"{_COMMAND_LINE}::TestVerify",),
    "cli.printing": ("tools/test_printing.py", "tools/test_report.py"),
    "cli.probe": ("tools/test_probe.py", "docs/test_command_line_docs.py"),
    "cli.reading": (
        "tools/test_reading.py",
        f"{_COMMAND_LINE}::test_what_is_too_long_is_refused_before_its_end_is_known",
        f"{_COMMAND_LINE}::TestSign",
    ),
    "cli.report": ("tools/test_report.py",),
    "cli.sign": (f"{_COMMAND_LINE}::TestSign",),
    "cli.tunnel": ("tunnel/test_command.py",),
    "cli.tunnel_client": ("tunnel/client/test_command.py",),
    "cli.verify": (f"{_COMMAND_LINE}::TestVerify",),
    "django": ("adapters/test_django.py", "servers/test_django_check.py", "tools/test_package.py"),
    "edge.__init__": ("adapters/test_edge.py",),
    "edge.aliases": ("adapters/test_edge.py",),
    "edge.application": ("adapters/test_edge.py", "adapters/test_options.py"),
    "edge.cel": ("servers/edge/test_envoy_alone.py",),
    "edge.dialects": ("adapters/test_edge.py",),
    "edge.envoy": ("servers/edge/test_envoy_alone.py",),
    "edge.judged_path": ("adapters/test_edge.py",),
    "edge.jwks": ("servers/edge/test_envoy_alone.py",),
    "edge.listening": ("adapters/test_edge_listening.py", "tools/test_package.py"),
    "encryption.aws_kms": ("encryption/test_aws_kms.py",),
    "encryption.codec_server": ("encryption/test_codec_server.py",),
    "encryption.daemon_threads": ("encryption/test_daemon_threads.py", "encryption/test_aws_kms.py"),
    "encryption.errors": ("encryption/test_frames.py", "encryption/test_codec.py", "tools/test_public_api.py"),
    "encryption.frames": ("encryption/test_frames.py", "encryption/test_codec.py"),
    "encryption.journal": (
        *("encryption/test_codec.py", "tools/test_public_api.py", "encryption/test_waiting.py"),
        *("encryption/test_in_the_sdk.py", "encryption/test_plaintext.py", "encryption/test_log.py"),
    ),
    "encryption.known_keys": ("encryption/test_waiting.py", "encryption/test_codec.py"),
    "encryption.local_key_file": ("encryption/test_local_keys.py",),
    "encryption.local_keys": ("encryption/test_local_keys.py", "tools/test_public_api.py"),
    "encryption.log": ("encryption/test_log.py", "encryption/test_plaintext.py", "encryption/test_writing_key.py"),
    "encryption.plaintext": ("encryption/test_plaintext.py",),
    "encryption.writing_key": ("encryption/test_writing_key.py", "encryption/test_codec.py"),
    "errors": ("core/test_reasons.py", "core/test_verifier.py", "core/test_refusal_log.py", "tools/test_public_api.py"),
    "fastapi": ("adapters/test_fastapi.py", "adapters/test_options.py", "tools/test_package.py"),
    "guard": (
        *("core/test_guard.py", "adapters/test_asgi.py", "adapters/test_wsgi.py", "adapters/test_edge.py"),
        *("core/test_telemetry.py", "core/test_paths.py"),
    ),
    "identity": (*_CORE, "core/test_guard.py"),
    "keyring": ("core/test_keyring.py", "tools/test_public_api.py"),
    "keys": _CORE,
    "paths": (*_CORE, "core/test_guard.py"),
    "probe": ("tools/test_probe.py", "tools/test_http_server.py", "tools/test_public_api.py"),
    "pytest_plugin": ("adapters/test_testing.py", "tools/test_pytest_plugin.py"),
    "restate_sdk": ("adapters/test_restate_sdk.py", "adapters/test_options.py", "tools/test_package.py"),
    "signing": ("core/test_signing.py", "adapters/test_testing.py", "tools/test_package.py"),
    "telemetry": ("core/test_telemetry.py",),
    "tokens": _CORE,
    "verifier": _CORE,
    "wsgi": ("adapters/test_wsgi.py", "adapters/test_options.py", "servers/test_wsgi_servers.py"),
    "encryption.__init__": ("tools/test_package.py",),
    "tunnel.__init__": ("tools/test_package.py",),
    "tunnel.backoff": ("tunnel/test_backoff.py",),
    "tunnel.connect": tuple(f"tunnel/test_{name}.py" for name in ("options", "tls", "end_to_end", "supervision")),
    "tunnel.connection": tuple(
        f"tunnel/test_{name}.py"
        for name in ("handshake", "dispatch", "tls", "liveness", "draining", "leftovers", "lane")
    ),
    "tunnel.deadline": tuple(f"tunnel/test_{name}.py" for name in ("dispatch", "streaming", "liveness", "draining")),
    "tunnel.deployment": ("tunnel/test_deployment.py",),
    "tunnel.dial": ("tunnel/test_tls.py", "tunnel/test_names.py"),
    "tunnel.client.__init__": ("tools/test_package.py",),
    "tunnel.client.allow_list": ("tunnel/client/test_allow_list.py", "tunnel/client/test_restriction.py"),
    "tunnel.client.cloud_uris": ("tunnel/client/test_configuration.py",),
    "tunnel.client.connector": ("tunnel/client/test_connections.py", *_CLIENT),
    "tunnel.client.configuration": ("tunnel/client/test_configuration.py", "tunnel/client/test_command.py"),
    "tunnel.client.failure_log": (*_PAGE, "tunnel/client/test_failure_log.py"),
    "tunnel.client.forwarded_request": ("tunnel/client/test_origins.py", *_CLIENT),
    "tunnel.client.group": (*_PAGE, "tunnel/client/test_group.py", "tunnel/client/test_connections.py"),
    "tunnel.client.http1_connection": ("tunnel/client/test_http1_connection.py", *_CLIENT),
    "tunnel.client.http1_exchange": ("tunnel/client/test_http1_connection.py", *_CLIENT),
    "tunnel.client.http1_heads": ("tunnel/client/test_http1_heads.py", *_CLIENT),
    "tunnel.client.idleness": ("tunnel/client/test_idleness.py",),
    "tunnel.client.limits": _PAGE,
    "tunnel.client.metrics": (*_PAGE, "tunnel/client/test_command.py"),
    "tunnel.client.origins": ("tunnel/client/test_origins.py", "tunnel/client/test_allow_list.py"),
    "tunnel.client.pool": ("tunnel/client/test_connections.py", *_CLIENT),
    "tunnel.client.proxies.bearer": (*_PAGE, "tunnel/client/test_bearer.py"),
    "tunnel.client.proxies.callers": ("tunnel/client/test_callers.py",),
    "tunnel.client.proxies.cloud_request": (
        "tunnel/client/test_cloud_request.py",
        *_PAGE,
        "tunnel/client/test_proxies.py",
    ),
    "tunnel.client.proxies.http1_request": ("tunnel/client/test_cloud_request.py", *_PROXIES),
    "tunnel.client.proxies.patience": (*_PAGE, "tunnel/client/test_patience.py"),
    "tunnel.client.response_head": ("tunnel/client/test_response_head.py", "tunnel/client/test_http2.py"),
    "tunnel.client.run": (*_PAGE, "tunnel/client/test_life.py"),
    "tunnel.client.serve": (*_PAGE, "tunnel/client/test_command.py"),
    "tunnel.client.serve_address": ("tunnel/client/test_configuration.py",),
    "tunnel.client.settings": _PAGE,
    "tunnel.client.special_addresses": ("tunnel/client/test_allow_list.py",),
    "tunnel.client.status": ("tunnel/client/test_status.py",),
    "tunnel.client.tcp": ("tunnel/client/test_tcp.py",),
    "tunnel.client.variables": (*_PAGE, "tunnel/client/test_configuration.py"),
    "tunnel.fields": ("tunnel/test_dispatch.py",),
    "tunnel.floods": ("tunnel/test_floods.py",),
    "tunnel.forwarded_path": ("tunnel/test_forwarded_path.py",),
    "tunnel.frames": tuple(f"tunnel/test_{name}.py" for name in ("malformed", "floods", "dispatch", "streaming")),
    "tunnel.goodbye": ("tunnel/test_draining.py",),
    "tunnel.handshake": ("tunnel/test_handshake.py", "tunnel/test_draining.py"),
    "tunnel.header_blocks": ("tunnel/test_malformed.py", "tunnel/test_floods.py", "tunnel/test_dispatch.py"),
    "tunnel.hpack_log": ("tunnel/test_hpack_log.py",),
    "tunnel.introduction": ("tunnel/test_handshake.py",),
    "tunnel.lane": ("tunnel/test_lane.py", "tunnel/test_supervision.py"),
    "tunnel.leftovers": ("tunnel/test_leftovers.py",),
    "tunnel.lifespan": ("tunnel/test_lifespan.py", "tunnel/test_signals.py"),
    "tunnel.names": ("tunnel/test_names.py",),
    "tunnel.options": ("tunnel/test_options.py",),
    "tunnel.outage": ("tunnel/test_outage.py",),
    "tunnel.output": (
        *(f"tunnel/test_{name}.py" for name in ("dispatch", "streaming", "floods", "draining", "liveness")),
        "tunnel/client/test_connections.py",
    ),
    "tunnel.request": ("tunnel/test_dispatch.py", "tunnel/test_malformed.py"),
    "tunnel.requests": (
        *(f"tunnel/test_{name}.py" for name in ("dispatch", "malformed", "draining", "floods", "streaming")),
        "tunnel/client/test_http2.py",
    ),
    "tunnel.response": ("tunnel/client/test_response_head.py", "tunnel/test_dispatch.py"),
    "tunnel.resolver": ("tunnel/test_resolver.py",),
    "tunnel.serve": ("tunnel/test_signals.py", "tunnel/test_command.py"),
    "tunnel.settings": ("tunnel/test_options.py",),
    "tunnel.signals": ("tunnel/test_signals.py",),
    "tunnel.state": ("tunnel/test_state.py", "tunnel/test_handshake.py", "tunnel/test_draining.py"),
    "tunnel.stream": (
        *(f"tunnel/test_{name}.py" for name in ("dispatch", "malformed", "streaming", "floods")),
        "tunnel/client/test_http2.py",
    ),
    "tunnel.supervisor": tuple(f"tunnel/test_{name}.py" for name in ("supervision", "lane", "leftovers", "lifespan")),
    "tunnel.targets": ("tunnel/test_options.py",),
    "tunnel.timings": ("tunnel/test_timings.py", "tunnel/test_documentation.py"),
    "tunnel.token": ("tunnel/test_options.py", "tunnel/test_handshake.py"),
    "tunnel.tunnel": tuple(
        f"tunnel/test_{name}.py" for name in ("supervision", "lane", "lifespan", "leftovers", "signals")
    ),
    "tunnel.turns": ("tunnel/test_dispatch.py", "tunnel/test_streaming.py", "tunnel/client/test_connections.py"),
    "tunnel.ulids": ("tunnel/test_ulids.py",),
    "tunnel.watchdog": ("tunnel/test_liveness.py", "tunnel/test_draining.py"),
    "tunnel.wire": (
        *(f"tunnel/test_{name}.py" for name in ("dispatch", "malformed", "liveness", "draining", "handshake", "tls")),
        *(f"tunnel/test_{name}.py" for name in ("timings", "streaming", "floods")),
        "tunnel/client/test_http2.py",
    ),
}


def responsible_for(module: str) -> tuple[str, ...]:
    """The files below ``tests`` that are responsible for *module*, or classes in them, in the order of their run."""
    if module not in modules():
        raise LookupError(f"no module {module}")
    if module in _FIRST:
        return (_HELP, *_FIRST[module]) if module.startswith("cli.") else _FIRST[module]
    if module.startswith("encryption"):
        return _ENCRYPTION
    if module.startswith("tunnel.client.proxies"):
        return _PROXIES
    if module.startswith("tunnel.client"):
        return _CLIENT
    return _CLI if module.startswith("cli") else _TUNNEL
