"""A list whose names alternate between hosts: each change is a job of its own, and leaves nothing behind."""

import os
from pathlib import Path

from tests.support.command import COMMAND
from tests.support.leftovers import find_worker
from tests.support.sanitized import not_sanitized

N_FILES = 60
LIMIT_FDS, LIMIT_BYTES, LIMIT_ZOMBIES = 60, 90 << 20, 4


@not_sanitized
def test_resources_do_not_grow_with_the_groups(escp, source, target, folder):
    lines = []
    for number in range(N_FILES):
        (source / str(number)).write_text("x" * number)
        lines.append(f"{'localhost:' if number % 2 else ''}{source}/{number}\n")
    (folder / "list").write_text("".join(lines))
    process = escp.start("--filelist", folder / "list", target, is_embedded=True, command=COMMAND)
    most_fds = most_bytes = most_zombies = 0
    while process.poll() is None:
        try:
            proc = Path("/proc", str(find_worker(process.pid)))
            most_fds = max(most_fds, len(os.listdir(proc / "fd")))
            rss = [line.split()[1] for line in (proc / "status").open() if line.startswith("VmRSS")]
            most_bytes = max(most_bytes, *(1024 * int(size) for size in rss), 0)
            children = (proc / "task" / proc.name / "children").read_text().split()
            states = [Path("/proc", child, "stat").read_text().rpartition(")")[2][1] for child in children]
            most_zombies = max(most_zombies, states.count("Z"))
        except OSError:
            continue  # it, or a child, has just ended
    assert escp.finish(process).code == 0
    assert len(os.listdir(target)) == N_FILES
    assert (most_fds > LIMIT_FDS, most_bytes > LIMIT_BYTES, most_zombies > LIMIT_ZOMBIES) == (False,) * 3, (
        most_fds, most_bytes, most_zombies)  # fmt: skip
