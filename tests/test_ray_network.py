"""A Ray that starts here listens on this machine alone; a head with a token lets in who has it."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsforecast.clusters import connected, silenced

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("only_ray")]
TOKEN = "0123456789abcdef" * 2
# Of a head on 127.0.0.1: Ray takes the machine's own address for it unless told otherwise.
LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
JOIN = """
import sys
from tsforecast.clusters import connected, silenced
from tsforecast.errors import ParameterError
try:
    with silenced(), connected(sys.argv[1]):
        import ray
        print("node", len(ray.nodes()))
except ParameterError as error:
    print(error)
"""


def family(root: int) -> list[int]:
    """Return a process and all that come from it."""
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = file.read_text().rsplit(")", 1)[1].split()[1]
        except OSError:  # it ended since
            continue
        children.setdefault(int(parent), []).append(int(file.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def listened_on(processes: list[int]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses on which processes wait for connections by TCP."""
    sockets = set()
    for process in processes:
        try:
            sockets |= {os.readlink(entry.path) for entry in os.scandir(f"/proc/{process}/fd")}
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                digits = fields[1].split(":")[0]
                words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
                found.append(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))
    return found


def is_local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_ray_that_starts_here_listens_on_this_machine_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("0.0.0.0", 0)):  # the test itself sees a socket that all reach
        assert not all(map(is_local, listened_on(family(os.getpid()))))
    with silenced(), connected(None):
        import ray

        ray.get(ray.remote(lambda: None).remote())  # workers listen as well
        found = listened_on(family(os.getpid()))
        assert len(found) > 4
        assert all(map(is_local, found)), found
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def head(only_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a head without dashboard that wants TOKEN."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--include-dashboard=false"]
    command += [f"--port={port}", "--num-cpus=1", "--disable-usage-stats", "--block"]
    with (tmp_path_factory.mktemp("head") / "log").open("w+") as log:
        process = subprocess.Popen(
            command, env=os.environ | LOCAL | {"RAY_AUTH_TOKEN": TOKEN}, stdout=log, stderr=log, start_new_session=True
        )
        until = time.monotonic() + 60
        while "Ray runtime started" not in Path(log.name).read_text():
            assert process.poll() is None, Path(log.name).read_text()
            assert time.monotonic() < until
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RAY_AUTH_TOKEN": TOKEN}, "node 1"),
        ({"RAY_AUTH_TOKEN": TOKEN[::-1]}, "needs its own token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or"),
        ({"RAY_AUTH_MODE": "disabled"}, "must be that of a ray cluster that lets this process in: '127.0.0.1:"),
    ],
)
def test_who_has_the_token_of_a_head_may_join_it_and_others_may_not(
    head: str, environment: dict[str, str], said: str
) -> None:
    began = time.monotonic()
    joined = subprocess.run(
        [sys.executable, "-c", JOIN, head], env=os.environ | LOCAL | environment, capture_output=True, text=True
    )
    assert said in joined.stdout, joined.stderr
    assert len(joined.stdout.splitlines()) == 1
    assert time.monotonic() - began < 30
