"""The exception tree against the one table."""

from __future__ import annotations

import pytest

from odradek import errors
from transport.wire.errors import MEANINGS, ErrorCode

CODES = [code for code in ErrorCode if code is not ErrorCode.NONE]


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_code_has_a_class_that_says_what_the_table_says(code: ErrorCode) -> None:
    error = errors.error_for(code)
    meant = MEANINGS[code]
    assert error.code == code
    assert type(error) is not errors.OdradekError
    flags = (error.retriable, error.refresh_metadata, error.fatal)
    assert flags == (meant.retriable, meant.refresh_metadata, meant.fatal)
    assert str(error) == meant.text
    assert type(error).__doc__ == meant.text
    assert type(error).__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_codes_are_in_the_branch_of_their_origin(code: ErrorCode) -> None:
    error = errors.error_for(code)
    if code > 0 and code < 1000:
        assert isinstance(error, errors.KafkaError)
    elif code < -1:
        assert isinstance(error, errors.ZookeeperError)
    else:
        assert isinstance(error, errors.ClusterError)


def test_an_unknown_code_keeps_its_number() -> None:
    error = errors.error_for(4711, "what is this")
    assert isinstance(error, errors.UnknownServerError)
    assert (error.code, str(error)) == (4711, "what is this")
    assert errors.error_for(ErrorCode.UNKNOWN_SERVER_ERROR).code == -1


def test_names_that_users_know() -> None:
    assert errors.error_for(ErrorCode.NO_NODE, "x").__class__ is errors.NoNodeError
    assert errors.NotLeaderOrFollowerError is errors.NotLeaderForPartitionError
    assert issubclass(errors.DeliveryTimeoutError, errors.KafkaTimeoutError)
    assert issubclass(errors.KafkaTimeoutError, TimeoutError)
