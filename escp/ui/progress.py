"""What a session tells its user, as records, and the rate behind the meter. Pure: the clock is handed in.

The records are filled from the planes' counters; `ui` shows them.
"""

from collections.abc import Callable

from escp.lean.record import Record

_E = 2.718281828459045  # math's: a library of its own, 0.2 ms of every start
SMOOTH_S = 3.0  # the rate forgets to 1/e in this time: calm enough to read, quick enough to show a stall


# What the time of a run goes to, in this order; with several hosts again and again.
PHASES = ("login", "setup", "transfer", "end")


class StartInfo(Record):
    """What was agreed with the agent, known once the data streams are open."""

    host: str
    n_streams: int
    block_bytes: int
    aead: str  # the backend in use, for example "ipsec_mb"
    is_embedded: bool = False
    address: str = ""  # where the data goes, for example "192.0.2.7:1232"
    sources: tuple[str, ...] = ()  # as the command line has them; of very many only the first
    n_sources: int = 0
    target: str = ""
    options: tuple[str, ...] = ()  # as the command line has them, with their values


class Snapshot(Record):
    """Progress at one moment. Until `is_total_final` the sources are still being listed."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    is_total_final: bool
    files_counted: int = 0  # how many there are, counted ahead of the copy; 0: not known

    @classmethod
    def of(cls, counters: dict[str, int]) -> "Snapshot":
        """From those of the planes. A receiver may tell what came before the sender does what it found."""
        return cls(
            bytes_done=counters["bytes"],
            bytes_total=max(counters["found_bytes"], counters["bytes"]),
            files_done=counters["files"],
            files_total=max(counters["found_files"], counters["files"]),
            is_total_final=bool(counters["is_walked"]),
            files_counted=max(0, counters.get("counted_files", 0) - counters["skipped"]),
        )

    @property
    def is_estimate(self) -> bool:
        """Not all files have been found, but they are counted: the others may be larger or smaller."""
        return not self.is_total_final and self.files_counted > 0 and self.files_total > 0

    @property
    def expected_bytes(self) -> float | None:
        """The whole, or what it is if files that are not found yet are as large as those that are."""
        if self.is_estimate:
            return self.bytes_total * max(1.0, self.files_counted / self.files_total)
        return self.bytes_total if self.is_total_final else None

    @property
    def fraction(self) -> float | None:
        """0.0 to 1.0, by bytes (by files when all are empty); None while nothing is known of the whole."""
        total = self.expected_bytes
        if total is None:
            return None
        done: float = self.bytes_done
        if total <= 0:
            done, total = self.files_done, max(self.files_total, self.files_counted)
        return min(1.0, done / total) if total > 0 else 1.0


class Summary(Record):
    """The outcome of a session that ran to its end; failed files are counted in `n_failed` only."""

    files: int
    directories: int
    bytes: int
    seconds: float  # the whole run
    data_seconds: float  # from the first to the last byte of data
    bytes_network: int  # sent on the data streams, sealing included
    is_verified: bool | None  # None: verification was off
    n_failed: int
    n_streams: int
    aead: str
    is_dummy: bool = False  # the dummy engine was used on at least one side
    n_skipped: int = 0  # files that are at the target already
    is_dry_run: bool = False  # nothing was copied: what would have been
    bytes_disk: int | None = None  # written to files at the target; None: not known
    bytes_compressed: int | None = None  # of file data as it went through the streams, compressed or not
    n_deleted: int = 0  # names that were only at the target
    phases: tuple[float, ...] = (0.0,) * len(PHASES)  # seconds of each

    @property
    def rate_bytes_per_s(self) -> float:
        """`bytes` over `data_seconds`; 0.0 where nothing was measured."""
        return self.bytes / self.data_seconds if self.data_seconds > 0 else 0.0


class RateMeter:
    """A smoothed rate: an exponential mean of the snapshots', without a bias towards zero at first."""

    def __init__(self, clock: Callable[[], float]):
        """`clock` gives seconds that never go back. Time counts from here."""
        self._clock = clock
        self._start_s = self._last_s = clock()
        self._last_bytes = 0
        self._mean = 0.0
        self._snapshot = Snapshot(0, 0, 0, 0, False)

    def update(self, snapshot: Snapshot) -> None:
        now_s = self._clock()
        self._snapshot = snapshot
        passed_s = now_s - self._last_s
        if passed_s <= 0:
            return
        moved = max(0, snapshot.bytes_done - self._last_bytes)
        self._mean += (moved / passed_s - self._mean) * (1 - _E ** (-passed_s / SMOOTH_S))
        self._last_s, self._last_bytes = now_s, snapshot.bytes_done

    @property
    def rate_bytes_per_s(self) -> float:
        weight = 1 - _E ** ((self._start_s - self._last_s) / SMOOTH_S)
        return self._mean / weight if weight > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this rate; None while nothing is known of the whole or nothing moves."""
        rate = self.rate_bytes_per_s
        total = self._snapshot.expected_bytes
        if total is None or rate < 1:
            return None
        return max(0, total - self._snapshot.bytes_done) / rate
