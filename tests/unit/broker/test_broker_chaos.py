"""Brokers killed, frozen, cut off and expired at random: control heals, and nothing committed goes."""

from __future__ import annotations

from random import Random

import pytest

from nodes.broker.cluster.metadata_store import Loaded, Reign, ZnodeMetadataStore
from nodes.core.controller.image import ClusterImage
from tests.unit.broker.fleet import Fleet
from transport.wire.errors import ErrorCode
from transport.wire.ids import ControllerEpoch, MetadataPosition, MetadataVersion
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataDelta
from transport.wire.messages.topics import CreateTopicsRequest, CreateTopicsResponse, NewTopic

STEPS = 40


class Chaos:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.fleet = Fleet(3, seed=seed)
        self.fleet.settle()
        self.made: set[str] = set()
        self.asked = 0

    def step(self) -> None:
        fleet, random = self.fleet, self.random
        number = random.choice(list(fleet.numbers))
        process = fleet.processes[number]
        match random.randrange(9):
            case 0 if len(fleet.alive()) > 1 and process.alive:
                fleet.kill(number)
            case 1:
                self.revive(number)
            case 2 if process.alive:
                process.freeze()
                fleet.world.after(random.randrange(100_000), lambda: fleet.expire(number, process))
            case 3:
                process.thaw()
            case 4 if process.alive:
                fleet.expire(number)
            case 5:
                fleet.network.event_loss = random.choice([0.0, 0.3, 1.0])
            case 6:
                self.cut_or_heal()
            case _:
                self.create()
        fleet.world.run_for(random.randrange(1, 120))
        fleet.check()

    def revive(self, number: int) -> None:
        if not self.fleet.processes[number].alive:
            self.fleet.start(number)

    def cut_or_heal(self) -> None:
        network = self.fleet.network
        if network._cut:
            network.heal_all()
        else:
            one, other = self.random.sample(list(self.fleet.numbers), 2)
            network.part(f"broker-{one}", f"broker-{other}")

    def create(self) -> None:
        self.asked += 1
        name = f"topic-{self.asked}"
        ready = [n for n in self.fleet.alive() if not self.fleet.processes[n].frozen]
        links = self.fleet.asker.links
        ready = [n for n in ready if links[f"fleet://broker-{n}/clients"] in self.fleet.asker.up]
        if not ready:
            return

        def on_answer(answer: Message) -> None:
            if isinstance(answer, CreateTopicsResponse) and not answer.topics[0].error:
                self.made.add(name)

        request = CreateTopicsRequest((NewTopic(name, 2, 3),), 1_000, True)
        self.fleet.post(self.random.choice(ready), request, on_answer)

    def calm(self) -> None:
        fleet = self.fleet
        fleet.network.heal_all()
        fleet.network.event_loss = 0.0
        for number in fleet.numbers:
            fleet.processes[number].thaw()
            self.revive(number)
        fleet.world.run_for(1_200)  # what is still asked times out
        fleet.settle(20_000)


def stored(fleet: Fleet) -> ClusterImage:
    """Read the tree as the next controller would."""
    session = next(s for s in fleet.tree.sessions.values() if not s.ended)
    store = ZnodeMetadataStore(session, Reign(ControllerEpoch(0), 0), lambda _text: None)
    found: list[Loaded | None] = []
    nothing = ClusterImage()
    nothing.position = MetadataPosition(ControllerEpoch(-1), MetadataVersion(-1))
    session.process.do(lambda now: store.load(nothing, lambda got, _now: found.append(got), now))
    fleet.wait(lambda: bool(found))
    image = ClusterImage()
    assert found[0] is not None
    assert found[0].records is not None
    image.load(found[0].position, found[0].records)
    return image


@pytest.mark.parametrize("seed", range(12))
def test_control_heals_whatever_befell_it(seed: int) -> None:
    chaos = Chaos(seed)
    for _ in range(STEPS):
        chaos.step()
    chaos.calm()
    fleet = chaos.fleet
    truth = stored(fleet)
    for number in fleet.numbers:
        image = fleet.server(number).context.image
        assert image.position == truth.position
        assert image.brokers == truth.brokers
        assert image.partitions == truth.partitions
        for partitions in image.partitions.values():
            for record in partitions.values():
                assert record.leader in record.isr, "all are back, so all are led"
    assert chaos.made <= set(truth.topic_ids), "an acknowledged topic stays"
    assert chaos.made, "something was made at all"
    by_version: dict[int, MetadataDelta] = {}
    for heard in fleet.asker.heard:
        if isinstance(heard, MetadataDelta):
            assert by_version.setdefault(heard.version, heard) == heard, "one history for all"


def test_the_same_seed_gives_the_same_history() -> None:
    histories = []
    for _ in range(2):
        chaos = Chaos(3)
        for _ in range(STEPS):
            chaos.step()
        chaos.calm()
        tree = {
            path: (znode.data, znode.version) for path, znode in chaos.fleet.tree.znodes.items()
        }
        histories.append((chaos.fleet.world.now_us, chaos.fleet.world.event_hash(), tree))
    assert histories[0] == histories[1]


def test_errors_are_numbers_of_the_one_table() -> None:
    fleet = Fleet(1)
    fleet.settle()
    answer = fleet.ask(1, CreateTopicsRequest((NewTopic("t", 1, 9),), 1_000))
    assert answer.topics[0].error == ErrorCode.INVALID_REPLICATION_FACTOR
