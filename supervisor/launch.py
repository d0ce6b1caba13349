"""From a config and a data directory to a running cluster, in the foreground or detached.

The nodes are started before anything heavy is imported here: on two cores they are busy importing
for most of the time that a start takes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.config import EXIT_BUG, EXIT_CONFIG, QUORUM_ROLES
from nodes.settings import ConfigError
from supervisor.config_file import SHIPPED_OF_MODE, load_settings
from supervisor.data_dir import (
    SUPERVISOR_LOG,
    Cluster,
    DataDir,
    SupervisorRecord,
    named,
)
from supervisor.growth import Growth, members_kept
from supervisor.lives import Started
from supervisor.member import BROKER, OBSERVER, Member
from supervisor.moving import as_moved, as_they_were, was_moved
from supervisor.outcome import Outcome
from supervisor.plan import ClusterPlan
from supervisor.ports import assign_endpoints
from supervisor.settings import KEYS_DIR, Settings, new_cluster_id
from supervisor.spawn import (
    Children,
    end_orphans,
    last_line,
    mark_for_rebuild,
    node_command,
)
from transport.sockets.certificate import TlsError
from transport.wire.ids import ClusterId, NodeName
from transport.wire.messages.cluster import NodeEndpoints

if TYPE_CHECKING:  # zmq stays out until the nodes have been started
    from supervisor.console import Console
    from supervisor.engine import Supervisor
    from transport.driver.loop import Loop

CONTROL_ENDPOINT = "tcp://127.0.0.1:0"
_NAMESAKE = re.compile(r"supervisor(-[^-]+)*\.(dist|egg)-info", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Launch:
    """What ``start`` was asked for."""

    config: str
    data_dir: Path
    ready_fd: int | None = None
    """Where the outcome of the start is written, for whoever waits for it."""
    until_eof: bool = False
    """Stop when standard input ends: whoever started this has gone, however that came."""
    here: str = ""
    """Which of the config's hosts this is; empty: there is one only."""
    join: str = ""
    """Addresses of a cluster for which a broker is to run here; empty: the config's own."""
    rack: str = ""
    """Where this host stands, when it joins."""
    rebuild: bool = False
    """This host replaces one whose data are gone: its votes are not to be trusted till refilled."""

    @property
    def must_be_ready(self) -> bool:
        """Somebody waits: a cluster that is not ready in time is ended."""
        return self.ready_fd is not None


def check_environment() -> None:
    """Raise ConfigError where this Python could not run a cluster rightly."""
    if not __debug__:
        raise ConfigError("the invariants are asserts: run Python without -O and PYTHONOPTIMIZE")
    folder = find_namesake(sys.path)
    if folder is not None:
        raise ConfigError(
            f"the unrelated distribution `supervisor` is installed in {folder} and uses the same "
            "import name; uninstall it, or install odradek in an environment of its own"
        )


def find_namesake(path: Sequence[str]) -> str | None:
    """Return the folder of ``path`` in which the distribution `supervisor` is installed, if any.

    Looks for its metadata by itself: ``importlib.metadata`` takes 40 ms to import.
    """
    for folder in path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        if any(_NAMESAKE.fullmatch(name) for name in names):
            return folder
    return None


def prepare(launch: Launch, data_dir: DataDir) -> ClusterPlan:
    """Return the plan of the cluster in ``data_dir``, which this process then owns.

    Raises ConfigError for whatever a person must put right; nothing was started then.
    """
    settings = load_settings(launch.config)
    data_dir.prepare()
    data_dir.lock()
    data_dir.forget_supervisor()  # one that was killed may have had the pid that is ours now
    end_orphans(data_dir)
    before = data_dir.read_cluster()
    if launch.rebuild and before is not None:
        raise ConfigError(
            f"--rebuild is for a host whose data are gone, and {data_dir} has some; "
            "`odradek ensemble rebuild NODE` fills one of its nodes anew"
        )
    known = _as_others_have_it(launch, settings, data_dir) if launch.rebuild else before
    if was_moved(known):
        settings = as_moved(settings)
    if launch.join or (before is not None and before.joined):
        cluster = _joined(launch, settings, data_dir, before)
        settings = replace(settings, cluster=replace(settings.cluster, name=cluster.name))
    else:
        cluster = _made(launch, settings, data_dir, before, known)
    plan = ClusterPlan(
        settings,
        cluster.cluster_id,
        data_dir.key(),
        data_dir.path,
        cluster.nodes,
        cluster.elsewhere,
    )
    keys_dir = plan.keys_dir()
    if keys_dir is not None and not (keys_dir / "cluster.key").exists():
        raise ConfigError(
            f"[security] curve = true needs keys in {keys_dir}; make them: `odradek keys create`"
        )
    _check_certificates(settings)
    if launch.rebuild:  # before the directory has a cluster: the next start then trusts its votes
        for node in plan.nodes:
            mark_for_rebuild(data_dir, node)
    data_dir.write_cluster(cluster._replace(keys=str(keys_dir or "")))
    return plan


