"""The follower's side of a fetch session, by plain values."""

from __future__ import annotations

from nodes.core.fetch_session.follower import PARTITIONS_MAX, FollowerSession, Poll
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey, TopicId
from transport.wire.messages.fetch import FetchPartition

TOPIC = TopicId(b"t" * 16)


def key_of(number: int) -> PartitionKey:
    return PartitionKey(TOPIC, number)


def part_at(
    number: int, offset: int = 0, *, epoch: int = 1, durable: int = 0, start: int = -1
) -> FetchPartition:
    return FetchPartition(
        TOPIC,
        number,
        LeaderEpoch(epoch),
        Offset(offset),
        1_000,
        durable_offset=Offset(durable),
        log_start_offset=Offset(start),
    )


class Following:
    """A session, and the partitions that its replicas would give."""

    def __init__(self, count: int = 3) -> None:
        self.session = FollowerSession(6)
        self.parts = {key_of(number): part_at(number) for number in range(count)}

    def poll(self) -> Poll | None:
        found = self.session.poll(self.parts, self.parts.get)
        self.session.check(self.parts, self.parts.get)
        return found

    def ask(self) -> Poll:
        poll = self.poll()
        assert poll is not None
        return poll

    def move(self, number: int, offset: int, **how: int) -> None:
        self.parts[key_of(number)] = part_at(number, offset, **how)
        self.session.change(key_of(number))

    def drop(self, number: int) -> None:
        del self.parts[key_of(number)]
        self.session.change(key_of(number))


def numbers(poll: Poll) -> list[int]:
    return [part.partition for part in poll.named]


def test_the_first_poll_names_everything_and_the_next_one_nothing() -> None:
    following = Following()
    first = following.ask()
    assert (first.session_id, first.session_epoch, numbers(first)) == (8, 0, [0, 1, 2])
    following.session.answered(first, first.session_id)
    second = following.ask()
    assert (second.session_id, second.session_epoch, second.named) == (8, 1, ())
    assert following.ask().session_epoch == 2


def test_all_is_named_again_as_long_as_the_leader_holds_no_session() -> None:
    following = Following()
    first = following.ask()
    following.session.answered(first, 0)
    second = following.ask()
    assert (second.session_epoch, numbers(second)) == (0, [0, 1, 2])
    assert second.session_id != first.session_id


def test_only_what_changes_is_named() -> None:
    following = Following()
    first = following.ask()
    following.session.answered(first, first.session_id)
    following.move(1, 5)
    following.session.change(key_of(2))  # it is where it was
    following.drop(0)
    following.parts[key_of(3)] = part_at(3)
    following.session.change(key_of(3))
    second = following.ask()
    assert (numbers(second), second.forgotten) == ([1, 3], (key_of(0),))
    assert following.ask().named == ()


def test_what_was_answered_is_named_again_though_it_is_where_it_was() -> None:
    """The leader has taken it out, and its records may not have been written here."""
    following = Following()
    first = following.ask()
    following.session.answered(first, first.session_id)
    following.session.take_out(key_of(1))
    assert following.session.has_changes
    assert numbers(following.ask()) == [1]
    assert not following.session.has_changes


def test_a_partition_that_pauses_is_forgotten_and_named_later() -> None:
    following = Following(1)
    first = following.ask()
    following.session.answered(first, first.session_id)
    part = following.parts.pop(key_of(0))
    following.session.change(key_of(0))
    assert following.ask().forgotten == (key_of(0),)
    assert following.poll() is None, "nothing to ask"
    following.parts[key_of(0)] = part
    following.session.change(key_of(0))
    again = following.ask()
    assert (numbers(again), again.session_epoch) == ([0], 2)


def test_nothing_to_follow_is_nothing_to_ask() -> None:
    assert Following(0).poll() is None


def test_an_answer_about_a_place_of_the_past_is_passed_over() -> None:
    following = Following()
    first = following.ask()
    following.session.answered(first, first.session_id)
    following.move(1, 5)
    second = following.ask()
    assert following.session.asked(first, key_of(0)) == part_at(0)
    assert following.session.asked(first, key_of(1)) is None
    assert following.session.asked(second, key_of(1)) == part_at(1, 5)
    assert following.session.asked(second, key_of(9)) is None
    following.session.take_out(key_of(1))
    assert following.session.asked(second, key_of(1)) is None, "it was answered"


def test_an_answer_counts_though_more_is_durable_since() -> None:
    following = Following()
    first = following.ask()
    following.session.answered(first, first.session_id)
    following.move(1, 0, durable=3)
    assert numbers(following.ask()) == [1]
    assert following.session.asked(first, key_of(1)) == part_at(1, 0, durable=3)


def test_a_lost_session_is_begun_anew_in_full() -> None:
    following = Following()
    first = following.ask()
    following.session.answered(first, first.session_id)
    second = following.ask()
    following.session.failed(second)
    third = following.ask()
    assert (third.session_epoch, numbers(third)) == (0, [0, 1, 2])
    following.session.failed(second)  # it knows nothing of the new session
    following.session.answered(third, third.session_id)
    assert following.ask().session_epoch == 1


def test_more_than_one_poll_may_name_takes_turns() -> None:
    following = Following(PARTITIONS_MAX + 5)
    first = following.ask()
    assert len(first.named) == PARTITIONS_MAX
    assert following.session.has_changes
    second = following.ask()  # not confirmed: in full again, those that have waited first
    assert numbers(second)[:5] == list(range(PARTITIONS_MAX, PARTITIONS_MAX + 5))
    following.session.answered(second, second.session_id)
    third = following.ask()
    assert len(third.named) == 5
    assert not following.session.has_changes
