"""A trial runs on one node, so what fits is counted node by node."""

import concurrent.futures
import contextlib
import os
import platform
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.cluster.connection import (
    Bundle,
    Cluster,
    check_gpus,
    check_python,
    check_ray,
    connected,
    living_nodes,
    local_cluster,
    n_workers,
)
from dianet_ray.cluster.listening import check_listening
from dianet_ray.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("nodes", "needs", "expected"),
    [
        ([(4, 0), (5, 0)], (2, 0), 4),
        ([(3, 0), (3, 0)], (2, 0), 2),
        ([(0, 0), (8, 0)], (1, 0), 8),
        ([(0.3, 0)], (0.1, 0), 3),
        ([(16, 2)], (1, 0.25), 8),
        ([(16, 3)], (1, 1 / 3), 9),
        ([(16, 2)], (1, 0.4), 4),  # two on each GPU: no trial is split over both
        ([(16, 3), (16, 3)], (1, 2), 2),
        ([(2, 8), (64, 0)], (1, 1), 2),
    ],
)
def test_trials_are_counted_on_each_node(nodes, needs, expected):
    assert n_workers(map(Bundle._make, nodes), Bundle(*needs), None) == expected


@pytest.mark.parametrize(
    ("nodes", "needs", "words"),
    [
        (
            [(2, 0), (2, 0)],
            (3, 0),
            r"needs 3 CPUs and 0 GPUs .* cluster c have 2 CPUs and 0 GPUs$",
        ),
        ([(8, 1), (8, 1)], (1, 2), r"needs 1 CPU and 2 GPUs .* have 8 CPUs and 1 GPU$"),
        ([(8, 0), (1, 4)], (2, 1), r"have 1 CPU and 4 GPUs or 8 CPUs and 0 GPUs$"),
        ([], (1, 0), r"have none$"),
    ],
)
def test_a_trial_that_fits_on_no_node_is_named_though_the_sum_would_do(nodes, needs, words):
    cluster = Cluster("c", tuple(map(Bundle._make, nodes)))
    assert n_workers(cluster.nodes, Bundle(*needs), None) == 0
    with pytest.raises(InputError, match=words):
        raise cluster.too_small_for(Bundle(*needs))


def test_gpus_are_a_share_of_one_or_whole_ones():
    for gpus in (0, 0.25, 1, 3):
        check_gpus(gpus)
    with pytest.raises(InputError, match=r"GPUs: got 1\.5"):
        check_gpus(1.5)


amounts = st.integers(1, 16)


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=5), amounts, amounts)
def test_what_is_counted_packs_into_the_nodes_and_nothing_more(nodes, cpus, shares):
    """Place trials greedily, a GPU being `shares` indivisible parts."""
    packed = sum(min(n_cpus // cpus, n_gpus * shares) for n_cpus, n_gpus in nodes)
    bundles, trial = [*map(Bundle._make, nodes)], Bundle(cpus, 1 / shares)
    assert n_workers(bundles, trial, None) == packed
    assert n_workers(bundles, trial, 3) == min(packed, 3)


def test_only_living_nodes_count():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0, "memory": 1e9}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {"memory": 1e9}},  # a head started with --num-cpus 0
    ]
    cluster = Cluster("c", living_nodes(nodes))
    assert cluster.nodes == ((4.0, 1.0), (0.0, 0.0))
    assert (cluster.n_cpus, cluster.n_gpus, cluster.n_nodes) == (4.0, 1.0, 2)


def test_the_local_ray_has_the_gpus_that_torch_sees(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    cluster = local_cluster()
    assert (cluster.n_gpus, cluster.n_nodes) == (2, 1)
    assert cluster.n_cpus >= 1


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://head:8265", r"job submit --address http://head:8265"),
        ("ray://head:10001", r"got ray://head:10001; .* ray job submit.* --address auto"),
    ],
)
def test_an_address_of_another_server_is_refused_with_the_way_out(
    monkeypatch, address, words, variable
):
    monkeypatch.setenv("RAY_ADDRESS", address if variable else "")
    with pytest.raises(InputError, match=words), connected(None if variable else address):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:9", "[::1]:9", "127.0.0.1:99999"])
def test_an_address_where_nothing_listens_is_refused_at_once(address):
    with pytest.raises(InputError, match="no Ray cluster answers at") as error:
        connected(address).__enter__()
    assert "\n" not in str(error.value)


