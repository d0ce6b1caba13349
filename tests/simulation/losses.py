"""Faults that take data away, within what the guarantees allow, and the operator who repairs them.

* Power of any coordinators, of all at once: what they promised is synced.
* Power of one broker at a time, while every replica is in sync and no nodes are apart, and then
  nothing else until it is back: a power cut can take a replica's unsynced tail (G1), so another replica must have it.
* A bit that flips at rest in the partition logs of one broker, while every replica is in sync, and
  then nothing else until it is mended: the broker is restarted, and should it not notice, its operator
  removes the log.
* A whole disk of one broker, under the same conditions.  Until any of these three is made good,
  administrators leave that broker no partition of which there is no other replica.
* A bit in the log of one coordinator, always the same, which then refuses to start; or its whole disk.
  The operator has it rebuilt from the others.
* Disks that fill up, and syncs that fail, for a while; or the device of one log directory, of a
  broker that has several.  A broker whose logs have failed is restarted.
* In some runs single calls that fail: a rename, or a sync of a file or of a folder.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.replicas import Replicas
from nodes.config import REBUILD_MARK
from nodes.storage.disk import StorageError
from tests.simulation.cluster import Cluster
from tests.simulation.health import brokers_are_whole, has_failed_logs, quorum_is_whole
from tests.simulation.hiccup import Call
from transport.wire.ids import NO_NODE

FULL_MS = (200, 5_000)
FAILING_MS = (50, 2_000)
RECOVERY_MAX_MS = 20_000
LATENT_MS = (0, 3_000)
PASSES = (0, 0, 0, 1, 3)
"""So many calls of its kind go well before one fails."""
LOOK_MS = 250
TEND_MS = 2_000
PLENTY_BYTES = 1 << 40


class Losses:
    """Takes data away; repairs what no node can repair by itself."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self._running = True
        self._recovering = ""
        self._recovered_by_us = 0
        self._damaged = ""
        """The file in which a bit has flipped, while its broker may still have it."""
        self._weak_coordinator = ""
        """The one that may lose what it has written."""
        self._tend()

    def kinds(self) -> list[Callable[[], None]]:
        """Return the faults to choose from."""
        return [
            self._lose_power_of_coordinators,
            self._lose_power_of_broker,
            self._flip_bit_of_broker,
            self._flip_bit_of_coordinator,
            self._lose_disk_of_broker,
            self._lose_disk_of_coordinator,
            self._fill_disk,
            self._fail_syncs,
        ]

    def are_recovering(self) -> bool:
        """Tell whether nothing else may fail yet."""
        if not self._recovering:
            return False
        late = self.world.now_us >= self._recovered_by_us
        if late or (not self._damaged and brokers_are_whole(self.cluster)):
            self._recovering = ""
            self._forget_ailing()
        return bool(self._recovering)

    def _begin_recovery(self, name: str) -> None:
        self._recovering = name
        self.cluster.ailing = self.cluster.broker(name).context.id
        self._recovered_by_us = self.world.now_us + RECOVERY_MAX_MS * 1_000

    def _forget_ailing(self) -> None:
        if not self._recovering and not self._damaged:
            self.cluster.ailing = NO_NODE

    def stop(self) -> None:
        """Give every disk its room and its health back."""
        self._running = False
        for disk in self.cluster.disks.values():
            disk.set_free_bytes(PLENTY_BYTES)
            disk.failing_sync = False
            disk.failed_folder = ""
            disk.hiccups.forget()

    # Power

    def _lose_power_of_coordinators(self) -> None:
        names = self.cluster.names("coordinator")
        count = self.world.random.choice((1, 1, len(names)))
        for name in self.world.random.sample(names, count):
            if self.cluster.processes[name].alive and self._may_lose_power(name):
                self.cluster.lose_power(name)

    def _may_lose_power(self, name: str) -> bool:
        """Of members that are brokers too only one at a time, whose every record is elsewhere."""
        if name not in self.cluster.names("broker"):
            return True
        if self._recovering or not self._can_spare(name):
            return False
        self._begin_recovery(name)
        return True

    def _lose_power_of_broker(self) -> None:
        name = self.world.random.choice(self.cluster.names("broker"))
        if self._can_spare(name):
            self._begin_recovery(name)
            self.cluster.lose_power(name)

    def _can_spare(self, name: str) -> bool:
        """Tell whether all is well, and every record of this broker is elsewhere too."""
        whole = brokers_are_whole(self.cluster) and quorum_is_whole(self.cluster)
        together = self.cluster.network.are_together(self.cluster.names())
        return whole and together and not self._is_alone(name)

    def _is_alone(self, name: str) -> bool:
        """Tell whether some partition has no replica elsewhere."""
        image = self.cluster.transitions.image
        server = self.cluster.broker(name)
        return image is None or any(
            set(record.isr) == {server.context.id}
            for partitions in image.partitions.values()
            for record in partitions.values()
        )

    # Bits

    def _flip_bit_of_coordinator(self) -> None:
        name = self._draw_weak_coordinator()
        if name and self._flip(name, "raft/", ""):
            self._look_after(name)

    def _draw_weak_coordinator(self) -> str:
        """Return the one that may lose what it has; empty where there are too few others."""
        names = self.cluster.names("coordinator")
        if len(names) >= 3 and not self._weak_coordinator:
            self._weak_coordinator = self.world.random.choice(names)
        return self._weak_coordinator

    def _flip_bit_of_broker(self) -> None:
        name = self.world.random.choice(self.cluster.names("broker"))
        if not self._can_spare(name) or self._moves_logs(name):
            return
        if path := self._flip(name, "logs/", ".log"):
            self._damaged, self.cluster.flipped = path, self.cluster.broker(name).context.id
            self._begin_recovery(name)
            self.world.after(self.world.between(LATENT_MS) * 1_000, self._notice, name)

    def _moves_logs(self, name: str) -> bool:
        """Tell whether what is damaged may be elsewhere by the time that it is looked for."""
        server = self.cluster.broker(name)
        assert isinstance(server.replicas, Replicas)
        return any(server.replicas._moves.arrivals())

    def _notice(self, name: str) -> None:
        """A restart may bring the damage to light; if not, the file goes."""
        if self.cluster.processes[name].alive:
            self.cluster.kill(name)
        self.world.after(LOOK_MS * 1_000, self._mend, name)

    def _mend(self, name: str) -> None:
        if not brokers_are_whole(self.cluster):
            self.world.after(LOOK_MS * 1_000, self._mend, name)
            return
        path, self._damaged, self.cluster.flipped = self._damaged, "", NO_NODE
        self._forget_ailing()
        if self.cluster.disks[name].has_flipped(path):
            self.world.note(f"the operator removes {path} of {name}")
            self.cluster.lose_folder(name, path.rpartition("/")[0])

    def _flip(self, name: str, folder: str, ending: str) -> str:
        """Flip a bit in the older half of a file: behind it are records that are whole."""
        random, disk = self.world.random, self.cluster.disks[name]
        path = random.choice(disk.files(folder, ending) or ("",))
        size_bytes = len(disk.read_file(path) or b"")
        if size_bytes < 512:
            return ""
        position = random.randrange(size_bytes // 2)
        self.world.note(f"a bit flips on the disk of {name}, in {path} at {position}")
        disk.flip(path, position, random.randrange(8))
        return path

    def _look_after(self, name: str) -> None:
        """Stand by for the coordinator to refuse its log."""
        process = self.cluster.processes[name]
        if not process.alive and "damaged" in process.fault:
            self._rebuild(name)
        else:
            self.world.after(LOOK_MS * 1_000, self._look_after, name)

    def _rebuild(self, name: str) -> None:
        """Do as ``odradek ensemble rebuild`` does."""
        try:
            self.cluster.disks[name].write_file(REBUILD_MARK, b"", durable=True)
        except StorageError:
            self.world.after(LOOK_MS * 1_000, self._rebuild, name)
            return
        self.world.note(f"the operator has {name} rebuilt")
        if self.cluster.processes[name].alive:
            self.cluster.kill(name)

    # Disks

    def _lose_disk_of_coordinator(self) -> None:
        name = self._draw_weak_coordinator()
        disk = self.cluster.disks.get(name)
        if disk is None or disk.failing_sync or disk.free_bytes() < PLENTY_BYTES // 2:
            return
        if name in self.cluster.names("broker"):
            if not self._can_spare(name):
                return
            self._begin_recovery(name)
        self.cluster.lose_disk(name)
        self._rebuild(name)

    def _lose_disk_of_broker(self) -> None:
        name = self.world.random.choice(self.cluster.names("broker"))
        # A disk that has a log of the quorum too is the weak coordinator's to lose.
        alone = name not in self.cluster.names("coordinator")
        if alone and self._can_spare(name):
            self._begin_recovery(name)
            self.cluster.lose_disk(name)

    # Space and syncs

    def _tend(self) -> None:
        """Restart a broker some of whose logs the disk has failed, once the disk is well."""
        for name in self.cluster.names("broker"):
            process, disk = self.cluster.processes[name], self.cluster.disks[name]
            failing = disk.failing_sync or disk.failed_folder
            if process.alive and not failing and has_failed_logs(self.cluster, name):
                self.world.note(f"the operator restarts {name}")
                process.do(process.program.stop)
        self.world.after(TEND_MS * 1_000, self._tend)

    def _fill_disk(self) -> None:
        name = self.world.random.choice(self.cluster.names())
        disk = self.cluster.disks[name]
        left_bytes = self.world.random.choice((0, 100, 10_000))
        self.world.note(f"the disk of {name} is full but for {left_bytes} bytes")
        disk.set_free_bytes(left_bytes)

        def free() -> None:
            self.world.note(f"the disk of {name} has room again")
            disk.set_free_bytes(PLENTY_BYTES)

        self._later(FULL_MS, free)

    def _fail_syncs(self) -> None:
        name = self.world.random.choice(self.cluster.names())
        disk = self.cluster.disks[name]
        if len(self.cluster.shape.broker.log_dirs) > 1 and name in self.cluster.names("broker"):
            self.fail_directory(name)
            return
        self.world.note(f"syncs of {name} fail")
        disk.failing_sync = True

        def mend() -> None:
            self.world.note(f"syncs of {name} succeed again")
            disk.failing_sync = False

        self._later(FAILING_MS, mend)

    def fail_once(self) -> None:
        """Let one call to a disk fail, and nothing after it."""
        random = self.world.random
        name, call = random.choice(self.cluster.names()), random.choice(list(Call))
        full, passes = random.random() < 0.5, random.choice(PASSES)
        why = "for want of space, " if full else ""
        self.world.note(f"a {call.value} of {name} is to fail, {why}after {passes} others")
        self.cluster.disks[name].hiccups.expect(call, full=full, passes=passes)

    def fail_directory(self, name: str) -> None:
        """Let the device of one log directory be gone, and come back with all that was on it."""
        disk = self.cluster.disks[name]
        directory = self.world.random.choice(self.cluster.shape.broker.log_dirs)
        self.world.note(f"{directory} of {name} is gone")
        disk.failed_folder = directory

        def mend() -> None:
            self.world.note(f"{directory} of {name} is back")
            disk.failed_folder = ""

        self._later(FAILING_MS, mend)

    def _later(self, bounds_ms: tuple[int, int], undo: Callable[[], None]) -> None:
        def happen() -> None:
            if self._running:
                undo()

        self.world.after(self.world.between(bounds_ms) * 1_000, happen)
