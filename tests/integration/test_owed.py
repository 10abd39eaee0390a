"""An agent that sends nothing but keepalives holds nobody for ever: what it owes is named, exit status 13."""

import json
import shlex
import sys
from pathlib import Path

from tests.support.command import DRIVER, needs_source, remote
from tests.support.trees import write_random

pytestmark = needs_source  # the driver makes it shorter than two minutes
TESTS = Path(__file__).parents[1] / "support"
OPENED = ["opened", {"names_below": True, "is_in_order": False}]
SILENT_S = 3
# An honest one, which says more often than others that it is there.
HONEST = """
import sys, escp.agent.agent, escp.agent.service, escp.control.course
escp.control.course.KEEPALIVE_S = escp.agent.service.KEEPALIVE_S = 0.2
sys.exit(escp.agent.agent.run_agent())
"""


def run(escp, source, target, way: str, program: str, line: str):
    """Fails with an agent that is *program*; "to" and the like: the second one."""
    write_random(source / "a", 1000)
    honest = shlex.join([sys.executable, "-c", HONEST, "--server"])
    is_second = not way.startswith(("push", "pull", "from"))
    logins = [f"mkdir {escp.folder}/first 2>/dev/null", f"[ $? -eq {int(is_second)} ] || exec {honest}"]
    command = f"exec {sys.executable} {TESTS}/{program} $*"
    agent = escp.write_agent("bad", line, *logins, command=command)
    paths = [source / "a", target]
    if way != "push":
        paths[0] = remote(paths[0])
    if way != "pull":
        paths[1] = remote(paths[1])
    words = [word for word in way.split() if word.startswith("-")]
    env = escp.write_driver(silent_s=SILENT_S)
    return escp.fail(13, *words, *paths, agent=agent, env=env, command=[sys.executable, str(DRIVER)])


def misses_an_answer(escp, source, target, case):
    way, messages, what = case
    script = escp.folder / "talking.json"
    script.write_text(json.dumps([*messages, ["alive"]]))
    done = run(escp, source, target, way, "scripted_agent.py", f"set -- {script}")
    assert f"box is there, but has not {what} for" in done.error and done.hint


def test_answer_that_never_comes(together):
    together(
        [("push", [], "opened the target"), ("push", [OPENED], "said where its data streams are"),
         ("pull", [], "looked for the sources"), ("from", [], "looked for the sources"),
         ("to", [], "opened the target"), ("to -R", [OPENED], "said where its data streams are")],
        misses_an_answer,
    )  # fmt: skip


def misses_the_result(escp, source, target, way):
    lies = shlex.quote(json.dumps({"no_result": True}))
    done = run(escp, source, target, way, "hostile_agent.py", f"export ESCP_TEST_HOSTILE={lies}")
    assert "box is there, but has not said what came of the copy for" in done.error and done.hint


def test_result_that_never_comes(together):
    together(["push", "pull", "from", "to", "from -R", "to -R"], misses_the_result)
