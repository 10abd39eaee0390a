"""Every check of a value, and what ssh gets on its command line."""

import os
import re
import socket

import pytest

from escp.constants import DEFAULT_PORT_COUNT
from escp.control import deletion as deletion  # all of TYPES
from escp.control import questions as questions
from escp.control import survey as survey
from escp.control.messages import TYPES, Chunk
from escp.errors import UsageError
from escp.options.location import NOWHERE
from escp.options.options import Options, parse_options
from escp.options.parser import build_parser
from escp.options.sshargs import SSH_SAFETY_ARGS
from escp.options.values import is_facility, parse_rate, parse_size


def parse(*argv):
    return parse_options([*argv, "a", "host:b"])


def ssh_args(*argv):
    args = parse(*argv).ssh_args
    assert args[: len(SSH_SAFETY_ARGS)] == SSH_SAFETY_ARGS
    return args[len(SSH_SAFETY_ARGS) :]


def test_fields_and_their_types_are_listed_alike():
    assert Options._fields == tuple(Options.__annotations__)


def test_defaults():
    options = parse()
    assert (options.n_streams, options.block_bytes, options.port, options.n_ports) == (4, 1 << 20, 1232, 11)
    assert options.n_ports == DEFAULT_PORT_COUNT
    assert options.limit_bytes_per_s is None and options.address_family is None and options.logfile is None
    assert options.is_direct and options.has_checksum
    assert (options.send_engine, options.receive_engine) == ("posix", "posix")
    assert (options.agent_command, options.ssh_program) == ("escp", "ssh")
    flags = ("is_recursive keeps_attributes has_compression is_embedded is_server batch is_quiet json "
             "shows_bits shows_help shows_version shows_licence")  # fmt: skip
    assert not any(getattr(options, name) for name in flags.split())


def test_options_are_frozen():
    with pytest.raises(AttributeError):
        parse().port = 1


def test_flags():
    options = parse("-rpCBq", "--bits", "--json", "--nodirect", "--nochecksum")
    assert options.is_recursive and options.keeps_attributes and options.has_compression
    assert options.batch and options.is_quiet
    assert options.shows_bits and options.json and not options.is_direct and not options.has_checksum


def test_operands_are_bytes_from_end_to_end():
    name = os.fsdecode(b"\xff\n-x")
    options = parse_options(["--", "-a", name, "u@h:" + name])
    assert [source.path for source in options.sources] == [b"-a", b"\xff\n-x"]
    assert (options.target.user, options.target.host, options.target.path) == ("u", "h", b"\xff\n-x")


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ([], "nothing to copy"),
        (["a"], "no target"),
        (["h:a", ""], "the target is empty"),
        (["--exclude", "- *.o", "h:a", "b"], "option --exclude: '- ...' is a rule of rsync's"),
        (["--include=+ *.o", "h:a", "b"], "option --include: '. ...' is a rule of rsync's"),
        (["--filelist", "list"], "no target"),
        (["--numeric-ids", "a", "b"], "no --owner"),
        (["--log-files", "a", "b"], "option --log-files: there is no log"),
        (["-0r", "a", "b"], "option -0 .--null.: there is no --filelist"),
        (["--max-delete=3", "a", "b"], "option --max-delete: nothing is removed without --delete"),
        (["--trust-partial", "a", "b"], "option --trust-partial: nothing that is there is used"),
        (["--days", "3", "a", "b"], "option --days: no certificate is made"),
        (["--json", "--json-fd=1", "a", "b"], "option --json-fd: 1 is standard output, which has"),
        (["--tunnel", "maybe", "a", "b"], "'maybe' is not one of auto, never, always"),
        (["--bind", "dtn1", "a", "b"], "'dtn1' is no address"),
        (["--cpumask", "xyz", "a", "b"], "'xyz' is no mask"),
        (["--cpumask", "0", "a", "b"], "'0' is no mask"),
        (["", "h:b"], "a source is empty"),
        (["a", "-h:b"], "begins with a dash"),
    ],
)
def test_operands_refused(argv, part):
    with pytest.raises(UsageError, match=part) as caught:
        parse_options(argv)
    assert caught.value.hint


def test_an_option_behind_the_operands_is_hinted_at():
    with pytest.raises(UsageError) as caught:
        parse_options(["a", "b", "-r"])
    assert "before the first source" in caught.value.hint


