"""--cpumask and --nodemask: on which CPUs this process runs, and from which NUMA nodes it takes memory.

Both are properties of a thread, and the threads that it starts inherit them. So they are set in the main
thread before there is any other. ssh is started earlier, and keeps the whole machine.
"""

import errno
import gc
import os
import resource

from escp._fast.base.process import bind_memory
from escp._fast.base.process import forbid_dumps as forbid_dumps  # for others, too
from escp.errors import UsageError, describe_errno


def apply_affinity(cpumask: int | None, nodemask: int | None) -> None:
    """Bind this thread and those that it will start. Raises UsageError naming the option and what there is.

    Bits of CPUs and nodes that are not there are ignored, as long as one of the others is.
    """
    if cpumask is None and nodemask is None:
        return
    from escp.process.numbers import find_bits, make_mask, show_numbers  # not at the top: few are bound

    if cpumask is not None:
        here = os.sched_getaffinity(0)
        wanted = find_bits(cpumask)
        try:
            if not wanted & here:
                raise UsageError(
                    f"option --cpumask: none of the CPUs {show_numbers(wanted)} is there",
                    f"this process may use {show_numbers(here)}",
                )
            for thread in _list_threads():  # some may be there already, to write and to look on
                os.sched_setaffinity(thread, wanted & here)
        except OSError as e:
            raise UsageError(f"option --cpumask: {describe_errno(e.errno or 0)}", "") from e
    if nodemask is not None:
        nodes = find_nodes()
        wanted = find_bits(nodemask)
        if not wanted & nodes:
            raise UsageError(
                f"option --nodemask: none of the nodes {show_numbers(wanted)} is there",
                f"this process may use {show_numbers(nodes)}",
            )
        try:
            bind_memory(make_mask(wanted & nodes))
        except OSError as e:
            hint = "containers often forbid it: leave --nodemask out there"
            raise UsageError(f"option --nodemask: {describe_errno(e.errno or 0)}", hint) from e


def _list_threads() -> list[int]:
    """The threads of this process. Without /proc only the calling one, as 0."""
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]


def find_nodes() -> set[int]:
    """The NUMA nodes that this process may take memory from; {0} where the kernel knows no nodes."""
    import re  # not at the top: few copies are bound, and an agent that is not needs no re

    from escp.process.numbers import parse_numbers  # not at the top, as above

    try:
        with open("/proc/self/status") as file:
            found = re.search(r"^Mems_allowed_list:\s*(\S+)", file.read(), re.MULTILINE)
        return parse_numbers(found[1]) if found else {0}
    except OSError:  # no /proc: all that the machine has
        pass
    try:
        with open("/sys/devices/system/node/online") as file:
            return parse_numbers(file.read().strip())
    except OSError:
        return {0}


OPEN_FILES = 16384


def prepare_process() -> None:
    """To be called before the first secret: forbids core dumps. And allows as many open files as it may."""
    gc.freeze()  # what is loaded by now stays; see __main__
    gc.enable()
    forbid_dumps()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


HELD_FILES = 256  # MAX_HELD of _fast/receive/receive_state.pxd
SPARE_FILES = 8  # for what is open for a moment only
DIRTY_FILES = 16  # MAX_DIRTY of _fast/files/durable.pxd


def count_free_files() -> int:
    """How many more files, sockets among them, this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = OPEN_FILES if soft == resource.RLIM_INFINITY else min(soft, OPEN_FILES)
    try:
        return soft - len(os.listdir("/proc/self/fd"))
    except OSError:  # no /proc
        return soft - 32


def share_for_sender(n_streams: int, n_walkers: int, *, is_local: bool) -> tuple[int, int]:
    """(walkers, sources that may be open at the same time) under the limit of open files.

    *is_local*: the receiver is here, too. Raises OSError when the limit is too low for so many streams.
    """
    left = (
        count_free_files() - SPARE_FILES - 4 * n_streams
    )  # a socket, twice more for threads, and a directory
    left = left // 4 if is_local else left
    n_walkers = n_walkers if left > 8 * n_walkers else 1
    return n_walkers, _check_share(left - 3 * n_walkers)  # a directory, what leads there, and a file


def share_for_receiver(
    n_streams: int, *, holds_small: bool = False, is_durable: bool = False
) -> tuple[int, int, int, int]:
    """(directories that a stream keeps open, large files of all streams, small files that a stream holds,
    directories of all streams that wait for their sync).

    *holds_small*: small files wait for their names. *is_durable*: so do directories. Raises as above.
    """
    left = count_free_files() - SPARE_FILES - 4 * n_streams  # a socket, once more, and two for a small file
    n_dirty = min(DIRTY_FILES, max(1, left // 4)) if is_durable else 0
    left -= n_dirty
    n_held = min(HELD_FILES, left // 8 // n_streams) if holds_small else 0
    left -= 2 * n_held * n_streams  # each may have a directory of its own
    n_cached = max(1, left // 2 // n_streams)
    left -= n_cached * n_streams
    # A large file has its directory, and its journal where there is room for that.
    return n_cached, _check_share(max(left // 3, min(left // 2, 1))), n_held, n_dirty


def _check_share(n: int) -> int:
    if n < 1:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return n
