"""What is loaded at the two starts that everybody waits for: nothing more than they need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Asked for by scripts and --push-agent: no command line is read for it.
VERSION_PAGE = set(
    "__main__ constants errors cli.main cli.pages lean.signals process.environment process.inherited "
    "process.shortages ui.lines ui.ui".split()
)
# An agent is loaded while somebody waits for it: no command line, no files' YAML, no meter.
AGENT = set(
    "__main__ constants errors failures agent.agent agent.agentlog agent.service agent.way cli.main "
    "control.channel control.course control.codec control.message control.messages control.orders "
    "lean.eventloop lean.plainjson lean.record lean.signals lean.sockets names.destination names.guarded "
    "names.landing options.agentoptions options.config options.configfile process.environment "
    "process.inherited process.interrupts process.leaving process.limits process.shortages "
    "streams.addresses streams.ends streams.listener streams.receiveend streams.sealing streams.sendend "
    "streams.streams".split()
)
# Each of these takes 2 ms or more, or brings some that do.
SLOW = set(
    "asyncio cryptography ctypes dataclasses datetime email hashlib inspect logging multiprocessing pathlib "
    "pickle random rich shutil ssl subprocess tempfile threading traceback typing urllib uuid yaml zipfile "
    "zoneinfo zstandard".split()
)
SLOW_FOR = {
    "--version": SLOW
    | set("_socket argparse collections enum functools gettext json locale re socket".split()),
    "--server": SLOW
    | set(
        "argparse collections encodings.idna enum functools gettext json locale re selectors "
        "signal socket".split()
    ),
}


def loaded_by(*words: str) -> set[str]:
    """Names of the modules that a run of escp has loaded, beside those of a bare Python."""
    code = (
        "import sys; bare = set(sys.modules); import os; sys.argv = ['escp', *sys.argv[1:]]\n"
        "os._exit = lambda code: None\n"
        "from escp.__main__ import run; run()\n"
        "print(*set(sys.modules) - bare, file=sys.stderr)"
    )
    env = {**os.environ, "ESCP_CONFIG": ""}
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, env=env, input=b"",
                          capture_output=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.decode().split())


@pytest.mark.parametrize(("word", "needed"), [("--version", VERSION_PAGE), ("--server", AGENT)])
def test_nothing_is_loaded_that_is_not_needed(word, needed):
    loaded = loaded_by(word)
    own = {name.removeprefix("escp.") for name in loaded if name.startswith("escp.")}
    rooms = {name.rpartition(".")[0] for name in own}
    own = {name for name in own - rooms if not name.startswith("_fast")}  # all of which is one file
    assert own - needed == set(), (
        "what needs these modules may import them where it is used: docs/architecture.md, Start-up"
    )
    assert not loaded & SLOW_FOR[word]


def test_local_copy_loads_nothing_for_other_hosts(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    loaded = loaded_by(str(tmp_path / "a"), str(tmp_path / "b"))
    own = {name.removeprefix("escp.") for name in loaded if name.startswith("escp.")}
    assert "jobs.local" in own
    assert not own & set(
        "control.channel control.codec control.course lean.sockets remote.agentlink remote.child remote.ssh "
        "streams.leg streams.streams ui.meter _fast.patterns".split()
    )
    assert not loaded & (SLOW | {"_json", "_socket", "contextlib", "json", "math", "struct"})
