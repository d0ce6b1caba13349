"""docs/hosts.md is run as printed, each host on a loopback address and in a directory of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/hosts.md"
BIN = Path(sys.executable).parent
LINE = re.compile(r"^(10\.0\.0\.\d)\$ (.+)$", re.MULTILINE)
CONFIG = re.compile(r"^```toml\n# hosts\.toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"\b9(0\d\d)\b")
COMMAND_MAX_S = 60
NODES, PORTS_EACH = 6, 4
FIRST_PORT, END_PORT = 10_000, 19_000
"""Below where the clusters of other tests take theirs."""


class Hosts:
    """Directories that take each other for machines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base_port = free_ports(NODES * PORTS_EACH)

    def there(self, text: str) -> str:
        """Return a text of the page with the addresses and ports of this run."""
        text = PORT.sub(lambda found: str(self._base_port + int(found[1])), text)
        return text.replace("10.0.0.", "127.0.0.")

    def data_dir(self, host: str) -> Path:
        return self._folder / host

    def begin(self, host: str, command: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "ODRADEK_DATA_DIR": str(self.data_dir(host)),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        environment.pop("ODRADEK_BOOTSTRAP", None)
        return subprocess.Popen(
            ["/bin/bash", "-c", self.there(command)],
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        for lock in self._folder.glob("*/supervisor.lock"):
            run(self, lock.parent.name, "odradek stop || true")


def free_ports(count: int) -> int:
    """Return the first of so many ports in a row that nobody listens at."""
    for first in range(FIRST_PORT + os.getpid() % 500, END_PORT, 500):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no ports are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def run(hosts: Hosts, host: str, command: str) -> str:
    return end(hosts.begin(host, command), command)


def end(process: subprocess.Popen[str], command: str) -> str:
    try:
        output, _ = process.communicate(timeout=COMMAND_MAX_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        raise
    assert process.returncode == 0, f"$ {command}\n{output}"
    return output


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    found = Hosts(tmp_path)
    (config,) = CONFIG.findall(PAGE.read_text())
    (tmp_path / "hosts.toml").write_text(found.there(config))
    try:
        yield found
    finally:
        found.close()


@pytest.mark.timeout(180)
def test_the_page_on_hosts_does_as_it_says(hosts: Hosts) -> None:
    lines = LINE.findall(PAGE.read_text())
    assert len(lines) > 15
    said: dict[str, str] = {}
    for starting, group in groupby(lines, lambda line: line[1].startswith("odradek start hosts")):
        if starting:  # each waits for the others
            begun = [(command, hosts.begin(host, command)) for host, command in group]
            for command, process in begun:
                said[command] = end(process, command)
        else:
            for host, command in group:
                said[command] = run(hosts, host, command)
    (joined,) = (text for command, text in said.items() if "start --join" in command)
    assert "cluster 'three'" in joined, "it has the name that it was made with"
    listed = said["odradek broker list"].split()
    assert {"broker-1", "broker-2", "broker-3", "broker-1001"} <= set(listed)
    assert "all is well: 7 nodes" in said["odradek doctor"]
