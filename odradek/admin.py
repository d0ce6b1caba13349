"""The blocking admin client: a thin, thread-safe facade over :mod:`odradek.admin_engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from odradek.admin_engine import (
    AdminEngine,
    ClusterDescription,
    PartitionDescription,
    TopicDescription,
)
from odradek.bootstrap import Hosts, find_seeds
from odradek.consumer import settle
from odradek.engine import Engine
from transport.kernel import Now
from transport.wire.messages import topics as wire

__all__ = [
    "AdminClient",
    "ClusterDescription",
    "NewTopic",
    "PartitionDescription",
    "TopicDescription",
]

TIMEOUT_MS = 30_000
T = TypeVar("T")


class NewTopic(NamedTuple):
    """A topic to be made. −1: the cluster's default. ``topic_configs`` as Kafka's topic configs."""

    name: str
    num_partitions: int = -1
    replication_factor: int = -1
    topic_configs: Mapping[str, object] | None = None

    def on_the_wire(self) -> wire.NewTopic:
        """Return it as it is asked for; a config's value is sent as text, booleans in lower case."""
        configs = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in (self.topic_configs or {}).items()
        }
        return wire.NewTopic(self.name, self.num_partitions, self.replication_factor, configs)


class AdminClient:
    """Creates, deletes and describes topics. Thread-safe."""

    def __init__(
        self,
        bootstrap_servers: Hosts = None,
        *,
        client_id: str = "odradek-admin",
        request_timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        """Take addresses of any nodes; without them, as :class:`Producer` looks for them."""
        self._timeout_ms = request_timeout_ms
        self._program = AdminEngine(find_seeds(bootstrap_servers).endpoints, client_id=client_id)
        self._engine = Engine(self._program, name="odradek-admin")

    def create_topics(
        self, new_topics: Iterable[NewTopic | str], timeout_ms: int | None = None
    ) -> None:
        """Create topics; returns when every partition has a leader and its full ISR.

        Raises the first topic's error (:class:`TopicAlreadyExistsError`, …);
        :class:`ClientTimeoutError` when the topics exist but are not complete in time.
        """
        wanted = [new_topic(topic).on_the_wire() for topic in new_topics]
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(lambda done, now: self._program.create_topics(wanted, limit_ms, done, now))

    def delete_topics(self, topics: Iterable[str], timeout_ms: int | None = None) -> None:
        """Delete topics and their records; returns when the change is committed."""
        names = topic_names(topics)
        limit_ms = self._limit_ms(timeout_ms)
        self._wait(lambda done, now: self._program.delete_topics(names, limit_ms, done, now))

    def list_topics(self) -> list[str]:
        """Return the names of all topics, sorted."""
        return self._wait(
            lambda done, now: self._program.list_topics(self._timeout_ms, done, now), list[str]
        )

    def describe_topics(self, topics: Iterable[str] | None = None) -> list[TopicDescription]:
        """Describe topics, or all: configs, and of each partition leader, ISR and offsets."""
        names: Sequence[str] | None = None if topics is None else topic_names(topics)
        return self._wait(
            lambda done, now: self._program.describe_topics(names, self._timeout_ms, done, now),
            list[TopicDescription],
        )

    def describe_cluster(self) -> ClusterDescription:
        """Return the cluster's id, its live brokers and its controller."""
        return self._wait(
            lambda done, now: self._program.describe_cluster(self._timeout_ms, done, now),
            ClusterDescription,
        )

    def close(self) -> None:
        """End the client's thread. May be called again."""
        self._engine.close()

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _limit_ms(self, timeout_ms: int | None) -> int:
        return self._timeout_ms if timeout_ms is None else timeout_ms

    def _wait(
        self, ask: Callable[[Callable[[Any, Now], None], Now], None], _kind: type[T] | None = None
    ) -> T:
        """Run ``ask(done, now)`` on the loop and wait for what ``done`` is given."""

        def begin(future: Future[T], now: Now) -> None:
            ask(settle(future), now)

        return self._engine.wait(self._engine.ask(begin))


def new_topic(given: NewTopic | str) -> NewTopic:
    """Return a topic to be made; a bare name has the cluster's defaults."""
    return NewTopic(given) if isinstance(given, str) else given


def topic_names(given: Iterable[str]) -> list[str]:
    """Return the names; TypeError for one string, which would be read letter by letter."""
    if isinstance(given, str):
        raise TypeError(f"a list of topic names is needed; write [{given!r}]")
    return list(given)
