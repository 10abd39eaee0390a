"""Configuration files, their host blocks and the environment: what counts, and what is refused where."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from escp.errors import UsageError
from escp.options import config, configfile
from escp.options.keys import NOT_CONFIGURABLE, list_kinds
from escp.options.options import parse_options
from escp.options.parser import build_parser

KINDS = list_kinds(build_parser())
COMMAND = ("a", "host:b")
EXAMPLE = Path(__file__).parents[2] / "docs" / "escp.conf.example"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the one configuration file that is read."""

    def write(text, name="escp.conf"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        path.chmod(0o600)
        monkeypatch.setenv("ESCP_CONFIG", str(path))
        return path

    return write


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Writes the system's file and the user's."""

    def write(system, user):
        monkeypatch.delenv("ESCP_CONFIG")
        monkeypatch.setattr(configfile, "SYSTEM_FILE", str(tmp_path / "system.conf"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
        (tmp_path / "xdg").mkdir()
        for path, text in ((tmp_path / "system.conf", system), (tmp_path / "xdg" / "escp.conf", user)):
            path.write_text(textwrap.dedent(text))
            path.chmod(0o644)

    return write


def parse(*argv, operands=COMMAND):
    return parse_options([*argv, *operands])


def refuse(*argv, operands=COMMAND):
    with pytest.raises(UsageError) as caught:
        parse(*argv, operands=operands)
    return str(caught.value)


def test_without_pyyaml_a_file_is_refused_in_one_sentence(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = write("parallel: 2\n")
    assert refuse() == f"can't read the configuration {path}: the Python package PyYAML is missing"
    monkeypatch.setenv("ESCP_CONFIG", "")
    assert parse().n_streams == 4


# --- Every key ---------------------------------------------------------------------------------------

# key: what stands in the file, the field of Options and what it has then.
EXAMPLES = {
    "ssh-port": ("2222", "ssh_port", 2222),
    "identity": ("[k1, k2]", "ssh_args", ("-i", "k1", "-i", "k2")),
    "ssh-config": ("~/cfg", "ssh_args", ("-F", os.path.expanduser("~/cfg"))),
    "jump": ("gate", "ssh_args", ("-J", "gate")),
    "ssh-cipher": ("aes128-ctr", "ssh_args", ("-c", "aes128-ctr")),
    "ssh-option": ("[A=b, C=d]", "ssh_args", ("-o", "A=b", "-o", "C=d")),
    "ssh": ("/opt/ssh", "ssh_program", "/opt/ssh"),
    "ipv4": ("true", "ssh_args", ("-4",)),
    "ipv6": ("yes", "ssh_args", ("-6",)),
    "forward-agent": ("true", "ssh_args", ("-A",)),
    "batch": ("true", "batch", True),
    "tls-dir": ("~/certificates", "tls_folder", os.path.expanduser("~/certificates")),
    "escp": ("/opt/escp --logfile x", "agent_command", "/opt/escp --logfile x"),
    "push-agent": ("true", "agent_command", ""),
    "agent-tree": ("~/tree", "agent_tree", os.path.expanduser("~/tree")),
    "archive": ("true", "is_archive", True),
    "remove-source-files": ("true", "removes_sources", True),
    "mkpath": ("true", "makes_path", True),
    "ignore-existing": ("true", "selection", "missing"),
    "chmod": ("D755", "mode_rules", [0o755 | 1 << 25]),
    "min-size": ("1K", "min_bytes", 1024),
    "max-size": ("1KB", "below_bytes", 1001),
    "max-delete": ("7", "max_deletions", 7),
    "itemize": ("true", "itemizes", True),
    "log-files": ("true", "logs_files", True),
    "fallback": ("scp", "fallback", "scp"),
    "recursive": ("true", "is_recursive", True),
    "compress": ("on", "has_compression", True),
    "limit": ("100M", "limit_bytes_per_s", 100_000_000),
    "relay": ("false", "is_direct_hosts", True),
    "direct": ("true", "is_direct_hosts", True),
    "nochecksum": ("true", "has_checksum", False),
    "resume": ("true", "resumes", True),
    "partial-min": ("2M", "partial_min", 2 << 20),
    "no-partial": ("true", "partial_min", 0),
    "trust-partial": ("true", "trusts_parts", True),
    "null": ("true", "is_null_separated", True),
    "include": ("'*.c'", "filters", ((True, b"*.c"),)),
    "exclude": ("['*.o', /tmp/]", "filters", ((False, b"*.o"), (False, b"/tmp/"))),
    "update": ("true", "updates", True),
    "skip-unchanged": ("true", "skips_unchanged", True),
    "checksum": ("true", "compares_digests", True),
    "dry-run": ("true", "is_dry_run", True),
    "preserve": ("true", "keeps_attributes", True),
    "owner": ("true", "keeps_owner", True),
    "numeric-ids": ("true", "has_numeric_ids", False),  # without owner it waits
    "xattrs": ("true", "keeps_xattrs", True),
    "acls": ("true", "keeps_acls", True),
    "links": ("true", "keeps_links", True),
    "hard-links": ("true", "keeps_hard_links", True),
    "sparse": ("true", "is_sparse", True),
    "inplace": ("true", "is_inplace", True),
    "fsync": ("true", "is_durable", True),
    "verify": ("true", "reads_back", True),
    "devices": ("true", "keeps_devices", True),
    "data-host": ("10.0.0.1", "data_host", "10.0.0.1"),
    "bind": ("10.0.0.2", "bind_address", "10.0.0.2"),
    "reverse": ("true", "is_reverse", True),
    "tunnel": ("never", "tunnel", "never"),
    "reconnect-timeout": ("90s", "reconnect_s", 90),
    "escp-port": ("50000", "port", 50000),
    "escp-portrange": ("3", "n_ports", 4),
    "parallel": ("8", "n_streams", 8),
    "blocksize": ("4M", "block_bytes", 4 << 20),
    "nodirect": ("true", "is_direct", False),
    "ioengine": ("posix::dummy", "receive_engine", "dummy"),
    "cpumask": ("10", "cpumask", 0x10),
    "nodemask": ("0x3", "nodemask", 3),
    "quiet": ("true", "is_quiet", True),
    "verbose": ("2", "verbosity", 2),
    "bits": ("true", "shows_bits", True),
    "stats": ("5m", "stats_s", 300),
    "retry": ("3", "n_retries", 3),
    "stop-after": ("2h", "stop_s", 7200),
    "json": ("true", "json", True),
    "metrics": ("~/x.prom", "metrics", os.path.expanduser("~/x.prom")),
    "notify": ("mail me", "notify", "mail me"),
    "logfile": ("LOCAL3", "logfile", "LOCAL3"),
}


def has(options, field, expected):
    value = getattr(options, field)
    if field == "ssh_args":
        return any(value[at : at + len(expected)] == expected for at in range(len(value)))
    return value == expected


def test_every_long_option_is_a_key_or_says_why_not():
    assert set(EXAMPLES) == set(KINDS)
    assert set(KINDS) | set(NOT_CONFIGURABLE) == set(build_parser().list_keys())


@pytest.mark.parametrize("key", EXAMPLES)
def test_every_key_counts_in_a_file(write, key):
    text, field, expected = EXAMPLES[key]
    assert not has(parse(), field, expected) or key == "numeric-ids"
    write(f"{key}: {text}\n")
    assert has(parse(), field, expected)
    write(f"{key.replace('-', '_')}: {text}\n")
    assert has(parse(), field, expected)


@pytest.mark.parametrize("key", EXAMPLES)
def test_every_key_counts_in_the_environment(monkeypatch, key):
    text, field, expected = EXAMPLES[key]
    if text.startswith("["):
        text = "\n".join(text.strip("[]").replace("'", "").split(", "))
    monkeypatch.setenv(config.variable_name(key), text.strip("'").replace("~", os.path.expanduser("~")))
    assert has(parse(), field, expected)


@pytest.mark.parametrize("key", [key for key in EXAMPLES if KINDS[key].shape == config.FLAG])
@pytest.mark.parametrize("false", ["false", "null"])
def test_false_takes_a_flag_back(write, monkeypatch, key, false):
    _, field, expected = EXAMPLES[key]
    write(f"{key}: true\nhosts:\n  host:\n    {key}: {false}\n")
    if key != "numeric-ids":
        assert not has(parse(), field, expected)
        assert has(parse(operands=("a", "other:b")), field, expected)
        for text in ("0", "no", ""):
            monkeypatch.setenv(config.variable_name(key), text)
            assert not has(parse(operands=("a", "other:b")), field, expected)


@pytest.mark.parametrize("key", sorted(NOT_CONFIGURABLE))
def test_what_is_for_one_command_is_no_key(write, monkeypatch, key):
    write(f"\n{key}: true\n")
    assert f"line 2: '{key}' " in refuse() and "there is no key" not in refuse()
    monkeypatch.setenv("ESCP_CONFIG", "")
    monkeypatch.setenv(config.variable_name(key), "1")  # module systems set ESCP_VERSION
    assert parse() == parse_options(COMMAND)
    assert not parse().is_server and parse().filelist is None and not parse().shows_version


def test_own_variables_are_no_options():
    others = {configfile.FILES_VARIABLE, "ESCP_AEAD", "ESCP_BUILD", "ESCP_REQUIRE"}
    names = {config.variable_name(key) for key in build_parser().list_keys()}
    assert not names & others and not any(name.startswith("ESCP_TEST_") for name in names)


def test_unknown_variables_are_ignored(monkeypatch):
    before = parse()
    monkeypatch.setenv("ESCP_ROOT", "/opt/escp")
    assert parse() == before


def read_example():
    """docs/escp.conf.example: the keys that it shows commented out, and the file with those comments gone."""
    text = EXAMPLE.read_text().partition("\n#server:")[0]  # tests/options/test_rules.py
    keys = [config.normalise_key(key) for key in re.findall(r"^#([a-z0-9_-]+):", text, re.M)]
    return keys, re.sub(r"^#(?=[a-z0-9_-]+:|  )", "", text, flags=re.M)


def test_the_example_shows_every_key_once(write):
    keys, text = read_example()
    assert sorted(keys) == sorted([*KINDS, config.HOSTS])
    write(EXAMPLE.read_text())
    assert parse() == parse_options(COMMAND)
    write(text)
    options = parse(operands=("a", "dtn1.example.org:b"))
    assert options.agent_command == "/opt/escp/bin/escp" and options.n_streams == 8
    assert parse().n_streams == 4


def test_what_the_example_calls_a_default_is_one(write):
    for line in re.findall(r"^#([a-z0-9_-]+: .*?) +# the default$", EXAMPLE.read_text(), re.M):
        write("")
        before = parse()
        write(line + "\n")
        assert parse() == before, line


# --- Which one counts --------------------------------------------------------------------------------


def test_flags_beat_environment_beats_user_beats_system(both, monkeypatch):
    both("parallel: 2\nlimit: 1M\nbits: true\ncompress: true\n", "parallel: 3\nlimit: 2M\ncompress: false\n")
    options = parse()
    assert (options.n_streams, options.limit_bytes_per_s) == (3, 2_000_000)
    assert options.shows_bits and not options.has_compression
    monkeypatch.setenv("ESCP_PARALLEL", "5")
    monkeypatch.setenv("ESCP_BITS", "0")
    options = parse()
    assert (options.n_streams, options.limit_bytes_per_s, options.shows_bits) == (5, 2_000_000, False)
    assert parse("-t", "6").n_streams == 6


def test_null_and_an_empty_variable_take_a_value_back(both, monkeypatch):
    both("limit: 1M\nparallel: 2\nescp_port: 5000\n", "limit: null\nescp-port: ~\n")
    assert (parse().limit_bytes_per_s, parse().n_streams, parse().port) == (None, 2, 1232)
    monkeypatch.setenv("ESCP_PARALLEL", "")
    assert parse().n_streams == 4


def test_lists_add_up_with_the_strongest_first(both, monkeypatch):
    both("ssh-option: [A=1, B=1]\nexclude: '*.o'\n", "ssh-option: A=2\ninclude: x\nexclude: [y]\n")
    assert parse("-o", "A=3").ssh_args[5:-1] == ("-o", "A=3", "-o", "A=2", "-o", "A=1", "-o", "B=1")
    assert parse("--exclude", "z").filters == ((False, b"z"), (True, b"x"), (False, b"y"), (False, b"*.o"))
    monkeypatch.setenv("ESCP_SSH_OPTION", "A=4\nC=4\n")
    monkeypatch.setenv("ESCP_EXCLUDE", "")
    assert parse().ssh_args[5:9] == ("-o", "A=4", "-o", "C=4")
    assert parse().filters == ((True, b"x"),)


def test_an_empty_list_takes_a_list_back(both):
    both("identity: [k1]\n", "identity: []\n")
    assert "-i" not in parse().ssh_args


def test_verbosity_of_the_command_line_counts_alone(write):
    write("verbose: true\n")
    assert parse().verbosity == 1
    assert parse("-vv").verbosity == 2


def test_relay_and_direct_are_one_switch(both):
    both("direct: true\n", "relay: true\n")
    assert not parse().is_direct_hosts
    assert parse("-R").is_direct_hosts


def test_ipv4_false_says_nothing_about_ipv6(both):
    both("ipv6: true\n", "ipv4: false\n")
    assert "-6" in parse().ssh_args
    assert "-4" in parse("-4").ssh_args and "-6" not in parse("-4").ssh_args


def test_what_does_nothing_without_another_option_waits_for_it_in_a_configuration(write, monkeypatch):
    write("log-files: true\nnull: true\nmax-delete: 3\ntrust-partial: true\n")
    assert parse().logs_files
    assert "there is no log" in refuse("--log-files")
    monkeypatch.setenv("ESCP_LOGFILE", "LOCAL3")
    assert parse("--log-files").logs_files  # some log is configured
    parse("-r", "--delete", "--max-delete", "3")


def test_numeric_ids_wait_for_owner(write):
    write("numeric-ids: true\n")
    assert not parse().has_numeric_ids
    assert parse("--owner").has_numeric_ids
    write("{}\n")
    assert "no --owner" in refuse("--numeric-ids")


@pytest.mark.parametrize("flag", ["-h", "--version", "-L", "--server"])
def test_pages_do_not_need_a_sound_configuration(write, flag):
    write("nonsense: [\n")
    parse_options([flag])
    assert "nonsense" not in refuse() and "line 2" in refuse()


# --- Hosts -------------------------------------------------------------------------------------------

HOSTS = """\
parallel: 2
hosts:
  "*":
    parallel: 3
  dtn*.example.org:
    parallel: 4
    escp: /opt/escp/bin/escp
    data-host: 10.1.1.1
  root@dtn1.example.org:
    parallel: 5
    ssh-port: 2222
  other:
    limit: 1M
    escp: other-escp
"""


@pytest.mark.parametrize(
    ("target", "n_streams", "command"),
    [
        ("elsewhere:b", 3, "escp"),
        ("dtn1.example.org:b", 4, "/opt/escp/bin/escp"),
        ("me@dtn1.example.org:b", 4, "/opt/escp/bin/escp"),
        ("root@dtn1.example.org:b", 5, "/opt/escp/bin/escp"),
        ("scp://root@dtn1.example.org:22/b", 5, "/opt/escp/bin/escp"),
        ("b", 2, "escp"),
        ("./dtn1.example.org:b", 2, "escp"),
    ],
)
def test_the_last_block_that_fits_the_host_counts(write, target, n_streams, command):
    write(HOSTS)
    options = parse(operands=("a", target))
    assert (options.n_streams, options.agent_command) == (n_streams, command)
    assert parse("-t", "7", operands=("a", target)).n_streams == 7


def test_a_source_has_its_block_and_the_target_counts_more(write):
    write(HOSTS)
    assert parse(operands=("other:a", "b")).limit_bytes_per_s == 1_000_000
    options = parse(operands=("dtn1.example.org:a", "other:b"))
    assert (options.n_streams, options.limit_bytes_per_s) == (3, 1_000_000)
    assert options.agent_command == "other-escp"
    options = parse(operands=("other:a", "dtn1.example.org:b"))
    assert (options.n_streams, options.agent_command) == (4, "/opt/escp/bin/escp")


def test_each_of_several_hosts_keeps_its_own_login(write):
    write(HOSTS)
    options = parse(operands=("root@dtn1.example.org:a", "other:c", "c", "other:b"))
    dtn, other, here = options.sources
    own = options.for_host(dtn)
    assert (own.agent_command, own.ssh_port, own.data_host) == ("/opt/escp/bin/escp", 2222, "10.1.1.1")
    assert (own.n_streams, own.sources) == (options.n_streams, options.sources)
    own = options.for_host(other)
    assert (own.agent_command, own.ssh_port, own.data_host) == ("other-escp", None, None)
    assert options.for_host(here) is options
    flagged = parse("-D", "x", operands=("dtn1.example.org:a", "other:b"))
    assert flagged.for_host(flagged.sources[0]).agent_command == "x"


def test_host_blocks_of_the_user_beat_the_systems(both):
    both("hosts:\n  host:\n    parallel: 2\n    bits: true\n", "parallel: 3\nhosts:\n  h*: {parallel: 5}\n")
    assert (parse().n_streams, parse().shows_bits) == (5, True)
    assert parse(operands=("a", "x:b")).n_streams == 3


# --- Mistakes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("bits: true\ncompres: true\n", 2, ["'compres'", "no key"]),
        ("compress: maybe\n", 1, ["compress", "'maybe'", "true or false"]),
        ("compress: 'true'\n", 1, ["compress", "true or false"]),
        ("compress: 1\n", 1, ["compress", "true or false"]),
        ("compress:\n", 1, ["compress", "nothing"]),
        ("compress: [true]\n", 1, ["compress", "a list"]),
        ("limit: true\n", 1, ["limit", "'true'", "one value"]),
        ("limit:\n", 1, ["limit", "nothing"]),
        ("limit: [1, 2]\n", 1, ["limit", "a list"]),
        ("\nlimit: fast\n", 2, ["limit", "'fast' is no rate"]),
        ("limit: {a: 1}\n", 1, ["limit", "a map"]),
        ("parallel: 4.5\n", 1, ["parallel", "4.5"]),
        ("parallel: 1_0\n", 1, ["parallel", "1_0"]),
        ("verbose: 10\n", 1, ["verbose", "0 to 9"]),
        ("tunnel: no\n", 1, ["tunnel", "'no'"]),
        ("tunnel: 'no'\n", 1, ["tunnel", "auto, never, always"]),
        ("cpumask: xyz\n", 1, ["cpumask", "no mask"]),
        ("escp_port: 0\n", 1, ["escp-port", "1 to 65535"]),
        ("logfile: LOCAL9\n", 1, ["logfile", "LOCAL9"]),
        ("exclude: [a, true]\n", 1, ["exclude", "a list"]),
        ("exclude: [a,\n  [b]]\n", 1, ["exclude", "a list"]),
        ("exclude: ['/']\n", 1, ["exclude", "empty"]),
        ("ipv4: true\nipv6: true\n", 2, ["ipv6", "ipv4", "contradicts"]),
        ("relay: true\ndirect: true\n", 2, ["direct", "relay", "contradicts"]),
        ("bits: true\nbits: false\n", 2, ["bits", "twice"]),
        ("escp_port: 1\nescp-port: 2\n", 2, ["escp-port", "twice"]),
        ("- bits\n", 1, ["key: value"]),
        ("bits\n", 1, ["key: value"]),
        ("? [a]\n: b\n", 1, ["no name"]),
        ("hosts: [a]\n", 1, ["hosts"]),
        ("hosts:\n  a: b\n", 2, ["'a'", "no keys of its own"]),
        ("hosts:\n  a:\n    limit: x\n", 3, ["limit", "'x'"]),
        ("hosts:\n  a:\n    hosts: {}\n", 3, ["no key 'hosts'"]),
        ("hosts:\n  a: {}\n  a: {}\n", 3, ["twice"]),
        ("a: &x b\n", 1, ["anchors"]),
        ("bits: *x\n", 1, ["aliases"]),
        ("bits: !!python/object:os.system true\n", 1, ["tags"]),
        ("bits: !x true\n", 1, ["tags"]),
        ("bits: true\n---\nbits: true\n", 2, ["second document"]),
        ("a: [b\n", 2, []),
        ("a: b: c\n", 1, []),
        ("a: \x01\n", None, []),
        ("\n\ta: b\n", 2, []),
        ("a: " + "[" * 100_000, 1, ["too deep"]),
        ("a: " + "{a: " * 100_000, 1, ["too deep"]),
    ],
)
def test_mistakes_are_told_with_file_line_and_key(write, text, line, parts):
    path = write(text if "a:\n" not in text else text + "\n")
    operands = ("a", "a:b")  # the host of the blocks above
    message = refuse(operands=operands)
    assert message.startswith(str(path))
    assert line is None or f"{path}, line {line}" in message
    for part in parts:
        assert part in message
    assert "\n" not in message


def test_a_slip_gets_a_suggestion(write):
    write("compres: true\n")
    with pytest.raises(UsageError) as caught:
        parse()
    assert caught.value.hint == "did you mean 'compress'?"


@pytest.mark.parametrize(
    ("name", "text"),
    [("ESCP_COMPRESS", "maybe"), ("ESCP_LIMIT", "fast"), ("ESCP_VERBOSE", "x"), ("ESCP_TUNNEL", "no")],
)
def test_mistakes_in_the_environment_name_the_variable(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    assert f"environment, {name}" in refuse() and repr(text) in refuse()


def test_contradiction_in_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("ESCP_IPV4", "1")
    monkeypatch.setenv("ESCP_IPV6", "1")
    assert "contradicts" in refuse()


def test_quotes_make_a_text(write):
    write("escp: 'yes'\nssh-option: ['true']\n")
    assert parse().agent_command == "yes" and "true" in parse().ssh_args


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}\n", "null\n", "hosts: {}\n"])
def test_an_empty_configuration_is_one(write, text):
    write(text)
    if text == "null\n":
        assert "key: value" in refuse()
    else:
        assert parse() == parse_options(COMMAND)


# --- The files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(write, mode):
    write("bits: true\n").chmod(mode)
    assert "others may write" in refuse()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_a_file_of_somebody_else_is_refused(write):
    os.chown(write("bits: true\n"), 12345, 0)
    assert "belongs to another user" in refuse()


def test_a_readable_file_is_fine(write):
    write("bits: true\n").chmod(0o644)
    assert parse().shows_bits


def test_a_large_file_is_refused(write):
    write("#" * (1 << 20))
    assert not parse().shows_bits
    write("#" * (1 << 20) + "\n")
    assert "1 MiB" in refuse()


def test_what_is_no_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ESCP_CONFIG", str(tmp_path))
    assert "not a file" in refuse()
    os.mkfifo(tmp_path / "pipe", 0o600)
    monkeypatch.setenv("ESCP_CONFIG", str(tmp_path / "pipe"))
    assert "not a file" in refuse()


def test_bytes_that_are_no_text_are_told_with_their_line(write):
    path = write("bits: true\n")
    path.write_bytes(b"bits: true\n# \xff\n")
    assert f"{path}, line 2: not UTF-8" in refuse()


def test_a_named_file_has_to_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("ESCP_CONFIG", str(tmp_path / "none"))
    assert "no such file" in refuse()
    for nothing in ("", "/dev/null"):
        monkeypatch.setenv("ESCP_CONFIG", nothing)
        assert parse().n_streams == 4


def test_files_that_are_looked_for():
    home = os.path.expanduser("~")
    user = f"{home}/.config/escp.conf"
    assert configfile.find_files({}) == [("/etc/escp.conf", False), (user, False)]
    assert configfile.find_files({"XDG_CONFIG_HOME": "relative"})[1] == (user, False)
    assert configfile.find_files({"XDG_CONFIG_HOME": "/x"})[1] == ("/x/escp.conf", False)
    assert configfile.find_files({"ESCP_CONFIG": "/y", "XDG_CONFIG_HOME": "/x"}) == [("/y", True)]


def run_python(code, **env):
    env = {**os.environ, "ESCP_CONFIG": "", **env}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_yaml_is_loaded_for_a_file_only(write):
    code = (
        "import sys; from escp.options.options import parse_options; parse_options(['a', 'h:b']); "
        "print('yaml' in sys.modules, 'fnmatch' in sys.modules)"
    )
    assert run_python(code) == "False False"
    assert run_python(code, ESCP_CONFIG=str(write("bits: true\n"))) == "True False"
