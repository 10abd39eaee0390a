"""What is said to somebody who types another copier's options, or misplaces escp's own."""

import pytest

from escp.errors import UsageError
from escp.options import habits
from escp.options.options import parse_options
from escp.options.parser import build_parser


def fail(*argv):
    with pytest.raises(UsageError) as caught:
        parse_options(list(argv))
    return str(caught.value), caught.value.hint


@pytest.mark.parametrize(
    ("words", "unknown", "hint"),
    [
        (["-rz"], "-z", "-C"),
        (["-vaz"], "-z", "-C"),
        (["--no-clobber"], "--no-clobber", "--ignore-existing"),
        (["--parents"], "--parents", "--mkpath"),
        (["--delete-after"], "--delete-after", "write --delete:"),
        (["--progress"], "--progress", "--json"),
        (["--info=progress2"], "--info", "--json"),
        (["--bwlimit=100"], "--bwlimit", "-l 10M"),
        (["--partial"], "--partial", "--resume"),
        (["--exclude-from=x"], "--exclude-from", "--exclude"),
        (["--files-from=x"], "--files-from", "--filelist"),
        (["-H"], "-H", "--hard-links"),
        (["-e", "ssh"], "-e", "-S"),
        (["--times"], "--times", "-p"),
        (["--recursve"], "--recursve", "did you mean --recursive?"),
        (["--recur"], "--recur", "did you mean --recursive?"),
        (["--paral", "4"], "--paral", "did you mean --parallel?"),
        (["--chekcsum"], "--chekcsum", "did you mean --checksum?"),
        (["-json"], "-j", "did you mean --json?"),
        (["--no-compress"], "--no-compress", "ESCP_COMPRESS=0"),
        (["--qqqqqq"], "--qqqqqq", "escp --help"),
        (["--nosuch"], "--nosuch", "escp --help"),
        (["--serv"], "--serv", "escp --help"),
        (["--super"], "--super", "as root"),
        (["--link-dest=x"], "--link-dest", "use rsync"),
        (["--dryrun"], "--dryrun", "did you mean --dry-run?"),
        (["--license"], "--license", "did you mean --licence?"),
        (["-9"], "-9", "escp --help"),
    ],
)
def test_unknown_option_is_told_with_what_was_meant(words, unknown, hint):
    message, said = fail(*words, "a", "h:")
    assert message == f"unknown option {unknown}" and hint in said


# All that `rsync --help` of 3.5 lists, but what escp has by the same name.
RSYNC = """
--8-bit-output --address --append --append-verify --atimes --backup --backup-dir --blocking-io --bwlimit --cc
--checksum-choice --checksum-seed --chown --compare-dest --compress-choice --compress-level --compress-threads
--confine-root --contimeout --copy-as --copy-dest --copy-devices --copy-dirlinks --copy-links
--copy-unsafe-links --crtimes --cvs-exclude --daemon --debug --del --delay-updates --delete-after
--delete-before --delete-delay --delete-during --delete-excluded --delete-missing-args --dirs --drop-cache
--early-input --exclude-from --executability --existing --fake-super --files-from --filter --force --from0
--fuzzy --group --groupmap --human-readable --iconv --ignore-errors --ignore-missing-args
--ignore-non-existing --ignore-times --inc-recursive --include-from --info --insecure-links
--itemize-changes --keep-dirlinks --link-dest --list-only --log-file --log-file-format --max-alloc
--modify-window --munge-links --no-implied-dirs --no-inc-recursive --no-motd --no-whole-file --old-args
--old-dirs --omit-dir-times --omit-link-times --one-file-system --only-write-batch --open-noatime
--out-format --outbuf --partial --partial-dir --password-file --perms --port --preallocate --progress
--prune-empty-dirs --read-batch --relative --remote-option --rsh --rsync-path --safe-links --secluded-args
--size-only --skip-compress --sockopts --specials --stderr --stop-at --suffix --super --temp-dir --timeout
--times --trust-sender --usermap --whole-file --write-batch --write-devices --zl --zt -8 -E -H -I -K -M -N
-U -W -b -d -e -f -g -k -m -x -y -z -@
""".split()


