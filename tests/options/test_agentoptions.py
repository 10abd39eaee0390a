"""What an agent takes from its own words and its own host's files: little, and early enough to be fast."""

import os

import pytest

from escp.errors import UsageError
from escp.options.agentoptions import AgentOptions, parse_agent_options

NONE = AgentOptions(None, None, None, False)


@pytest.fixture
def write(tmp_path):
    """Writes the agent's configuration file; the environment that names it."""

    def write(text):
        path = tmp_path / "escp.conf"
        path.write_text(text)
        path.chmod(0o600)
        return {"ESCP_CONFIG": str(path)}

    return write


def parse(*argv, env=None):
    return parse_agent_options(argv, env or {"ESCP_CONFIG": ""})


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--server"], NONE),
        (["--server", "--embedded"], NONE._replace(is_embedded=True)),
        (["--logfile", "x", "--server"], NONE._replace(logfile="x")),
        (["--server", "--logfile=x"], NONE._replace(logfile="x")),
        (["--log-files", "--server", "--logfile=x"], NONE._replace(logfile="x", logs_files=True)),
        (["--cpumask", "10", "--nodemask=0x1", "--logfile", "LOCAL1", "--server"],
         AgentOptions(16, 1, "LOCAL1", False)),
    ],
)  # fmt: skip
def test_words_in_any_order(argv, expected):
    assert parse(*argv) == expected


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["-v", "--server"], "'-v' is not for the agent"),
        (["--blocksize", "1M", "--server"], "'--blocksize' is not for the agent"),
        (["logfile", "--server"], "'logfile' is not for the agent"),
        (["--logfile", "--server"], "--logfile needs a value"),
        (["--server", "--cpumask"], "--cpumask needs a value"),
        (["--cpumask=", "--server"], "--cpumask needs a value"),
        (["--cpumask", "x", "--server"], "'x' is no mask"),
        (["--logfile", "LOCAL8", "--server"], "LOCAL8"),
        (["--log-files", "--server"], "option --log-files: there is no log"),
        (["--log-files=yes", "--logfile=x", "--server"], "'--log-files=yes' is not for the agent"),
    ],
)
def test_words_refused(argv, part):
    with pytest.raises(UsageError, match=r"^the remote escp's own options: ") as caught:
        parse(*argv)
    assert part in str(caught.value)


def test_files_give_the_agents_own_keys_and_words_beat_them(write):
    env = write("cpumask: 10\nnodemask: 1\nlogfile: ~/x\n")
    assert parse("--server", env=env) == AgentOptions(
        16, 1, os.path.expanduser("~/x"), False, is_logfile_configured=True
    )
    assert parse("--logfile", "y", "--cpumask", "1", "--server", env=env)[:3:2] == (1, "y")
    env = write("logfile: x\nlog-files: true\n")
    assert parse("--server", env=env) == NONE._replace(
        logfile="x", is_logfile_configured=True, logs_files=True
    )
    assert parse("--log-files", "--server", env=write("logfile: x\n")).logs_files
    assert parse("--server", env=write("log-files: true\n")).logfile is None  # it waits for a log


def test_what_is_for_the_initiator_is_passed_over(write):
    env = write(
        "limit: 1M\nescp: [\nx]\nnonsense: true\nhosts:\n  '*':\n    logfile: /tmp/no\n    cpumask: z\n"
    )
    assert parse("--server", env=env) == NONE


def test_the_environment_says_nothing_to_an_agent(write):
    env = {**write("cpumask: 1\n"), "ESCP_LOGFILE": "/tmp/no", "ESCP_CPUMASK": "2"}
    assert parse("--server", env=env) == NONE._replace(cpumask=1)


@pytest.mark.parametrize("text", ["cpumask: x\n", "logfile: [a]\n", "nodemask: true\n", "a: b: c\n"])
def test_mistakes_in_files_name_file_and_line(write, text):
    env = write(text)
    with pytest.raises(UsageError, match=f"own options: {env['ESCP_CONFIG']}, line 1"):
        parse("--server", env=env)


def test_null_is_no_value(write):
    assert parse("--server", env=write("cpumask: null\nlogfile: ~\n")) == NONE
