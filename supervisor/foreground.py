"""A cluster in the foreground: its nodes are started and supervised until all has ended.

The nodes are started before anything heavy is imported here: on two cores they are busy importing
for most of the time that a start takes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from nodes.config import EXIT_BUG, EXIT_CONFIG
from nodes.settings import ConfigError
from supervisor.data_dir import DataDir, SupervisorRecord
from supervisor.growth import Growth
from supervisor.launch import Launch, check_environment
from supervisor.lives import Started
from supervisor.outcome import Outcome
from supervisor.plan import ClusterPlan
from supervisor.preparation import certificate_trouble, prepare
from supervisor.spawn import Children, node_command
from transport.sockets.keys_error import KeysError
from transport.wire.ids import NodeName

if TYPE_CHECKING:  # zmq stays out until the nodes have been started
    from supervisor.console import Console
    from supervisor.engine import Supervisor
    from transport.driver.loop import Loop

CONTROL_ENDPOINT = "tcp://127.0.0.1:0"


def run(launch: Launch, console: Console) -> int:
    """Start the cluster and supervise it until it has ended; returns the exit status."""
    outcome = Outcome(launch.ready_fd)
    data_dir = DataDir(launch.data_dir)
    try:
        check_environment()
        plan = prepare(launch, data_dir)
        children = Children(plan, data_dir, node_command)
        try:
            started = {node.name: children.start(node) for node in plan.nodes}
            status = _supervise(launch, plan, data_dir, children, started, console, outcome)
        finally:
            children.kill_all()
            data_dir.forget_supervisor()
    except (ConfigError, KeysError) as error:
        outcome.failure = (EXIT_CONFIG, str(error))
        status = EXIT_CONFIG
    except BaseException as error:
        outcome.tell(EXIT_BUG, f"the supervisor failed: {error!r}")
        raise
    finally:
        data_dir.unlock()
    if outcome.failure is not None:
        console.close()
        outcome.tell(*outcome.failure)
        with suppress(OSError):  # the disk may be full that a detached supervisor writes to
            sys.stderr.write(f"odradek: {outcome.failure[1]}\n")
        return outcome.failure[0]
    outcome.tell(EXIT_BUG, "the cluster was stopped before it was ready")
    return status


def _supervise(
    launch: Launch,
    plan: ClusterPlan,
    data_dir: DataDir,
    children: Children,
    started: Mapping[NodeName, Started],
    console: Console,
    outcome: Outcome,
) -> int:
    from supervisor.engine import Supervisor
    from supervisor.usage import UsageMeter
    from transport.driver.loop import Loop
    from transport.driver.ports import Door
    from transport.sockets.curve import Guard

    console.open(plan, outcome)
    trouble = certificate_trouble(plan.settings)
    if trouble:
        console.say(f"warning: {trouble}")
    engine = Supervisor(
        plan,
        children,
        console,
        UsageMeter(),
        os.getpid(),
        started=started,
        must_be_ready=launch.must_be_ready,
        growth=Growth(plan, data_dir),
    )
    keys_dir = plan.keys_dir()
    guard = Guard(keys_dir) if keys_dir else None
    loop = Loop(
        engine,
        doors={Door.CLIENTS: CONTROL_ENDPOINT},
        keys=guard.keys if guard else None,
        guard=guard,
    )
    children.report_exits_to(lambda exited: loop.post(lambda now: engine.on_exit(exited, now)))
    _take_signals(loop, engine)
    if launch.until_eof:
        _watch_input(loop, engine)
    data_dir.write_supervisor(SupervisorRecord(os.getpid(), loop.endpoints[Door.CLIENTS.value]))
    try:
        return loop.run()
    finally:
        console.close()


def _take_signals(loop: Loop, engine: Supervisor) -> None:
    """Stop on SIGTERM, on SIGINT, and on SIGHUP unless who started this had it ignored (``nohup``).

    The number goes through a pipe to a thread: a Python handler would run in the middle of whatever
    the loop's thread does, and may not take the loop's locks.
    """
    taken, noted = os.pipe()
    os.set_blocking(noted, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _note)
    signal.set_wakeup_fd(noted)

    def pass_on() -> None:
        while numbers := os.read(taken, 16):
            for _ in numbers:
                loop.post(engine.stop)

    threading.Thread(target=pass_on, name="signals", daemon=True).start()


def _watch_input(loop: Loop, engine: Supervisor) -> None:
    def watch() -> None:
        while os.read(0, 1024):
            pass
        loop.post(engine.stop)

    threading.Thread(target=watch, name="input-watch", daemon=True).start()


def _note(_number: int, _frame: object) -> None:
    """Do nothing: the number is in the pipe."""
