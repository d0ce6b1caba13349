"""Simulated streams have the manners of TCP."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.network import Network
from tests.simulation.process import SimulatedProcess
from tests.simulation.streams import GIVE_UP_US, Stream
from tests.simulation.world import World
from transport.driver.ports import LinkId, Origin, Ports, Stranger, StreamId
from transport.kernel import Now
from transport.wire.codec import Envelope

ENDPOINT = "tcp://server:2181"


@dataclass(eq=False)
class Echo:
    """A program that listens and echoes."""

    connections_max: int = 10
    heard: list[object] = field(default_factory=list)
    ports: Ports | None = None

    def start(self, ports: Ports, now: Now) -> None:
        self.ports = ports
        ports.streams.listen(
            ENDPOINT, self, connections_max=self.connections_max, idle_max_ms=60_000
        )

    def on_stream(self, stream: StreamId, stranger: Stranger, now: Now) -> None:
        self.heard.append(stranger.address)

    def on_bytes(self, stream: StreamId, data: bytes, now: Now) -> None:
        assert self.ports is not None
        self.heard.append(data)
        if data.endswith(b"!"):
            self.ports.streams.pause(stream)
        assert self.ports.streams.send(stream, [data])
        if data.endswith(b"."):
            self.ports.streams.close(stream)

    def on_stream_end(self, stream: StreamId, now: Now) -> None:
        self.heard.append("end")

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None: ...

    def on_link(self, link: LinkId, up: bool, now: Now) -> None: ...

    def on_gap(self, gap_ms: int, now: Now) -> None: ...

    def end_turn(self, now: Now) -> None: ...

    def next_deadline_ms(self) -> int | None:
        return None

    def stop(self, now: Now) -> None: ...


@dataclass
class Client:
    """The other end: what it got, whether it is open."""

    got: bytes = b""
    state: str = "dialling"

    def on_opened(self) -> None:
        self.state = "open"

    def on_bytes(self, data: bytes) -> None:
        self.got += data

    def on_end(self) -> None:
        self.state = "ended"


class Setting:
    def __init__(self, seed: int = 1, connections_max: int = 10) -> None:
        self.world = World(seed)
        self.network = Network(self.world)
        self.program = Echo(connections_max)
        self.process = SimulatedProcess(self.world, self.network, "server", self.program)
        self.world.run_for(1)

    def dial(self) -> tuple[Stream, Client]:
        client = Client()
        stream = self.network.streams.dial("client", ENDPOINT, client)
        self.world.run_for(5)
        return stream, client


def test_bytes_arrive_in_order_in_pieces_and_end() -> None:
    setting = Setting()
    stream, client = setting.dial()
    assert client.state == "open"
    for _ in range(20):
        stream.send(b"abcdefgh")
    setting.world.run_for(50)
    assert client.got == b"abcdefgh" * 20
    pieces = [each for each in setting.program.heard if isinstance(each, bytes)]
    assert len(pieces) > 20
    stream.send(b"bye.")
    setting.world.run_for(20)
    assert client.got.endswith(b"bye.")
    assert client.state == "ended"
    assert "end" not in setting.program.heard  # it has closed it itself
    other, _ = setting.dial()
    other.close()
    setting.world.run_for(20)
    assert setting.program.heard[-1] == "end"


def test_a_netsplit_holds_back_and_a_long_one_breaks() -> None:
    setting = Setting()
    stream, client = setting.dial()
    cut = setting.network.part("client", "server")
    stream.send(b"hello")
    setting.world.run_for(1_000)
    assert client.got == b""
    setting.network.heal(cut)
    setting.world.run_for(1_000)
    assert client.got == b"hello"
    setting.network.part("client", "server")
    stream.send(b"nobody")
    setting.world.run_for(GIVE_UP_US // 1_000 + 1_000)
    assert client.state == "ended"
    assert setting.program.heard[-1] == "end"
    assert client.got == b"hello"


def test_a_killed_process_ends_its_streams_and_refuses_new_ones() -> None:
    setting = Setting()
    _, client = setting.dial()
    setting.process.kill()
    setting.world.run_for(20)
    assert client.state == "ended"
    _, late = setting.dial()
    assert late.state == "ended"


def test_a_host_without_power_says_nothing() -> None:
    setting = Setting()
    stream, client = setting.dial()
    setting.process.kill(powered=False)
    stream.send(b"hello")
    setting.world.run_for(1_000)
    assert client.state == "open"
    setting.world.run_for(GIVE_UP_US // 1_000 + 1_000)
    assert client.state == "ended"


def test_a_paused_stream_waits_and_a_full_house_lets_nobody_in() -> None:
    setting = Setting(connections_max=1)
    stream, client = setting.dial()
    _, refused = setting.dial()
    assert refused.state == "ended"
    stream.send(b"!")
    setting.world.run_for(20)
    stream.send(b"more")
    setting.world.run_for(20)
    assert client.got == b"!"
    setting.process.streams.resume(StreamId(1))
    setting.world.run_for(20)
    assert client.got == b"!more"


def test_what_streams_draw_is_drawn_apart() -> None:
    def drawn(*, dials: bool) -> float:
        setting = Setting(seed=7)
        if dials:
            setting.network.streams.dial("client", "tcp://nobody:1", Client())
            setting.world.run_for(5)
        return setting.world.random.random()

    assert drawn(dials=True) == drawn(dials=False)
