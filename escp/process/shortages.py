"""What ran out, in words: files that may be open, memory, processes and threads.

Both ends load it at their start: once something has run out, it might not be loaded any more.
"""

import errno
import os

_FEWER = "use fewer streams with -t, or smaller blocks with --blocksize"
_CGROUP = "/sys/fs/cgroup"
_spare = [bytes(1 << 16)]  # is freed first, as looking for the limit needs some memory


def explain_shortage(error: BaseException) -> tuple[str, str] | None:
    """What to say, and its hint, if *error* is that this process may not have more of something."""
    _spare.clear()
    number = getattr(error, "errno", None) or getattr(error, "sys_errno", 0)  # of native code
    text = str(error)
    if number in (errno.EMFILE, errno.ENFILE):
        return _explain_files()
    if isinstance(error, ImportError):
        if os.strerror(errno.EMFILE) in text:
            return _explain_files()
        # The dynamic loader's words.
        is_memory = "failed to map segment" in text or "annot allocate memory" in text
        return _explain_memory() if is_memory else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return _explain_memory(*(getattr(error, name, 0) for name in ("wanted", "n_free_mib", "group_mib")))
    if "can't start" in text and "thread" in text:  # Python's RuntimeError, and native code's EAGAIN
        return explain_tasks()
    return None


def _explain_files() -> tuple[str, str]:
    limit = os.sysconf("SC_OPEN_MAX")  # no more may be opened to read it
    return (
        f"too many open files: the limit is {limit} for a process (ulimit -n)",
        "raise that limit, or use fewer streams with -t",
    )


def _explain_memory(
    wanted: str | int = 0, n_free_mib: int | None = None, group_mib: int = 0
) -> tuple[str, str]:
    """The same for memory; a BuffersError tells how much was wanted."""
    behind = f", and {wanted}" if wanted else ""
    hint = f"raise it, or {_FEWER}"
    if wanted and n_free_mib is not None and group_mib:
        group = f"the limit is {group_mib} MiB in this control group (of a batch job, or a container)"
        return f"out of memory: {group}, {n_free_mib} MiB of it are free{behind}", hint
    if wanted and n_free_mib is not None:
        return f"out of memory: {n_free_mib} MiB are free{behind}", f"end other programs, or {_FEWER}"
    if (limit := _find_limit("Max address space")) is not None:
        return f"out of memory: the limit is {limit >> 20} MiB for a process (ulimit -v){behind}", hint
    if (limit := _find_limit("Max data size")) is not None:
        return f"out of memory: the limit is {limit >> 20} MiB for a process (ulimit -d){behind}", hint
    said = f"out of memory: the system gives no more to this process{behind}"
    return said, f"end other programs, or {_FEWER}"


def explain_tasks() -> tuple[str, str]:
    """The same for processes and threads, which the kernel counts together."""
    what = "no more processes or threads can be started"
    hint = "end other programs or raise that limit, or use fewer streams with -t"
    if (limit := _find_group_limit()) is not None:
        return f"{what}: the limit is {limit} in this control group (pids.max)", hint
    if os.geteuid() != 0 and (limit := _find_limit("Max processes")) is not None:
        return f"{what}: the limit is {limit} for a user (ulimit -u)", hint
    if (limit := _find_limit("Max address space")) is not None:  # there is no room for a stack
        return f"{what}: the limit is {limit >> 20} MiB of memory for a process (ulimit -v)", hint
    return f"{what}: a limit of the system is reached", hint


def _find_limit(name: str) -> int | None:
    """A soft limit by its name in /proc/self/limits; the module `resource` might not be loaded any more."""
    try:
        line = next(line for line in _read("/proc/self/limits").splitlines() if line.startswith(name))
        soft = line.removeprefix(name).split()[0]
        return int(soft) if soft.isdigit() else None
    except (OSError, MemoryError, StopIteration, IndexError):
        return None


def _find_group_limit() -> int | None:
    """pids.max of the nearest control group that has refused a process or thread."""
    try:
        for line in _read("/proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "pids"):  # "": version 2
                continue
            path = f"{_CGROUP}/{controllers}{path}".rstrip("/")
            while path.startswith(f"{_CGROUP}/"):
                if (limit := _find_refusing_limit(path)) is not None:
                    return limit
                path = os.path.dirname(path)
    except (OSError, MemoryError):
        pass
    return None


def _find_refusing_limit(group: str) -> int | None:
    try:
        limit = _read(f"{group}/pids.max").strip()
        has_refused = not _read(f"{group}/pids.events").startswith("max 0\n")
    except OSError:
        return None
    return int(limit) if has_refused and limit.isdigit() else None


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 1 << 13).decode()
    finally:
        os.close(fd)
