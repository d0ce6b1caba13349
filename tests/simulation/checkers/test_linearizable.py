"""S7: the search accepts what has an explanation, refuses what has none, and stays quick."""

from random import Random

import pytest

from tests.simulation.checkers.linearizable import (
    UNKNOWN,
    Operation,
    check_register,
    is_linearizable,
    znode_step,
)
from tests.simulation.checkers.violation import Violation


def test_a_sequence_of_sets_and_reads_is_linearizable() -> None:
    history = [
        Operation(0, 10, ("set", "a", -1), 1),
        Operation(20, 30, ("get",), (1, "a")),
        Operation(25, 60, ("set", "b", 1), 2),
        Operation(40, 50, ("get",), (2, "b")),
    ]
    assert is_linearizable(history, (0, ""), znode_step)


def test_a_stale_read_is_not_linearizable() -> None:
    history = [
        Operation(0, 10, ("set", b"a", -1), 1),
        Operation(20, 30, ("get",), (0, b"")),
    ]
    with pytest.raises(Violation, match="S7"):
        check_register("/a", history)


def test_a_write_applied_twice_is_not_linearizable() -> None:
    history = [
        Operation(0, 10, ("set", "a", 0), 1),
        Operation(20, 30, ("get",), (2, "a")),
    ]
    assert not is_linearizable(history, (0, ""), znode_step)


@pytest.mark.parametrize("seen", [(0, ""), (1, "a")])
def test_an_unanswered_write_may_have_happened_or_not(seen: tuple[int, str]) -> None:
    history = [
        Operation(0, None, ("set", "a", -1), UNKNOWN),
        Operation(20, 30, ("get",), seen),
    ]
    assert is_linearizable(history, (0, ""), znode_step)


def test_an_unanswered_write_happens_at_one_moment_only() -> None:
    history = [
        Operation(0, None, ("set", "a", -1), UNKNOWN),
        Operation(20, 30, ("get",), (1, "a")),
        Operation(40, 50, ("get",), (0, "")),
    ]
    assert not is_linearizable(history, (0, ""), znode_step)


def test_a_refused_condition_must_have_been_wrong_at_some_moment() -> None:
    right = [
        Operation(0, 10, ("set", "a", -1), 1),
        Operation(5, 30, ("set", "b", 0), "bad version"),
    ]
    assert is_linearizable(right, (0, ""), znode_step)
    assert not is_linearizable(right[1:], (0, ""), znode_step)


def random_history(seed: int, length: int) -> list[Operation]:
    """A true history: each of three clients asks, the register acts somewhere within, answers."""
    random = Random(seed)
    history: list[Operation] = []
    version, value = 0, b""
    free_us = [0, 0, 0]
    moment_us = 0
    for number in range(length):
        client = min(range(3), key=lambda one: free_us[one])
        began_us = free_us[client]
        moment_us = max(moment_us, began_us) + random.randint(1, 20)
        ended_us: int | None = moment_us + random.randint(1, 60)
        free_us[client] = (ended_us or 0) + 1
        if random.random() < 0.5:
            history.append(Operation(began_us, ended_us, ("get",), (version, value)))
            continue
        version, value = version + 1, b"%d" % number
        what = ("set", value, -1)
        if random.random() < 0.05:
            history.append(Operation(began_us, None, what))
        else:
            history.append(Operation(began_us, ended_us, what, version))
    return history


@pytest.mark.parametrize("seed", range(5))
def test_long_true_histories_have_an_explanation(seed: int) -> None:
    check_register("/a", random_history(seed, 2_000))


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_read_in_a_long_history_is_found(seed: int) -> None:
    history = random_history(seed, 400)
    reads = [n for n, one in enumerate(history) if one.what[0] == "get" and n > 300]
    wrong = history[reads[0]]
    early = next(one for one in history if one.what[0] == "get")
    history[reads[0]] = Operation(wrong.began_us, wrong.ended_us, ("get",), early.answer)
    with pytest.raises(Violation, match="S7"):
        check_register("/a", history)
