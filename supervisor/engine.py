"""The supervisor as a program of the one loop: its parts, wired together.

It learns of ends from the kernel (posted by ``supervisor.spawn``), tells the coordinators of them,
starts nodes again, asks all for their health, and serves people's commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from nodes.config import EXIT_CONFIG, EXIT_STOPPED
from nodes.settings import ConfigError
from supervisor.farewells import Farewells
from supervisor.growth import Growth
from supervisor.health import HealthWatch
from supervisor.lives import Exited, Lives, Processes, Started
from supervisor.notices import DeathNotices
from supervisor.plan import ClusterPlan
from supervisor.roster import READY, Node, Roster, Usage
from supervisor.server import CommandServer
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import Incarnation, NodeName
from transport.wire.messages.cluster import HealthResponse
from transport.wire.messages.supervision import SupervisorStatusResponse

EXIT_NOT_READY = 1
SHOW_INTERVAL_MS = 1_000
LOG_CHECK_INTERVAL_MS = 5_000


class Observer(Protocol):
    """Who is told how it goes: the console, and whoever waits for the start."""

    def say(self, text: str) -> None:
        """Take one line of news."""
        ...

    def show(self, status: SupervisorStatusResponse) -> None:
        """Take the present state of everything, once a second."""
        ...

    def ready(self, status: SupervisorStatusResponse) -> None:
        """Take the news, once, that the cluster accepts writes."""
        ...

    def failed(self, exit_status: int, text: str) -> None:
        """Take the news that the start has failed; everything is being ended."""
        ...


class Meter(Protocol):
    """What processes take of the machine, as a port."""

    def measure(self, pid: int) -> Usage:
        """Return what process ``pid`` takes."""
        ...


class Supervisor:
    """The program. ``started``: the processes that were started before the loop was made."""

    def __init__(
        self,
        plan: ClusterPlan,
        processes: Processes,
        observer: Observer,
        meter: Meter,
        pid: int,
        *,
        started: Mapping[NodeName, Started],
        must_be_ready: bool = False,
        growth: Growth | None = None,
    ) -> None:
        """``must_be_ready``: a cluster that is not ready in time is ended again. ``growth``: how
        nodes come and go by command; None: they do not."""
        settings = plan.settings.supervisor
        self._plan = plan
        self._processes = processes
        self._observer = observer
        self._meter = meter
        self._pid = pid
        self._started = started
        self._must_be_ready = must_be_ready
        self._growth = growth
        self._served: set[NodeName] = set()
        """Members of the quorum of which it is noted that they have served."""
        self._ports: Ports | None = None
        self._status = EXIT_STOPPED
        self._was_ready = False
        self._calls = Calls()
        self._calls.cluster_id = plan.cluster_id
        self._timers = Timers()
        self.roster = Roster.of(plan)
        self._lives = Lives(self.roster, processes, self._timers, settings, observer.say)
        self._health = HealthWatch(self.roster, self._calls, self._timers, self._on_health)
        self.notices = DeathNotices(
            self.roster,
            self._health.links,
            self._calls,
            self._timers,
            plan.key,
            enabled=settings.death_notices,
        )
        farewells = Farewells(self.roster, self._health.links, self._calls, self._timers, plan.key)
        self._server = CommandServer(
            plan,
            self.roster,
            self._lives,
            self._health,
            self._timers,
            self.snapshot,
            farewells,
            growth,
        )
        self._lives.on_born = self._health.expect
        self._lives.on_death = self._on_death
        self._lives.on_given_up = self._on_given_up
        self._lives.on_all_ended = self._on_all_ended

    # The program

    def start(self, ports: Ports, now: Now) -> None:
        """Take over the started processes and open the links to them."""
        self._ports = ports
        self._calls.attach(ports.wire)
        self._server.start(ports.wire)
        self._health.start(ports.wire)
        for name, started in self._started.items():
            self._lives.adopt(self.roster[name], started, now)
        self._timers.after(now, SHOW_INTERVAL_MS, self._show)
        self._timers.after(now, LOG_CHECK_INTERVAL_MS, self._check_logs)
        if self._must_be_ready:
            delay_ms = self._plan.settings.supervisor.start_timeout_ms
            self._timers.after(now, delay_ms, self._on_start_timeout)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Take an answer of a node, or a person's command."""
        if isinstance(origin, Origin):
            self._server.on_message(origin, envelope, now)
        else:
            self._calls.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """A node can be reached, or not any more."""
        if not up:
            self._calls.on_link_down(link, now)
        self._health.on_link(link, up, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """We were away: nobody else was silent because of it, or has taken too long."""
        self._calls.delay(gap_ms)
        self._timers.delay(gap_ms)
        for node in self.roster:
            node.heard_ms = min(node.heard_ms + gap_ms, now.mono_ms)

    def end_turn(self, now: Now) -> None:
        """Do what is due."""
        self._calls.expire(now)
        self._timers.fire(now)
        self._server.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return the earliest of everything that waits."""
        return earliest(self._calls.next_deadline_ms(), self._timers.next_deadline_ms())

    def stop(self, now: Now) -> None:
        """End every node, then this; asked again, kill what still runs."""
        self._observer.say(
            "killing what still runs" if self._lives.stopping else "stopping every node"
        )
        self._lives.stop(now)

    # What happens

    def on_exit(self, exited: Exited, now: Now) -> None:
        """The kernel has told of a child's end."""
        self._lives.on_exit(exited, now)

    def snapshot(self, now: Now) -> SupervisorStatusResponse:
        """Return the present state of everything."""
        nodes = tuple(
            node.status(now.mono_ms, self._meter.measure(node.pid)) for node in self.roster
        )
        return SupervisorStatusResponse(
            ErrorCode.NONE,
            self._plan.settings.cluster.name,
            self._plan.cluster_id,
            self._plan.settings.cluster.mode,
            self._pid,
            self.roster.is_ready(now.mono_ms),
            nodes,
            bool(self._plan.settings.security.tls_certificate),
        )

    def _on_health(self, node: Node, health: HealthResponse, now: Now) -> None:
        if health.state == READY:
            self.notices.forget(node.name)
            self._note_served(node)
        if not self._was_ready and not self._lives.stopping and self.roster.is_ready(now.mono_ms):
            self._was_ready = True
            self._observer.ready(self.snapshot(now))

    def _note_served(self, node: Node) -> None:
        if self._growth is None or not node.in_quorum or node.name in self._served:
            return
        try:
            self._growth.note_served(node.name)
        except ConfigError:
            return  # the disk is full, perhaps: it says again in a second that it serves
        self._served.add(node.name)

    def _on_death(self, node: Node, incarnation: Incarnation, now: Now) -> None:
        self.notices.announce(node.endpoints, incarnation, now)

    def _on_given_up(self, node: Node, now: Now) -> None:
        if not self._was_ready:  # a cluster that cannot start as it is told says so, and ends
            self._fail(EXIT_CONFIG, f"{node.name} {node.note}", now)

    def _on_start_timeout(self, now: Now) -> None:
        if not self._was_ready and not self._lives.stopping:
            seconds = self._plan.settings.supervisor.start_timeout_ms / 1000
            text = (
                f"the cluster is not ready after {seconds:g} s ({self.roster.waits_for(now.mono_ms)}); "
                f"see the logs in {self._plan.data_dir / 'nodes'}"
            )
            self._fail(EXIT_NOT_READY, text, now)

    def _fail(self, status: int, text: str, now: Now) -> None:
        if self._lives.stopping:
            return
        self._status = status
        self._observer.failed(status, text)
        self._lives.stop(now)

    def _on_all_ended(self) -> None:
        assert self._ports is not None, "started"
        self._ports.exit(self._status)

    def _show(self, now: Now) -> None:
        self._observer.show(self.snapshot(now))
        self._timers.after(now, SHOW_INTERVAL_MS, self._show)

    def _check_logs(self, now: Now) -> None:
        self._processes.bound_logs()
        self._timers.after(now, LOG_CHECK_INTERVAL_MS, self._check_logs)
