"""Whether a Ray cluster listens at an address; asked before Ray is, which would try for long.

Ray itself tries a dead address for half a minute and prints twenty warnings. Where a web server
answers, as on the dashboard's port, it never ends.
"""

from __future__ import annotations

import os
import socket

from dianet_ray.errors import InputError, one_line

KNOCK_S = 4.0
"""How long an address may take to accept a connection, and then to answer."""
TOKEN = (
    "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH (else ~/.ray/auth_token) "
    "with the token that the cluster's head was started with"
)
_SETTINGS = b"\4"
"""The type of a frame of HTTP/2: the first one that a server sends (RFC 9113, 3.4)."""
_CLUSTER_ID = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""The first question of any client of Ray; its request is empty."""


def token_error(address: str) -> InputError:
    """Make the error for a cluster that requires a token."""
    return InputError(f"the cluster at {address} requires a token: set {TOKEN}")


def check_listening(address: str) -> None:
    """Refuse an address where nothing listens, or something else than a cluster that lets us in.

    Raises:
        InputError: so it is.
    """
    host, _, port = address.rpartition(":")
    # `auto` and `local` hold no port; Ray resolves them.
    if not (host and port.isdigit()):
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), KNOCK_S) as there:
            answer = _greet(there)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {one_line(error)}") from None
    if answer.startswith(b"HTTP/1"):
        raise InputError(
            f"no Ray cluster answers at {address}: a web server does, as on the port of Ray's "
            f"dashboard; the cluster's own port is usually 6379: --address {host}:6379"
        )
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):  # as Ray reads it
        return
    if answer[3:4] != _SETTINGS:
        raise _something_else(address)
    _ask(address)


def _greet(there: socket.socket) -> bytes:
    """Begin to speak HTTP/2, which Ray's gRPC servers answer with the same frame."""
    there.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + b"\0" * 5)
    try:
        return there.recv(9)
    except TimeoutError:
        return b""


def _ask(address: str) -> None:
    """Refuse a gRPC server that is not Ray's, and a cluster whose token nobody has set."""
    import grpc  # which Ray depends on

    # Ray asks directly, whatever proxy the environment names.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            channel.unary_unary(_CLUSTER_ID)(b"", timeout=KNOCK_S)
        except grpc.RpcError as error:
            code = error.code()
        else:
            return
    if code is grpc.StatusCode.UNAUTHENTICATED:
        if os.environ.get("RAY_AUTH_MODE") != "token":
            raise token_error(address)
    # A head that starts again, or is far away, may yet answer Ray.
    elif code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise _something_else(address)


def _something_else(address: str) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address}: something else listens there; the cluster's "
        "own port is usually 6379"
    )
