"""A case's runs, all tools in turn, there and back (A B C C B A A B C …).

What drifts on the machine hits all of them alike, and so does what a run leaves behind for the next: caches,
dirty pages, the kernel's free lists. (In turns A B C A B C …, A would always run after C, and B never.)
"""

import json
import shutil
import sys
from pathlib import Path

from cases import Case
from processes import PeakWatcher
from run import Run, Runner
from scratch import Scratch
from tools import Tool, read_result


def play(case: Case, runner: Runner, scratch: Scratch, agent_pid_file: Path, runs: list[Run]) -> None:
    """Append each run to *runs* as it ends, so that what there is survives a Ctrl-C."""
    checked: set[str] = set()  # tools whose copy was compared byte by byte
    if case.warms_up:
        for tool in case.tools:
            _play_one(case, tool, -1, runner, scratch, agent_pid_file, checked)
    for i in range(case.n_rounds):
        for tool in case.tools if i % 2 == 0 else case.tools[::-1]:
            run = _play_one(case, tool, i, runner, scratch, agent_pid_file, checked)
            runs.append(run)
            figures = "  ".join(f"{value:.3f} {case.unit}" for value in run.values.values())
            print(
                f"bench: {case.name:11} {i + 1:2}/{case.n_rounds}  {tool.name:22} {run.durable_s:7.2f} s  "
                f"cpu {run.cpu_s:6.2f} s  others {run.others_share:4.0%}  {run.error or figures}",
                file=sys.stderr,
                flush=True,
            )


def _play_one(
    case: Case, tool: Tool, i: int, runner: Runner, scratch: Scratch, agent_pid_file: Path, checked: set[str]
) -> Run:
    root = scratch.shm if case.in_shm else scratch.disk
    target = scratch.target(root, f"{case.name}-{case.tools.index(tool)}-{i}")
    watcher = PeakWatcher(agent_pid_file) if case.watches_memory else None
    run = runner.run(
        Run(tool.name, i, tool.build(target)),
        is_cold=case.is_cold,
        durable_path=target if case.is_durable else None,
        look=watcher.look if watcher else None,
    )
    if not run.error:
        run.error = _find_fault(tool, run, target, checked)
    if not run.error:
        _take_figures(tool, run, watcher)
    if not case.keeps_targets:
        shutil.rmtree(target)  # one inode
    return run


def _find_fault(tool: Tool, run: Run, target: Path, checked: set[str]) -> str:
    """'' when the copy is right: names and sizes after every run, contents after a tool's first in a case."""
    if not tool.copies:
        if not tool.is_escp:
            return ""
        try:
            result = read_result(run)
        except (IndexError, json.JSONDecodeError):
            return "the last line of --json is no result"
        is_right = result["ok"] and result["dummy"] and result["bytes"] == tool.dataset.n_bytes
        return "" if is_right else f"not what was asked for: {result}"
    with_contents = tool.is_escp and tool.name not in checked
    difference = tool.dataset.find_difference(tool.copy_path(target), with_contents=with_contents)
    checked.add(tool.name)
    return difference


def _take_figures(tool: Tool, run: Run, watcher: PeakWatcher | None) -> None:
    if watcher:
        sender, receiver = watcher.as_mib()
        if not receiver:
            run.error = "the receiver's process was not seen"
            return
        run.values = {f"sender, {tool.name}": sender, f"receiver, {tool.name}": receiver}
        return
    try:
        run.values = tool.measure(run)
    except (LookupError, ValueError, ArithmeticError) as e:
        run.error = f"its output has no figure ({type(e).__name__}): {run.output[-200:]}"