def _check_certificates(settings: Settings) -> str:
    """Raise ConfigError where the listeners could not speak TLS with the files they are given.

    Returns what is wrong with the certificate itself; empty: nothing.  One that has expired stops no
    start: it is the listeners' clients that refuse it, and the nodes and all others need none.
    """
    files = settings.security.tls_files()
    if files is None:
        return ""
    from transport.sockets.tls import read_credentials

    try:
        _, own = read_credentials(files)
    except TlsError as error:
        raise ConfigError(str(error)) from None
    trouble = own.trouble(time.time())
    return trouble and f"[security] tls_certificate = {files.certificate!r}: {trouble}"


def _as_others_have_it(launch: Launch, settings: Settings, data_dir: DataDir) -> Cluster | None:
    """Return what the other hosts say of the cluster, which may have moved to mode ``kraft`` since its
    settings were written; None: nobody says. Raises ConfigError for settings of the mode to come."""
    from supervisor import joining

    keys = _keys_file(settings, data_dir)
    _, others = settings.placed(launch.here, settings.members())
    if not others or (keys is not None and not keys.exists()):
        return None
    told = joining.as_others_have_it([other.clients for other in others], keys)
    if told is not None and settings.cluster.mode == "kraft" != told.mode:
        raise ConfigError(
            f"the other hosts have mode = {told.mode!r}; start this one with a config of that mode, and "
            "finish a move to mode kraft that is under way by `odradek migrate finish` here"
        )
    return told


def _keys_file(settings: Settings, data_dir: DataDir) -> Path | None:
    security = settings.security
    keys = Path(security.keys) if security.keys else data_dir.path / KEYS_DIR
    return keys / "cluster.key" if security.curve else None


def _made(
    launch: Launch,
    settings: Settings,
    data_dir: DataDir,
    before: Cluster | None,
    known: Cluster | None,
) -> Cluster:
    """Return the cluster that the settings describe, as it was left here; ``known``: as its nodes
    are called."""
    wanted = as_they_were(known, settings.members())
    mine, elsewhere = settings.placed(launch.here, wanted)
    if before is None:
        _check_nothing_is_left(settings, data_dir)
        made_id = ClusterId(settings.cluster.id) if settings.cluster.id else new_cluster_id()
        before = Cluster(settings.cluster.name, made_id, settings.cluster.mode, ())
    else:
        _check_identity(before, settings, wanted, data_dir)
    members = members_kept(before, mine, settings)
    nodes = assign_endpoints(members, named(before.nodes), settings.cluster.bind)
    return before._replace(nodes=nodes, elsewhere=elsewhere)


def _check_nothing_is_left(settings: Settings, data_dir: DataDir) -> None:
    """Refuse to make a cluster anew on what is left of another, or of itself."""
    left = data_dir.cluster_of_nodes()
    if left and left != settings.cluster.id:
        raise ConfigError(
            f"{data_dir} has data of cluster {left}, and its cluster.json is gone; restore that, "
            f'give the config `id = "{left}"` under [cluster], or name another --data-dir'
        )


def _joined(
    launch: Launch, settings: Settings, data_dir: DataDir, before: Cluster | None
) -> Cluster:
    """Return the cluster that was joined, with the broker that runs here for it."""
    from supervisor import joining

    if before is not None and not before.joined:
        raise ConfigError(
            f"{data_dir} has the nodes that a cluster was made with; start those without --join, or "
            "name another --data-dir for one more broker"
        )
    keys_file = _keys_file(settings, data_dir)
    elsewhere = before.elsewhere if before is not None else ()
    mode = before.mode if before is not None else settings.cluster.mode
    if launch.join:
        described = joining.find_cluster(launch.join, keys_file)
        joining.check_same_cluster(before, described)
        mode = described.mode
        elsewhere = joining.others_in(described, before.nodes if before is not None else ())
    if mode != settings.cluster.mode:
        raise ConfigError(
            f"that cluster has mode = {mode!r}; name a config of that mode, as "
            f"`odradek start {SHIPPED_OF_MODE[mode]} --join …`"
        )
    if before is None:
        number = joining.take_number(launch.join, keys_file)
        ports = settings.ports_of_added((BROKER,))
        member = joining.new_broker(number, launch.here, launch.rack, ports)
        name = described.cluster_name or settings.cluster.name
        before = Cluster(name, described.cluster_id, mode, (), (member.name,), joined=True)
        members: tuple[Member, ...] = (member,)
    else:
        members = members_kept(before, (), settings)
    nodes = assign_endpoints(members, named(before.nodes), settings.cluster.bind)
    return before._replace(nodes=nodes, elsewhere=elsewhere)


