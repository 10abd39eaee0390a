"""Hints for somebody who knows rsync, cp or scp better than escp. Loaded only when something is wrong.

Nothing here changes what a command does.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_CUT = "run the same with --resume: what has arrived is not sent again"
_DELETED = "write --delete: it removes when all is copied and verified, but not what --exclude leaves out"
_METER = "a terminal has a meter without it; for programs there is --json"
_TIMES = "-p keeps times and modes"
_COMPRESSED = "write -C (--compress)"
_NOTHING = "escp has nothing like it: use rsync for that"
_NEEDLESS = "leave it out: escp has no need of it"
_REPLACED = "a file that is there is always replaced, by a whole one"

# Options that escp lacks, by each name that people know: what does the same here, or why nothing does.
_ELSEWHERE = {
    "-z --compress-choice --zc --compress-level --zl --compress-threads --zt --skip-compress": _COMPRESSED,
    "--delete-before --delete-during --delete-delay --delete-after --del": _DELETED,
    "--delete-excluded": _DELETED,
    "--remove-sent-files": "write --remove-source-files",
    "--existing --ignore-non-existing --backup -b --backup-dir --suffix --prune-empty-dirs -m": _NOTHING,
    "--copy-devices --link-dest --compare-dest --copy-dest --fuzzy -y --iconv --fake-super": _NOTHING,
    "--write-batch --only-write-batch --read-batch --dirs --old-dirs --old-d": _NOTHING,
    "--write-devices --munge-links": _NOTHING,
    "--8-bit-output -8 --blocking-io --outbuf --preallocate --protect-args --secluded-args": _NEEDLESS,
    "--old-args --inc-recursive --no-inc-recursive --i-r --no-i-r --no-implied-dirs": _NEEDLESS,
    "--no-motd --max-alloc --sockopts --protocol --trust-sender --open-noatime --stderr": _NEEDLESS,
    "--no-whole-file --no-W --drop-cache": _NEEDLESS,
    "--msgs2stderr --early-input --daemon --confine-root --insecure-links --delay-updates": _NEEDLESS,
    "--progress --info --human-readable": _METER,
    "--itemize-changes --out-format --log-file-format --debug": "write --itemize, or for programs --json",
    "--checksum-choice --cc --checksum-seed": "write --checksum; --manifest writes down SHA-256",
    "--temp-dir": "a file is in the target's directory from the start, without a name until it is verified",
    "--super --copy-as": "log in as root, and write --owner or --devices",
    "--remote-option -M": "write it behind the command of -D: -D 'escp --logfile FILE'",
    "--modify-window -@": "--skip-unchanged knows the clocks of coarse file systems",
    "--ignore-errors": "--delete removes nothing where anything has failed",
    "--ignore-missing-args --delete-missing-args": "the other sources are copied; the exit status is 1",
    "--stop-at --time-limit": "write --stop-after TIME",
    "--password --password-file": "ssh asks for passwords; -i names a key",
    "--address": "write --bind ADDRESS",
    "--config": "ESCP_CONFIG=FILE in the environment names another configuration",
    "--target-directory": "the target is the last operand",
    "--bwlimit --bandwidth --rate": "write -l (--limit) with a unit: -l 10M is 10 MB/s, -l 80Mbit the same",
    "--partial --partial-dir --append --append-verify --continue": _CUT,
    "--exclude-from --include-from --filter --cvs-exclude": "write --exclude or --include for each pattern",
    "--files-from --from0": "write --filelist FILE, and -0 if its names end with NULs",
    "--times --perms --executability -E --atimes -U --omit-dir-times --crtimes -N --omit-link-times": _TIMES,
    "--group -g --chown --usermap --groupmap": "write --owner: it keeps user and group, as root",
    "--specials": "write --devices: it makes named pipes, too",
    "-H": "write --hard-links",
    "-k --copy-links --copy-dirlinks --copy-unsafe-links --safe-links --dereference": (
        "links are followed unless --links is given"
    ),
    "-K --keep-dirlinks": "name the link as the target, with a slash behind it",
    "-d --no-dereference": "write --links to copy links as links",
    "--size-only": "write --skip-unchanged, with -p, or --checksum",
    "--ignore-times -I --whole-file -W --force -f": _REPLACED,
    "--no-clobber --interactive": "write --ignore-existing",
    "--list-only": "write -n (--dry-run)",
    "--rsh -e": "write -S PROGRAM; ssh's own options are -P, -i, -F, -J and -o here",
    "--rsync-path": "write -D PATH (--escp): the command that starts escp there",
    "--port": "write -P for ssh's port, --escp_port for that of the data",
    "--timeout --contimeout": "write -o ConnectTimeout=SECONDS for the login",
    "--log-file": "write --logfile FILE",
    "--one-file-system -x": "write --exclude for what is to be left out",
    "--parents --relative": "write --mkpath: it makes the directories that lead to the target",
    "--reflink": "on this host extents are shared wherever the file system can",
    "--threads --streams --jobs -j": "write -t STREAMS (--parallel)",
    "--buffer-size --block-size": "write --blocksize SIZE",
}  # fmt: skip
# Letters that take a value here; with rsync or cp they take none, or another one.
_OTHER_LETTERS = {
    "-l": "it limits the rate, as with scp; rsync's -l is --links",
    "-t": "it is the number of streams; rsync's -t is -p",
    "-P": "it is ssh's port, as with scp; what rsync's -P asks for is not needed",
    "-o": "it is an option for ssh, as with scp; rsync's -o is --owner",
    "-c": "it is the cipher of the login, as with scp; rsync's -c is --checksum",
    "-S": "it is the program to log in with, as with scp; rsync's -S is --sparse",
    "-D": "it is the command that starts escp there; rsync's -D is --devices",
    "-X": "it is one of scp's; rsync's -X is --xattrs",
    "-i": "it is the key to log in with, as with scp; rsync's -i is --itemize",
    "-F": "it is ssh's configuration, as with scp",
    "-J": "it is the jump host, as with scp",
}
_OWN = ("--server",)  # what escp says to itself
_ALIKE = 0.75  # of 1: --recurse is --recursive, but --super not --update
_BEFORE = "options stand before the first source"


def explain_unknown(name: str, known: "Collection[str]", word: str) -> str:
    """A hint for an option that escp lacks. *word*: the word of the command line in which it stands."""
    if not word.startswith("--") and f"-{word}" in known:
        return f"did you mean -{word}?"
    for names, hint in _ELSEWHERE.items():
        if name in names.split() or f"-{word}" in names.split():
            return hint
    plain = name.removeprefix("--no-") if name.startswith("--no-") else ""
    if plain and f"--{plain}" in known:
        return f"leave --{plain} out, or take back what a configuration says: ESCP_{_to_variable(plain)}=0"
    if name.startswith("--"):
        named = [one[2:] for one in known if one.startswith("--") and one not in _OWN]
        begun = sorted(one for one in named if one.startswith(name[2:]))
        if close := begun[0] if begun else find_close(name[2:], named):
            return f"did you mean --{close}?"
    return "see `escp --help`"


def find_close(word: str, words: "Collection[str]") -> str:
    """Of *words* that for which *word* may be a slip, or "": a wrong guess is worse than none."""
    from difflib import get_close_matches  # lazy: only a mistake needs it

    return "".join(get_close_matches(word.lower(), words, 1, _ALIKE))


def _to_variable(name: str) -> str:
    return name.replace("-", "_").upper()


def explain_value(name: str, value: str) -> str:
    """A hint where *value* is wrong for the option *name*, and may have been meant otherwise; or ""."""
    if name in _OTHER_LETTERS and (value.startswith("-") or ":" in value or os.path.lexists(value)):
        return f"{name} takes a value: {_OTHER_LETTERS[name]}"
    return ""


def explain_swallowed(name: str, value: str) -> str:
    """A hint where an operand is missing, and *value* was the last word that an option took."""
    more = f": {_OTHER_LETTERS[name]}" if name in _OTHER_LETTERS else ""
    return f"option {name} took '{value}' as its value{more}"


def explain_behind(word: str) -> tuple[str, str]:
    """What to say of an option among the operands, and its hint."""
    return f"'{word}' stands behind an operand, and no file has that name", (
        f"{_BEFORE}; a file of that name is written ./{word}"
    )