def test_auto_without_a_cluster_says_what_to_start(tmp_path, monkeypatch):
    # Where Ray looks for a running one: somebody's may run on this machine.
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray._private.services, "_find_address_from_flag", lambda flag: set())
    with pytest.raises(InputError, match=r"\(--address auto\): start one with ray start") as error:
        connected("auto").__enter__()
    assert "token" not in str(error.value)


@contextlib.contextmanager
def answering(reply):
    """Listen, and give whoever comes the same reply; None says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    guests = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                guest, _ = server.accept()
                guests.append(guest)  # kept open: a closed connection would be an answer
                if reply is not None:
                    guest.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()
        for guest in guests:
            guest.close()


def test_the_port_of_the_dashboard_is_refused_with_the_right_one():
    reply = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    with (
        answering(reply) as address,
        pytest.raises(InputError, match=r"dashboard; .* --address 127\.0\.0\.1:6379") as error,
    ):
        connected(address).__enter__()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reply", [None, b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_what_listens_and_is_no_ray_is_refused(reply, monkeypatch):
    monkeypatch.setattr("dianet_ray.cluster.listening.KNOCK_S", 0.5)
    with (
        answering(reply) as address,
        pytest.raises(InputError, match="something else listens there"),
    ):
        connected(address).__enter__()


@contextlib.contextmanager
def grpc_server(code=None):
    """Serve no method; with a code, end each call with it."""

    class Refusing(grpc.GenericRpcHandler):
        def service(self, handler_call_details):
            return grpc.unary_unary_rpc_method_handler(
                lambda request, context: context.abort(code, "refused")
            )

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    if code is not None:
        server.add_generic_rpc_handlers((Refusing(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def test_a_grpc_server_that_is_not_rays_is_refused_before_ray_tries(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # Ray asks directly
    with (
        grpc_server() as address,
        pytest.raises(InputError, match="something else listens there"),
    ):
        check_listening(address)


def test_a_cluster_with_a_token_is_refused_before_ray_tries(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with grpc_server(grpc.StatusCode.UNAUTHENTICATED) as address:
        with pytest.raises(InputError, match="requires a token: set RAY_AUTH_MODE=token"):
            check_listening(address)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        check_listening(address)  # whether the token is the right one is Ray's to say


def test_a_head_that_starts_again_is_left_to_ray():
    with grpc_server(grpc.StatusCode.UNAVAILABLE) as address:
        check_listening(address)


def test_a_missing_token_is_one_line_that_says_where_it_comes_from(tmp_path):
    settings = b"\0\0\0\4\0\0\0\0\0"  # what a gRPC server says first
    with answering(settings) as address:
        code = (
            f"from dianet_ray.cluster.connection import connected\nwith connected('{address}'): 0"
        )
        unset = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        environment |= {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", code]
        found = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=250)
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"dianet_ray.errors.InputError: the cluster at {address} requires a token"
    )
    assert "RAY_AUTH_MODE=token" in last
    assert "~/.ray/auth_token" in last


@pytest.mark.parametrize("found", ["2.59.1", "2.6.0", "3.0.0", "2.600.0"])
def test_another_ray_is_refused_with_found_and_supported(found):
    with pytest.raises(InputError, match=rf"supports Ray 2\.60: found {found}$"):
        check_ray(found)


@pytest.mark.parametrize("version", [(3, 10, 1), (3, 14, 0, "final", 0), (2, 7, 18), (4, 0, 0)])
def test_another_python_is_refused_with_found_and_supported(version):
    found = rf"supports Python 3\.11 to 3\.13: found {version[0]}\.{version[1]}\.{version[2]}$"
    with pytest.raises(InputError, match=found):
        check_python(version)
    check_python((3, 13, 9))
    check_python((3, 11, 0))


def test_a_cluster_of_other_versions_is_one_line_with_both(monkeypatch):
    """Ray's own check, on what a cluster of other versions tells."""
    from ray._private import utils

    def mismatch(**options):
        there = {"ray_version": "2.59.0", "python_version": "3.12.1", "ray_commit": ""}
        utils.check_version_info(there, "here")

    monkeypatch.setattr("ray.init", mismatch)
    monkeypatch.setattr("dianet_ray.cluster.connection.check_listening", lambda address: None)
    with pytest.raises(InputError) as error, connected("head:6379"):
        pass
    here = f"this command has Ray 2.60.0 and Python {platform.python_version()}"
    assert f"head:6379 has Ray 2.59.0 and Python 3.12.1, {here}" in str(error.value)
    assert "supported: Ray 2.60, Python 3.11 to 3.13" in str(error.value)
