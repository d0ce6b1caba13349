"""Three coordinators: quotas hold at each of them, and what they tell is seen."""

from __future__ import annotations

from tests.unit.coordinator.ensemble import KEY, Ensemble, SessionClient
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId
from transport.wire.messages.coordination import Create, GetData, Sync
from transport.wire.messages.ensemble import ChangeVotersRequest

LIMITS = b"count=2,bytes=-1=;byteHardLimit=-1;countHardLimit=3"


def opened(ensemble: Ensemble, number: int) -> SessionClient:
    client = ensemble.session(number)
    assert client.open().error == 0
    return client


def test_quotas_hold_everywhere() -> None:
    ensemble = Ensemble()
    ensemble.leader()
    client = opened(ensemble, ensemble.followers()[0])
    made = client.operate(
        Create("/zookeeper/quota/q"),
        Create("/zookeeper/quota/q/zookeeper_limits", LIMITS),
        Create("/zookeeper/quota/q/zookeeper_stats"),
        Create("/q"),
        Create("/q/a"),
        Create("/q/b", b"12"),
        Create("/q/c"),
    )
    assert [result.error for result in made] == [0] * 6 + [ErrorCode.QUOTA_EXCEEDED]
    for number in ensemble.nodes:
        read = opened(ensemble, number).operate(
            Sync(), GetData("/zookeeper/quota/q/zookeeper_stats")
        )
        assert read[1].data == b"count=3,bytes=2"
        assert ensemble.health(number).figures["soft_quotas_passed"] == 1


def test_the_ensemble_is_named() -> None:
    ensemble = Ensemble()
    client = opened(ensemble, ensemble.leader())
    (read,) = client.operate(GetData("/zookeeper/config"))
    assert (read.data or b"").decode().splitlines() == [
        f"server.{n}=coordinator-{n}:peers:participant;coordinator-{n}:clients" for n in (1, 2, 3)
    ]


def test_the_ensemble_is_named_as_it_votes() -> None:
    ensemble = Ensemble(observers=1)
    client = opened(ensemble, ensemble.leader())
    ensemble.run(200)

    def parts(number: int) -> list[str]:
        (read,) = opened(ensemble, number).operate(GetData("/zookeeper/config"))
        lines = (read.data or b"").decode().splitlines()
        return [line.partition(";")[0].rpartition(":")[2] for line in lines]

    assert [parts(number)[-1] for number in ensemble.nodes] == ["observer"] * 4
    newest = sorted(ensemble.nodes)[-1]
    assert client.ask(ChangeVotersRequest(KEY, NodeId(newest), True)).error == 0
    ensemble.run(200)
    assert [parts(number) for number in ensemble.nodes] == [["participant"] * 4] * 4