@pytest.mark.parametrize("flag", ["--server", "-h", "--help", "-V", "--version", "-L", "--selftest"])
def test_no_operands_are_needed_for_pages_and_the_agent(flag):
    options = parse_options([flag])
    assert options.sources == () and options.target == NOWHERE
    what = [options.is_server, options.shows_help, options.shows_version, options.shows_licence]
    assert [*what, options.is_selftest].count(True) == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("262144", 1 << 18), ("256k", 1 << 18), ("1M", 1 << 20), ("2G", 2 << 30)]
)
def test_sizes(text, expected):
    assert parse_size(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5M", "1T", "1 M", "0x10", "1_000", "٣", "1\n", "9" * 16])
def test_sizes_refused(text):
    with pytest.raises(UsageError, match="--x"):
        parse_size(text, "--x")


@pytest.mark.parametrize(("text", "expected"), [("256K", 1 << 18), ("768K", 3 << 18), ("32M", 32 << 20)])
def test_block_sizes(text, expected):
    assert parse("--blocksize", text).block_bytes == expected


@pytest.mark.parametrize(
    ("engine", "expected"),
    [("posix", 1 << 20), ("dummy", 1 << 20), ("shmem::posix", 512 << 10), ("dummy::shmem", 512 << 10)],
)
@pytest.mark.parametrize("words", [(), ("--blocksize", "auto")])
def test_blocks_of_memory_are_smaller(engine, expected, words):
    assert parse("--ioengine", engine, *words).block_bytes == expected
    assert parse("--ioengine", engine, "--blocksize", "2M").block_bytes == 2 << 20


@pytest.mark.parametrize("text", ["0", "1", "128K", "300K", "33M", "1G", "x"])
def test_block_sizes_refused(text):
    with pytest.raises(UsageError, match="--blocksize"):
        parse("--blocksize", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 128), ("8", 1024), ("1000", 128_000), ("100M", 100_000_000), ("100m", 100_000_000),
        ("100MB", 100_000_000), ("1.5G", 1_500_000_000), ("100MB/s", 100_000_000), ("800Mbit", 100_000_000),
        ("800mbit", 100_000_000), ("10Gbit/s", 1_250_000_000), ("2048bit", 256), ("500B", 500),
        ("10MiB", 10 << 20), ("1.5KiB", 1536), ("2GiB/s", 2 << 30),
    ],
)  # fmt: skip
def test_rates(text, expected):
    assert parse_rate(text) == expected
    assert parse("-l", text).limit_bytes_per_s == expected


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.5",
        "100Mb",
        "100/s",
        "M",
        "-1",
        "1e9",
        "9999999T",
        "1 M",
        "100B",
        "١",
        "inf",
        "nan",
        "1\n",
        "1iB",
        "1MIB",
    ],
)
def test_rates_refused(text):
    with pytest.raises(UsageError, match="-l"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["0", "65", "-1", "4.0", "x", "1_0", "٤"])
def test_streams_out_of_range_refused(text):
    with pytest.raises(UsageError, match="--parallel"):
        parse("-t", text)


def test_streams_in_range():
    assert [parse("-t", text).n_streams for text in ("1", "64")] == [1, 64]


def test_ports():
    options = parse("--escp_port", "50000", "--escp_portrange", "0")
    assert (options.port, options.n_ports) == (50000, 1)
    assert parse("--escp_port", "65535", "--escp_portrange", "0").n_ports == 1


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["--escp_port", "0"], "--escp_port"),
        (["--escp_port", "65536"], "--escp_port"),
        (["--escp_port", "65530"], "--escp_portrange"),
        (["--escp_portrange", "-1"], "--escp_portrange"),
        (["--escp_portrange", "64304"], "--escp_portrange"),
        (["-P", "0"], "-P"),
        (["-P", "ssh"], "-P"),
    ],
)
def test_ports_refused(argv, option):
    with pytest.raises(UsageError, match=f"option {option}:"):
        parse(*argv)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("posix", ("posix", "posix")), ("dummy", ("dummy", "dummy")), ("posix::dummy", ("posix", "dummy"))],
)
def test_engines(text, expected):
    options = parse(f"--ioengine={text}")
    assert (options.send_engine, options.receive_engine) == expected


@pytest.mark.parametrize("text", ["uring", "posix::", "::dummy", "posix:dummy", "a::b::c", "POSIX"])
def test_engines_refused(text):
    with pytest.raises(UsageError, match="--ioengine"):
        parse("--ioengine", text)


@pytest.mark.parametrize(
    ("text", "expected"), [("LOCAL0", True), ("LOCAL7", True), ("./LOCAL0", False), ("x", False)]
)
def test_log_destinations(text, expected):
    assert parse("--logfile", text).logfile == text
    assert is_facility(text) is expected


@pytest.mark.parametrize("text", ["LOCAL8", "LOCAL10"])
def test_log_facilities_that_do_not_exist_refused(text):
    with pytest.raises(UsageError, match="--logfile"):
        parse("--logfile", text)


