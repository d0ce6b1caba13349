"""The restart policy, case by case."""

from __future__ import annotations

import signal

import pytest

from nodes.config import EXIT_BUG, EXIT_CONFIG, EXIT_ENVIRONMENT, EXIT_ORPHANED, EXIT_STOPPED
from supervisor.sections import SupervisorConfig
from supervisor.watch import GiveUp, Restart, RestartPolicy, describe_exit

CONFIG = SupervisorConfig(
    restart_delay_min_ms=100, restart_delay_max_ms=1_000, healthy_after_ms=60_000
)
KILLED = -signal.SIGKILL


def delays(statuses: list[int], lived_ms: int = 50, *, asked: bool = False) -> list[int]:
    policy = RestartPolicy(CONFIG)
    found = []
    for status in statuses:
        verdict = policy.on_exit(status, lived_ms, asked=asked)
        assert isinstance(verdict, Restart)
        found.append(verdict.delay_ms)
    return found


def test_a_killed_node_is_back_at_once_and_one_killed_again_and_again_later_and_later() -> None:
    assert delays([KILLED] * 7) == [0, 100, 200, 400, 800, 1_000, 1_000]


@pytest.mark.parametrize("status", [EXIT_BUG, EXIT_ENVIRONMENT, EXIT_ORPHANED, EXIT_STOPPED, 77])
def test_a_node_that_fails_by_itself_is_tried_for_ever_with_a_cap(status: int) -> None:
    assert delays([status] * 5) == [100, 200, 400, 800, 1_000]
    assert delays([status] * 200)[-1] == 1_000


def test_a_node_with_wrong_settings_is_given_up_even_when_asked() -> None:
    assert RestartPolicy(CONFIG).on_exit(EXIT_CONFIG, 10, asked=False) == GiveUp()
    assert RestartPolicy(CONFIG).on_exit(EXIT_CONFIG, 10, asked=True) == GiveUp()


def test_a_long_life_starts_the_count_anew() -> None:
    policy = RestartPolicy(CONFIG)
    for _ in range(4):
        policy.on_exit(KILLED, 10, asked=False)
    assert policy.on_exit(KILLED, 59_999, asked=False) == Restart(800)
    assert policy.on_exit(KILLED, 60_000, asked=False) == Restart(0)


def test_a_death_that_a_person_asked_for_says_nothing_about_the_node() -> None:
    assert delays([KILLED] * 20, asked=True) == [0] * 20


def test_an_exit_is_described_in_words() -> None:
    assert describe_exit(KILLED) == "was killed by SIGKILL"
    assert describe_exit(-250) == "was killed by signal 250"
    assert "settings" in describe_exit(EXIT_CONFIG)
    assert describe_exit(77) == "ended with status 77"
