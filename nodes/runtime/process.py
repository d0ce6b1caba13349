"""A node's process from its first line to its exit status.

Reads the settings, sets up logging, raises the descriptor limit, watches the supervisor, takes
signals, runs the loop, and turns what ended it into the exit status by which the supervisor judges.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from nodes.config import (
    EXIT_BUG,
    EXIT_CONFIG,
    EXIT_ENVIRONMENT,
    EXIT_STOPPED,
    NodeConfig,
    load_node_config,
)
from nodes.runtime.logs import log_to_stderr
from nodes.runtime.measures import NodeProgram
from nodes.runtime.window import Window
from nodes.settings import ConfigError
from nodes.storage.disk import Disk, RealDisk, StorageError
from transport.driver.loop import Loop
from transport.driver.ports import Door, Program
from transport.sockets.certificate import TlsError
from transport.sockets.curve import Guard
from transport.sockets.keys_error import KeysError
from transport.sockets.options import PortInUse
from transport.wire.ids import Incarnation

MakeProgram = Callable[[NodeConfig, Disk, str], NodeProgram]
"""Makes the node's program of its settings, its disk, and the machine's boot id."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ORPHAN_STOP_S = 5.0
_logger = logging.getLogger("odradek")


def run_node(make_program: MakeProgram, version: str) -> None:
    """Run a node as the command line says, and exit with its status."""
    arguments = _parse_arguments()
    if not __debug__:
        _fail(EXIT_CONFIG, "the invariants are asserts: run Python without -O")
    try:
        config = load_node_config(arguments.config, Incarnation(arguments.incarnation))
        log_to_stderr(config)
        disk = RealDisk(Path(config.data_dir), files_max=_raise_descriptor_limit() // 2)
        status = _run(config, make_program(config, disk, boot_id()), version)
    except (ConfigError, KeysError, PortInUse, TlsError) as error:
        _fail(EXIT_CONFIG, str(error))
    except StorageError as error:
        _fail(EXIT_ENVIRONMENT, str(error))
    except Exception:
        _logger.exception("the node ends because of a fault of its own")
        sys.exit(EXIT_BUG)
    sys.exit(status)


def _run(config: NodeConfig, program: NodeProgram, version: str) -> int:
    here = config.endpoints()
    guard = Guard(Path(config.keys_dir)) if config.keys_dir else None
    loop = Loop(
        program,
        doors={
            Door.PEERS: config.bound(here.peers),
            Door.CLIENTS: config.bound(here.clients),
        },
        events=config.bound(here.events),
        keys=guard.keys if guard else None,
        guard=guard,
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        loop.post(program.stop)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    _watch_supervisor(loop, program)
    if here.http:
        Window(config, loop, program, version).open()
    _logger.info("%s incarnation %d is up at %s", config.name, config.incarnation, here.clients)
    status = loop.run()
    if status == EXIT_STOPPED:  # Of any other end, what was logged last is the reason.
        _logger.info("%s ends", config.name)
    return status


def boot_id() -> str:
    """Return what identifies this boot of the machine: while it lasts, page caches do too."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _watch_supervisor(loop: Loop, program: Program) -> None:
    """End this node when its supervisor dies: the pipe at our standard input then ends."""
    if sys.stdin is None or sys.stdin.isatty():
        return
    descriptor = sys.stdin.fileno()

    def watch() -> None:
        while os.read(descriptor, 1024):
            pass
        _logger.warning("the supervisor is gone: ending")
        loop.post(program.stop)
        time.sleep(ORPHAN_STOP_S)
        os._exit(EXIT_BUG)  # the loop hangs, and nobody else is left to end it

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def _raise_descriptor_limit() -> int:
    """Return how many descriptors this process may have from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One node; started by the supervisor.")
    parser.add_argument("--config", type=Path, required=True, help="the node's settings (JSON)")
    parser.add_argument("--incarnation", type=int, required=True, help="number of this start")
    return parser.parse_args()


def _fail(status: int, text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.exit(status)