@pytest.mark.parametrize(
    ("words", "local", "host", "path"),
    [
        ([], b".", None, b""),
        (["dtn2"], b".", "dtn2", b""),
        (["me@dtn2"], b".", "dtn2", b""),
        (["dtn2:/data"], b".", "dtn2", b"/data"),
        (["[fd00::1]:"], b".", "fd00::1", b""),
        (["/data"], b"/data", None, b""),
        (["here"], b"here", None, b""),  # a directory
        (["./no/such/one"], b"./no/such/one", None, b""),
        ([".", "dtn2"], b".", "dtn2", b""),
        (["dtn2:x", "/data"], b"/data", "dtn2", b"x"),
    ],
)
def test_operands_of_the_doctor(tmp_path, monkeypatch, words, local, host, path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    options = parse_options(["--doctor", *words])
    assert options.is_doctor and [source.path for source in options.sources] == [local]
    assert (options.target.host, options.target.path) == (host, path)


@pytest.mark.parametrize("words", [["a:", "b:"], ["/a", "/b"], ["a", "b"], ["-x:"], ["/a", "b:", "c:"]])
def test_operands_that_the_doctor_can_not_take(words):
    with pytest.raises(UsageError):
        parse_options(["--doctor", "--", *words])


def test_doctor_takes_the_blocks_of_the_configuration_for_its_host(tmp_path, monkeypatch):
    (tmp_path / "conf").write_text("hosts:\n  dtn2: {escp: /opt/escp}\n")
    (tmp_path / "conf").chmod(0o600)
    monkeypatch.setenv("ESCP_CONFIG", str(tmp_path / "conf"))
    assert parse_options(["--doctor", "dtn2"]).agent_command == "/opt/escp"
    assert parse_options(["--doctor", "dtn3"]).agent_command == "escp"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_embedded_copies_to_this_host(host):
    assert parse_options(["--embedded", "a", f"{host}:b"]).is_embedded


@pytest.mark.parametrize("target", ["other:b", "me@localhost:b"])
def test_embedded_elsewhere_refused(target):
    with pytest.raises(UsageError, match="--embedded"):
        parse_options(["--embedded", "a", target])


def test_address_family():
    assert parse("-4").address_family == socket.AF_INET
    assert parse("-6").address_family == socket.AF_INET6
    assert parse("-46").address_family == socket.AF_INET6  # the last one counts, as with ssh


def test_ssh_gets_safety_first_and_no_agent_forwarding_last():
    assert ssh_args() == ("-oForwardAgent=no",)
    assert ssh_args("-A") == ("-A",)
    assert ssh_args("-o", "ForwardAgent=yes") == ("-o", "ForwardAgent=yes", "-oForwardAgent=no")


def test_ssh_gets_what_is_meant_for_it_in_order():
    argv = [
        "-vv",
        "-P22",
        "-i",
        "k1",
        "-ik2",
        "-F",
        "cfg",
        "-J",
        "a,b",
        "-c",
        "aes",
        "-o",
        "A=1",
        "-oB=2",
        "-6",
        "-B",
        "-C",
    ]
    assert ssh_args(*argv) == (
        "-6", "-v", "-F", "cfg", "-J", "a,b", "-c", "aes", "-i", "k1", "-i", "k2",
        "-oBatchMode=yes", "-o", "A=1", "-o", "B=2", "-oForwardAgent=no",
    )  # fmt: skip


@pytest.mark.parametrize(("flags", "expected"), [("-v", 0), ("-vv", 1), ("-vvvv", 3)])
def test_ssh_becomes_verbose_from_vv(flags, expected):
    assert ssh_args(flags).count("-v") == expected
    assert parse(flags).verbosity == len(flags) - 1


def test_ssh_is_quiet_with_q():
    assert "-q" in ssh_args("-q")


def test_operands_may_be_anywhere():
    options = parse_options(["a", "h:b", "g:c", "d"])
    assert [source.host for source in options.sources] == [None, "h", "g"] and not options.target.is_remote
    assert parse_options(["--filelist", "-", "h:"]).sources == ()


def test_filters_keep_their_order():
    options = parse("--include", "*.c", "--exclude", "*")
    assert options.filters == ((True, b"*.c"), (False, b"*"))


def test_masks_are_hexadecimal():
    options = parse("--cpumask", "FF", "--nodemask", "0x2")
    assert (options.cpumask, options.nodemask) == (255, 2)


def test_no_option_is_about_encryption():
    """It can't be switched off: no option, no key of a file, no field of a message names it (-c is ssh's)."""
    options = {word for action in build_parser()._actions for word in action.option_strings}
    fields = {name for kind in (Chunk, *TYPES.values()) for name in kind._fields}
    assert len(options) > 50 and len(fields) > 40
    for word in (options | fields | set(Options._fields)) - {"--ssh-cipher"}:
        assert not re.search("crypt|cipher|aead|plain|clear|secure|seal", word), word