def _check_identity(
    before: Cluster, settings: Settings, members: tuple[Member, ...], data_dir: DataDir
) -> None:
    """Refuse to start one cluster on the data of another."""
    wanted = settings.cluster
    remedy = f"start it with a config that says so, or name another --data-dir than {data_dir}"
    if before.name != wanted.name:
        raise ConfigError(
            f"the data directory belongs to cluster {before.name!r}, "
            f"not to {wanted.name!r}; {remedy}"
        )
    if wanted.id and before.cluster_id != wanted.id:
        raise ConfigError(
            f"the cluster was made with the id {before.cluster_id!r}, not {wanted.id!r}; {remedy}"
        )
    if before.mode != wanted.mode:
        raise ConfigError(f"the cluster was made with mode = {before.mode!r}; {remedy}")
    role = QUORUM_ROLES[wanted.mode]
    planned = _voters(members, role)
    present = _voters(before.everywhere, role) | planned.intersection(before.removed)
    if len(present) != len(planned):
        raise ConfigError(
            f"the cluster was made with {role}s = {len(present)}, and a quorum's size "
            f"cannot change by a setting; {remedy}"
        )
    if present != planned:
        others = "as separate nodes" if wanted.separate else "that are brokers too"
        raise ConfigError(
            f"the cluster was not made with controllers {others}, and they cannot become it by a "
            f"setting; {remedy}"
        )
    settled = [node for node in before.everywhere if node.name not in before.added]
    brokers = sum("broker" in node.roles for node in settled)
    if brokers > wanted.brokers:
        raise ConfigError(
            f"the cluster has brokers = {brokers}, and fewer would lose replicas; {remedy}"
        )


def _voters(nodes: Iterable[NodeEndpoints | Member], role: str) -> set[NodeName]:
    return {node.name for node in nodes if role in node.roles and OBSERVER not in node.roles}


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
    except ConfigError as error:
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
    from transport.sockets.curve import Guard, KeysError

    console.open(plan, outcome)
    trouble = _check_certificates(plan.settings)
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
    try:
        guard = Guard(keys_dir) if keys_dir else None
    except KeysError as error:
        raise ConfigError(str(error)) from None
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


def run_detached(launch: Launch) -> int:
    """Start the cluster in a process of its own; return when it accepts writes, or has failed."""
    from supervisor.console import PlainConsole

    check_environment()
    data_dir = DataDir(launch.data_dir)
    data_dir.prepare()
    told, tells = os.pipe()
    named, names = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.close(named)
        _leave_terminal(data_dir.path / SUPERVISOR_LOG, names)
        detached = replace(launch, ready_fd=tells, until_eof=False)
        os._exit(_run_to_the_end(detached, PlainConsole(sys.stdout)))
    os.close(tells)
    os.close(names)
    try:
        os.waitpid(child, 0)
        with os.fdopen(told, "rb") as pipe:
            outcome = _read_outcome(pipe.read(), data_dir)
    except KeyboardInterrupt:
        pid = os.read(named, 32)  # its own: another's supervisor may own the directory
        if pid:
            os.kill(int(pid), signal.SIGTERM)
        raise
    finally:
        os.close(named)
    stream = sys.stderr if outcome["status"] else sys.stdout
    prefix = "odradek: " if outcome["status"] else ""
    stream.write(f"{prefix}{outcome['text']}\n")
    return int(outcome["status"])


def _run_to_the_end(launch: Launch, console: Console) -> int:
    """Run after a fork, where no exception may reach what the parent was about to do."""
    try:
        return run(launch, console)
    except BaseException as error:  # noqa: BLE001 - the log is the only place left to say it
        sys.stderr.write(f"odradek: the supervisor failed: {error!r}\n")
        return EXIT_BUG
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _leave_terminal(log: Path, names: int) -> None:
    """Become a process that nobody's terminal or shell waits for; write its pid to ``names``."""
    os.setsid()
    pid = os.fork()
    if pid:
        os.write(names, str(pid).encode())
        os._exit(0)
    os.close(names)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((nowhere, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(written)


def _read_outcome(data: bytes, data_dir: DataDir) -> dict[str, Any]:
    if data:
        outcome: dict[str, Any] = json.loads(data)
        return outcome
    log = data_dir.path / SUPERVISOR_LOG
    text = f"the supervisor ended without a word ({last_line(log)}); see {log}"
    return {"status": EXIT_BUG, "text": text}