@pytest.mark.parametrize("name", RSYNC)
def test_every_option_of_rsync_is_answered(name):
    """By what does the same, or that nothing does: never by an option that only looks like it."""
    assert name not in build_parser()._option_string_actions
    _, hint = fail(name, "a", "h:")
    assert "did you mean" not in hint and "escp --help" not in hint


def test_no_hint_is_about_an_option_that_escp_has():
    known = build_parser()._option_string_actions
    for names, hint in habits._ELSEWHERE.items():
        assert not set(names.split()) & set(known), names
        options = {word.strip(".,:;()") for word in hint.split() if word.startswith("-")}
        for option in options - {"-rp"}:
            assert option in known or option[:2] in known, (names, option)
    for name in habits._OTHER_LETTERS:
        assert known[name].nargs != 0


@pytest.mark.parametrize("name", ["--escp_port", "--escp-port"])
def test_a_dash_and_an_underscore_are_the_same_in_long_names(name):
    assert parse_options([name, "5000", "a", "h:"]).port == 5000
    assert parse_options([f"{name}range=3", "a", "h:"]).n_ports == 4
    message, _ = fail(name, "0", "a", "h:")
    assert message.startswith(f"option {name}: ")


@pytest.mark.parametrize("name", ["--ssh-port", "--ssh_port", "--dry-run", "--dry_run", "--skip_unchanged"])
def test_every_long_name_can_be_written_with_either(name):
    value = ["22"] if "port" in name else []
    assert parse_options([name, *value, "a", "h:"]).target.host == "h"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["-t", "100"], "option -t (--parallel): '100'"),
        (["--parallel=100"], "option --parallel: '100'"),
        (["--limit", "fast"], "option --limit (-l): 'fast'"),
        (["-l", "fast"], "option -l: 'fast'"),
        (["--ssh-port=x"], "option --ssh-port (-P): 'x'"),
        (["-t", "4", "--parallel", "100"], "option --parallel: '100'"),
        (["--include", "["], "option --include: '['"),
        (["--exclude", "["], "option --exclude: '['"),
    ],
)
def test_option_is_named_as_it_was_written(words, shown):
    message, _ = fail(*words, "a", "h:")
    assert message.startswith(shown)


@pytest.mark.parametrize("words", [["a", "-r", "h:"], ["a", "h:", "-r"], ["a", "b", "--json", "c"]])
def test_option_behind_an_operand(words):
    message, hint = fail(*words)
    assert "stands behind an operand" in message and "before the first source" in hint


def test_file_that_looks_like_an_option(tmp_path, monkeypatch):
    """What a pattern of the shell found; and whatever `--` says is one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-r").touch()
    assert [source.path for source in parse_options(["a", "-r", "h:"]).sources] == [b"a", b"-r"]
    assert parse_options(["--", "a", "-x", "h:"]).sources[1].path == b"-x"


@pytest.mark.parametrize(
    ("words", "option", "part"),
    [
        (["-l", "a", "h:"], "-l", "--links"),
        (["-rt", "a", "h:"], "-t", "-p"),
        (["-i", "a", "h:"], "-i", "key"),
        (["-P", "a", "h:"], "-P", "port"),
        (["--logfile", "a", "h:"], "--logfile", ""),
        (["-o", "a"], "-o", "--owner"),
    ],
)
def test_option_that_took_a_source(words, option, part):
    message, hint = fail(*words)
    assert message in ("no target given", "nothing to copy")
    assert f"option {option} took 'a' as its value" in hint and part in hint


def test_value_that_another_copier_does_not_take(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for option, value in (("-P", "-r"), ("-t", "file"), ("-l", "file")):
        message, hint = fail(option, value, "b", "h:")
        assert value in message and "rsync's" in hint
