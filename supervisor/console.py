"""What a person sees of a running supervisor: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any, Protocol, TextIO

from odradek.cluster.bootstrap import default_data_dir
from odradek.commands.counting import counted
from supervisor.outcome import Outcome
from supervisor.plan import ClusterPlan
from supervisor.status import describe_ready, uptime_text
from transport.wire.messages.supervision import NodeStatus, SupervisorStatusResponse

NEWS_LINES_MAX = 8


class Console(Protocol):
    """An observer of the supervisor with a life of its own."""

    def open(self, plan: ClusterPlan, outcome: Outcome) -> None:
        """Begin; ``outcome`` is told how the start went."""
        ...

    def close(self) -> None:
        """End; the screen is as it was. May be called twice, or without ``open``."""
        ...

    def say(self, text: str) -> None:
        """Take one line of news."""
        ...

    def show(self, status: SupervisorStatusResponse) -> None:
        """Take the present state of everything."""
        ...

    def ready(self, status: SupervisorStatusResponse) -> None:
        """Take the news that the cluster accepts writes."""
        ...

    def failed(self, exit_status: int, text: str) -> None:
        """Take the news that the start has failed."""
        ...


def choose_console(stream: TextIO) -> Console:
    """Return the console that fits where the output goes."""
    return LiveConsole() if stream.isatty() else PlainConsole(stream)


class PlainConsole:
    """News as lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._outcome = Outcome(None)
        self._data_dir = Path()

    def open(self, plan: ClusterPlan, outcome: Outcome) -> None:
        """Say what is being started."""
        self._outcome = outcome
        self._data_dir = plan.data_dir
        nodes = counted(len(plan.nodes), "node")
        self.say(f"starting {nodes} of cluster {plan.settings.cluster.name!r}")

    def close(self) -> None:
        """Nothing to put back."""

    def say(self, text: str) -> None:
        """Write one line, at once."""
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # whoever read this has gone; the cluster goes on

    def show(self, _status: SupervisorStatusResponse) -> None:
        """Lines are for news only."""

    def ready(self, status: SupervisorStatusResponse) -> None:
        """Say that it is ready, and how to reach it."""
        text = describe_ready(status, self._data_dir, default_data_dir())
        self.say(text)
        self._outcome.tell(0, text)

    def failed(self, exit_status: int, text: str) -> None:
        """Keep the reason; it is told when everything has ended."""
        self._outcome.failure = (exit_status, text)


class LiveConsole(PlainConsole):
    """A table that is drawn anew each second, with the latest news below.

    Drawing is done by a thread of its own: the loop only hands over what there is to see.
    """

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._live: Any = None
        self._status: SupervisorStatusResponse | None = None
        self._news: deque[str] = deque(maxlen=NEWS_LINES_MAX)
        self._lock = threading.Lock()

    def open(self, plan: ClusterPlan, outcome: Outcome) -> None:
        """Take the screen's lower part."""
        from rich.live import Live

        self._live = Live(get_renderable=self._render, refresh_per_second=2, transient=True)
        self._live.start()
        super().open(plan, outcome)

    def close(self) -> None:
        """Give the screen back; the last news stay."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            for line in self._take_news():
                PlainConsole.say(self, line)

    def say(self, text: str) -> None:
        """Add to the news below the table."""
        if self._live is None:
            super().say(text)
            return
        with self._lock:
            self._news.extend(text.splitlines())

    def show(self, status: SupervisorStatusResponse) -> None:
        """Take what is drawn next."""
        self._status = status

    def ready(self, status: SupervisorStatusResponse) -> None:
        """Say so, and show it at once."""
        self.show(status)
        super().ready(status)

    def _take_news(self) -> list[str]:
        with self._lock:
            return list(self._news)

    def _render(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        status = self._status
        news = Text("\n".join(self._take_news()))
        return Group(render_table(status), news) if status is not None else news


def render_table(status: SupervisorStatusResponse) -> Any:
    """Return the table of all nodes, for ``rich``; it fits into 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    state = "ready" if status.ready else "not ready"
    title = f"cluster {status.cluster} · {status.mode} · {state} · supervisor pid {status.pid}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("node", "roles", "state"):
        table.add_column(column, no_wrap=True)
    for column in ("pid", "CPU", "MB", "uptime", "restarts", "leads"):
        table.add_column(column, justify="right", no_wrap=True)
    for node in status.nodes:
        table.add_row(*_row(node), style=None if node.state == "ready" else "yellow")
    total_mb = sum(node.rss_bytes for node in status.nodes) / 1e6
    table.caption = (
        f"{total_mb:,.0f} MB in all nodes · * leads the quorum, is the active controller\n"
        "Ctrl-C stops everything"
    )
    table.caption_justify = "left"
    return table


def _row(node: NodeStatus) -> tuple[str, ...]:
    return (
        node.name,
        ",".join(node.roles) + ("*" if node.leader or node.controller else ""),
        node.state,
        str(node.pid or "–"),
        f"{node.cpu_percent:.0f}",
        f"{node.rss_bytes / 1e6:.0f}",
        uptime_text(node.uptime_ms),
        str(node.restarts),
        str(node.leader_count) if "broker" in node.roles else "–",
    )
