"""The `server:` block of /etc/escp.conf, and the words of a forced command: what they say; errors end it."""

import os
import re
from pathlib import Path

import pytest

from escp.errors import UsageError
from escp.options import configfile, rules, shown
from escp.options.agentoptions import parse_agent_options

EXAMPLE = Path(__file__).parents[2] / "docs" / "escp.conf.example"
WHOLE = """\
server:
  allow: [/data, ~/in]
  deny: /data/private
  read-only: true
  escp-port: 5000
  escp_portrange: 10
  limit: 8Gbit
  max-files: 1000
  max-bytes: 1T
  max-delete: 5
  max-time: 2h
  owner: false
  devices: no
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    path = tmp_path / "system.conf"
    monkeypatch.setattr(configfile, "SYSTEM_FILE", str(path))
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(text: str):
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


def parse(*words: str, env: dict[str, str] | None = None) -> "rules.Rules | None":
    return parse_agent_options([*words, "--server"], env or {}).rules


def test_no_block_and_no_word_forbid_nothing(write, tmp_path):
    assert parse() is None
    write("parallel: 8\n")
    assert parse() is None


def test_whole_block(write, tmp_path):
    path = write(WHOLE)
    found = parse(env={"ESCP_CONFIG": ""})  # the environment has no say
    assert found._asdict() | {"origins": {}} == {
        "restrict": (), "allow": ("/data", os.path.realpath(tmp_path / "in")), "deny": ("/data/private",),
        "is_read_only": True, "is_write_only": False, "first_port": 5000, "n_more_ports": 10,
        "limit_bytes_per_s": 1_000_000_000, "max_files": 1000, "max_bytes": 1 << 40, "max_deletions": 5,
        "max_time_s": 7200, "takes_owner": False, "takes_devices": False, "origins": {},
    }  # fmt: skip
    assert found.who("max-files") == f"max-files in {path}, line 8"
    assert found.is_confining


def test_words_add_to_the_block(write):
    write("server:\n  restrict: /data\n  write-only: true\n")
    found = parse("--restrict", "/data/in", "--write-only")
    assert found.restrict == ("/data", "/data/in") and found.is_write_only
    assert parse("--restrict=~").restrict[1] == os.path.expanduser("~")
    with pytest.raises(UsageError, match="leave nothing to be done"):
        parse("--read-only")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server:\n  alow: /data\n", "line 2: there is no key 'alow'"),
        ("server:\n  allow: data\n", "line 2, allow: 'data' is no absolute path"),
        ("server:\n  restrict: ~\n", "line 2: restrict: there is no value"),
        ("server:\n  allow:\n", "line 2: allow: nothing is not"),
        ("server:\n  allow: []\n", "line 2: allow: there is no value"),
        ("server:\n  max-files: many\n", "line 2, max-files: 'many' is not a number"),
        ("server:\n  read-only: perhaps\n", "line 2: read-only: 'perhaps' is not true or false"),
        ("server:\n  parallel: 4\n", "line 2: there is no key 'parallel'"),
        ("server: yes\n", "line 1: server: not `key: value`"),
        ("server:\n  read-only: true\n  write-only: true\n", "line 2 and write-only"),
        ("server:\n  limit: 1G\n  limit: 2G\n", "line 3: 'limit' is there twice"),
        ("server:\n  allow: [/a\n", "line"),
        ("server:\n  deny: [/data, /]\n", "line 2: / leaves nothing to be done"),
        ("- server:\n    allow: /a\n", "line 1: not `key: value`"),
        ("hosts:\n  dtn:\n    server:\n      allow: /a\n", "line 3: 'server'"),
        ("hosts:\n  dtn:\n    read-only: true\n", "line 3: "),
        ("sever:\n  allow: /a\n", "line 1: "),
        ("Server:\n  allow: /a\n", "line 1: "),
        ("parallel: 4\nread_only: true\n", "line 2: "),
        ("server:\n  allow: [/a]\nread-only: true\n", "line 3: "),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_served(write, text, said):
    path = write(text)
    with pytest.raises(UsageError) as caught:
        parse()
    assert str(path) in str(caught.value) and said in str(caught.value)
    assert shown.check_files()[1]


@pytest.mark.parametrize(
    "words", [("--restrict",), ("--restrict", "data"), ("--restrict", ""), ("--read-only=1",)]
)
def test_wrong_words(write, words):
    with pytest.raises(UsageError):
        parse(*words)


def test_others_may_not_write_the_file(write):
    write(WHOLE).chmod(0o666)
    with pytest.raises(UsageError, match="others may write"):
        parse()


def test_a_user_has_no_block(write, tmp_path):
    path = tmp_path / "user.conf"
    path.write_text("server:\n  allow: /\n")
    path.chmod(0o600)
    with pytest.raises(UsageError, match=r"line 1: 'server' counts in .*system\.conf only"):
        parse(env={"ESCP_CONFIG": str(path)})


def test_config_verbs_know_the_block(write, monkeypatch):
    path = write("parallel: 8\n" + WHOLE)
    monkeypatch.delenv("ESCP_CONFIG", raising=False)
    assert (f"{path}, server", "12 settings") in shown.check_files()[0]
    assert not shown.check_files()[1]
    listed = {one.name: one for one in shown.list_settings([])}
    assert listed["server.allow"].value == ["/data", "~/in"]
    assert listed["server.owner"] == ("server.owner", False, f"{path}, line 13")
    assert listed["parallel"].value == "8"


def test_the_example_shows_every_key(write):
    text = EXAMPLE.read_text()
    block = text[text.index("\n#server:") + 1 :]
    write(re.sub(r"^#", "", block, flags=re.M))
    found = configfile.read_server_block(rules.KINDS, rules.OWN_KEYS)
    assert sorted(setting.key for setting in found.settings) == sorted(rules.KINDS)
    assert rules.make_rules(found, ()).max_deletions == 1000


@pytest.mark.parametrize(
    ("block", "words", "found"),
    [
        ("", ["--max-bytes=10"], 10), ("  max-bytes: 5\n", ["--max-bytes=10"], 5),
        ("  max-bytes: 20\n", ["--max-bytes", "10"], 10), ("", ["--max-bytes=10", "--max-bytes=1K"], 10),
        ("", ["--max-bytes=1K", "--max-bytes=10", "--max-bytes=20"], 10), ("  max-files: 1\n", [], None),
    ],
)  # fmt: skip
def test_of_several_ceilings_the_least_counts(write, block, words, found):
    write(f"server:\n  owner: true\n{block}")
    made = parse_agent_options([*words, "--server"], {"ESCP_CONFIG": ""}).rules
    assert made.max_bytes == found
    if found == 10:
        assert made.who("max-bytes") == "--max-bytes 10"


def test_all_directories_and_all_kinds_of_words_count(write):
    write("server:\n  restrict: /data\n  max-time: 1h\n")
    words = ["--restrict=/data/a", "--restrict", "/data/a/b", "--write-only", "--limit=1M", "--max-files=2",
             "--max-delete=3", "--max-time=2h"]  # fmt: skip
    made = parse_agent_options([*words, "--server"], {"ESCP_CONFIG": ""}).rules
    assert made.restrict == ("/data", "/data/a", "/data/a/b") and made.is_write_only
    assert (made.max_files, made.max_deletions, made.max_time_s) == (2, 3, 3600)
    assert made.limit_bytes_per_s == rules.parse_rate("1M")


@pytest.mark.parametrize("word", ["--max-files=x", "--max-bytes=", "--limit", "--max-time=0", "--restrict=a"])
def test_words_that_are_no_rules(write, word):
    with pytest.raises(UsageError):
        parse_agent_options([word, "--server"], {"ESCP_CONFIG": ""})
