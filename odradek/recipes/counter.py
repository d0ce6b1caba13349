"""Counter: a number that many clients add to."""

from __future__ import annotations

from odradek.coordination.znode_values import ZnodeStat
from odradek.errors import BadVersionError, NodeExistsError, NoNodeError
from odradek.recipes.waiting import Client, read, settle

Number = int | float


class Counter:
    """A number at ``path``, an int or a float as its ``default`` is.

    Each addition is a compare-and-set, tried again until nobody else was in between.  The znode is
    persistent, so a lost session takes nothing away.  An addition is counted once however often the
    connection is lost; only SessionExpiredError and ClientTimeoutError leave open whether it was.
    """

    def __init__(self, client: Client, path: str, default: Number = 0) -> None:
        if isinstance(default, bool) or not isinstance(default, int | float):
            raise TypeError("a counter counts ints or floats")
        self.path = path
        self.default = default
        self.pre_value: Number | None = None
        """Before the last addition of this object."""
        self.post_value: Number | None = None
        """After the last addition of this object."""
        self._client = client

    @property
    def value(self) -> Number:
        """The number at present, as this client's coordinator knows it; ValueError: it is none."""
        return self._read()[0]

    def add(self, amount: Number) -> Number:
        """Add, and return the new number. TypeError: not of the counter's kind."""
        if isinstance(amount, bool) or not isinstance(amount, type(self.default)):
            raise TypeError(f"this counter counts {type(self.default).__name__}s")
        while True:
            before, stat = self._read()
            after = before + amount
            data = repr(after).encode()
            try:
                if stat is None:
                    settle(self._client, self._client.create_async(self.path, data, makepath=True))
                else:
                    settle(self._client, self._client.set_async(self.path, data, stat.version))
            except (BadVersionError, NodeExistsError, NoNodeError):
                continue
            self.pre_value, self.post_value = before, after
            return after

    def __iadd__(self, amount: Number) -> Counter:
        self.add(amount)
        return self

    def __isub__(self, amount: Number) -> Counter:
        self.add(-amount)
        return self

    def _read(self) -> tuple[Number, ZnodeStat | None]:
        try:
            data, stat = read(self._client, lambda: self._client.get_async(self.path))
        except NoNodeError:
            return self.default, None
        return (type(self.default)(data.decode()) if data else self.default), stat
