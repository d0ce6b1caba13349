"""Who wants a turn when."""

from __future__ import annotations

from random import Random

import pytest

from nodes.broker.wakeups import Wakeups


def test_deadlines_that_are_put_off_again_and_again_leave_nothing_behind() -> None:
    """A busy leader's next deadline is some seconds away, and another one in each turn."""
    wakeups = Wakeups[str]()
    for now_ms in range(100_000):
        wakeups.set(f"partition {now_ms % 7}", now_ms + 30_000)
        if now_ms % 3 == 0:
            wakeups.set(f"partition {now_ms % 7}", None)
        assert wakeups.due(now_ms) == []
        assert wakeups.held < 200
    assert len(wakeups.waiting()) <= 7


@pytest.mark.parametrize("seed", range(10))
def test_each_is_woken_at_its_last_deadline_in_the_order_in_which_they_were_set(seed: int) -> None:
    random = Random(seed)
    wakeups = Wakeups[int]()
    model: dict[int, tuple[int, int]] = {}
    for now_ms in range(3_000):
        one = random.randrange(20)
        deadline_ms = None if random.random() < 0.2 else now_ms + random.randrange(400)
        if deadline_ms is None:
            model.pop(one, None)
        elif one not in model or model[one][0] != deadline_ms:
            model[one] = deadline_ms, now_ms
        wakeups.set(one, deadline_ms)
        assert wakeups.next_deadline_ms() == min((due for due, _ in model.values()), default=None)
        due = sorted((at, one) for one, at in model.items() if at[0] <= now_ms)
        assert wakeups.due(now_ms) == [one for _, one in due]
        for _, one in due:
            del model[one]
