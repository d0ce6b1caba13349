"""Configs of topics and brokers as an admin client asks for them and changes them.

Owns the way to the broker that knows: of itself only that broker can tell everything.  It must not
know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from odradek.admin.pieces import change_in_pieces
from odradek.arguments import all_of, texts_of
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import error_of, failure_of
from odradek.errors import ClientError, OdradekError, error_for
from odradek.settings import check_text
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId
from transport.wire.messages import Message, Refusal
from transport.wire.messages import configs as wire
from transport.wire.messages.configs import ConfigOp, ConfigSource

ASK_PAUSE_MS = 20
"""While a link is still connecting, or has just ended."""

__all__ = [
    "ConfigAdmin",
    "ConfigDescription",
    "ConfigEntry",
    "ConfigResource",
    "ConfigResourceType",
    "ConfigSource",
]


class ConfigResourceType(IntEnum):
    """What has configs (Kafka's numbers)."""

    TOPIC = wire.RESOURCE_TOPIC
    BROKER = wire.RESOURCE_BROKER


class ConfigResource(NamedTuple):
    """A topic by name, a broker by id, or with an empty name the default of all brokers.

    ``configs``: what to ask for (names), or what to set (values; None: back to its default).
    """

    resource_type: ConfigResourceType
    name: str | int
    configs: Mapping[str, object] | Iterable[str] | None = None

    def asked(self) -> wire.ConfigResource:
        """Return it as it is asked for."""
        names = None if self.configs is None else tuple(self.configs)
        return wire.ConfigResource(int(self.resource_type), str(self.name), names)

    def altered(self) -> wire.AlteredConfigs:
        """Return it as it is changed. TypeError without values."""
        if not isinstance(self.configs, Mapping):
            raise TypeError(f"configs of {self.name!r} must be a mapping of names to values")
        changes = tuple(
            wire.ConfigChange(name, ConfigOp.DELETE)
            if value is None
            else wire.ConfigChange(name, ConfigOp.SET, as_text(value))
            for name, value in self.configs.items()
        )
        return wire.AlteredConfigs(int(self.resource_type), str(self.name), changes)


class ConfigEntry(NamedTuple):
    """One config: its value and where that comes from; ``behind`` would count without it."""

    value: str
    source: ConfigSource
    read_only: bool
    behind: tuple[tuple[str, str, ConfigSource], ...]
    """(name there, value, source), the strongest first."""


class ConfigDescription(NamedTuple):
    """The configs of one resource by name."""

    resource_type: ConfigResourceType
    name: str
    configs: dict[str, ConfigEntry]


OnDescribed = Callable[[list[ConfigDescription] | OdradekError, Now], None]
OnDone = Callable[[OdradekError | None, Now], None]


def resources_of(given: Iterable[ConfigResource]) -> list[ConfigResource]:
    """Return the resources; TypeError or ValueError for one alone, and for what is none."""
    resources = all_of(ConfigResource, given)
    for one in resources:
        if one.resource_type not in tuple(ConfigResourceType):
            raise ValueError(f"resource_type={one.resource_type!r} has no configs")
        if not isinstance(one.name, int):
            check_text("a resource's name", one.name)
        if one.configs is not None:
            texts_of(f"configs of {one.name!r}", one.configs)
    return resources


def as_text(value: object) -> str:
    """Return a config's value as it is sent: text, booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class ConfigAdmin:
    """The part of an admin client that is about configs."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def describe(
        self,
        resources: Sequence[ConfigResource],
        timeout_ms: int,
        on_done: OnDescribed,
        now: Now,
    ) -> None:
        """Describe each resource, in order; the first error ends it all."""
        found: dict[int, ConfigDescription] = {}
        failed: list[OdradekError] = []

        def told(place: int, body: Message, now: Now) -> None:
            described = _described(body)
            if failed:
                return
            if isinstance(described, OdradekError):
                failed.append(described)
                on_done(described, now)
                return
            found[place] = described
            if len(found) == len(resources):
                on_done([found[number] for number in range(len(resources))], now)

        if not resources:
            on_done([], now)
        for place, resource in enumerate(resources):
            request = wire.DescribeConfigsRequest((resource.asked(),))

            def one(body: Message, now: Now, place: int = place) -> None:
                told(place, body, now)

            if resource.resource_type == ConfigResourceType.BROKER and str(resource.name):
                self._ask_broker(str(resource.name), request, now.mono_ms + timeout_ms, one, now)
            else:
                self._program.errands.ask(request, one, now, timeout_ms=timeout_ms)

    def _ask_broker(
        self,
        name: str,
        request: Message,
        give_up_ms: int,
        on_answer: Callable[[Message, Now], None],
        now: Now,
    ) -> None:
        view, calls = self._program.view, self._program.calls

        def ask(now: Now) -> None:
            left_ms = give_up_ms - now.mono_ms
            broker = view.brokers.get(NodeId(int(name))) if name.isdecimal() else None
            if left_ms <= 0 or (view.fetched and broker is None):
                known = ", ".join(map(str, view.brokers)) or "none"
                text = f"broker {name!r} does not answer; there are: {known}"
                on_answer(Refusal(ErrorCode.REQUEST_TIMED_OUT, text), now)
                return
            link: LinkId | None = None if broker is None else view.links.open(broker.clients)

            def answered(body: Message, _payload: object, now: Now) -> None:
                if meaning(error_of(body)).retriable:
                    self._program.timers.after(now, ASK_PAUSE_MS, ask)
                else:
                    on_answer(body, now)

            if link is None or not calls.request(link, request, answered, now, timeout_ms=left_ms):
                self._program.timers.after(now, ASK_PAUSE_MS, ask)

        ask(now)

    def alter(
        self,
        resources: Sequence[ConfigResource],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
        *,
        validate_only: bool = False,
    ) -> None:
        """Change configs; done when it is committed. Setting twice is setting once."""
        deadline_ms = now.mono_ms + timeout_ms

        def alter(some: Sequence[wire.AlteredConfigs], on_altered: OnDone, now: Now) -> None:
            def altered(body: Message, now: Now) -> None:
                on_altered(_first_refused(body), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            request = wire.AlterConfigsRequest(tuple(some), left_ms, validate_only)
            self._program.errands.ask(request, altered, now, timeout_ms=left_ms)

        change_in_pieces([resource.altered() for resource in resources], alter, on_done, now)


def _first_refused(body: Message) -> OdradekError | None:
    """Return the error of an answer as a whole, else of its first resource that was not changed."""
    if not isinstance(body, wire.AlterConfigsResponse) or error_of(body):
        return failure_of(body)
    for one in body.resources:
        if one.error != ErrorCode.NONE:
            text = f"{one.name or 'all brokers'}: {one.text or meaning(one.error).text}"
            return error_for(one.error, text)
    return None


def _described(body: Message) -> ConfigDescription | OdradekError:
    """Return the only resource of an answer."""
    if not isinstance(body, wire.DescribeConfigsResponse) or error_of(body):
        return failure_of(body)
    try:
        (told,) = body.resources
        if told.error != ErrorCode.NONE:
            return error_for(told.error, told.text or meaning(told.error).text)
        return _description(told)
    except ValueError:  # of a later version; or another number of resources
        return ClientError("the answer tells of configs what this client does not know")


def _description(told: wire.DescribedConfigs) -> ConfigDescription:
    entries = {
        one.name: ConfigEntry(
            one.value,
            ConfigSource(one.source),
            one.read_only,
            tuple((each.name, each.value, ConfigSource(each.source)) for each in one.behind),
        )
        for one in told.configs
    }
    return ConfigDescription(ConfigResourceType(told.kind), told.name, entries)
