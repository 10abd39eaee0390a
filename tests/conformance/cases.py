"""The table of cases: sources x targets x options, and what does not fit into a product.

A case's id says all of it: `push/file/existing-dir/-p`. In a word or a link {top} is the sandbox, {port} is
sshd's port; paths of the command line are relative to `here`, those behind `box:` to `home`.
"""

import os
from collections import namedtuple
from collections.abc import Iterable, Iterator, Mapping

from tests.conformance.tree import Fifo, File, Folder, HardLink, Link, NullDevice

PUSH, PULL, LOCAL, RELAY = "push", "pull", "local", "relay"

Case = namedtuple("Case", "id tree words options umask", defaults=((), 0o022))
Side = namedtuple("Side", "folder prefix")
Source = namedtuple("Source", "words tree")  # both relative to the side's folder
Target = namedtuple("Target", "word tree")

HERE = Side("here", "")
BOX = Side("home", "box:")
SIDES = {PUSH: (HERE, BOX), PULL: (BOX, HERE), LOCAL: (HERE, HERE), RELAY: (BOX, BOX)}

PLAIN: tuple[str, ...] = ()
R, P, RP = ("-r",), ("-p",), ("-r", "-p")
RECURSES = {
    PUSH: R,
    PULL: R,
    LOCAL: R,
    RELAY: RP,
}  # between hosts scp keeps directories' times even without -p

TREE: Mapping[str, object] = {
    "dir/file": "in dir",
    "dir/empty-file": "",
    "dir/empty": Folder(),
    "dir/sub/script": File("#!/bin/sh", 0o755),
    "dir/sub/deeper/private": File("secret", 0o600),
}

SOURCES = {
    "file": Source(["file"], {"file": "text"}),
    "empty-file": Source(["empty"], {"empty": ""}),
    "file-slash": Source(["file/"], {"file": "text"}),
    "file-absolute": Source(["{side}/file"], {"file": "text"}),
    "file-below": Source(["sub/./../sub//file"], {"sub/file": "text"}),
    "dir": Source(["dir"], TREE),
    "dir-slash": Source(["dir/"], TREE),
    "dir-slashes": Source(["dir///"], TREE),
    "dir-dot": Source(["dir/."], TREE),
    "dir-dot-slash": Source(["dir/./"], TREE),
    "dir-dot-dot": Source(["dir/sub/.."], TREE),
    "dot": Source(["."], {"file": "text", "dir/file": "in dir"}),
    "empty-dir": Source(["dir"], {"dir": Folder()}),
    "two-files": Source(["one", "two"], {"one": "1", "two": "2"}),
    "two-dirs": Source(["dir", "other"], {**TREE, "other/file": "in other"}),
    "file-and-dir": Source(["file", "dir"], {**TREE, "file": "text"}),
    "dir-and-file": Source(["dir", "file"], {**TREE, "file": "text"}),
    "same-file-twice": Source(["file", "file"], {"file": "text"}),
    "same-named-files": Source(["x/file", "y/file"], {"x/file": "of x", "y/file": "of y"}),
    "same-named-dirs": Source(["x/d", "y/d"], {"x/d/a": "x", "x/d/b": "x", "y/d/b": "y", "y/d/c": "y"}),
    "same-named-below-dots": Source(["x/.", "f", "y/."], {"x/f": "x", "f": "f", "x/d/f": "x", "y/d/f": "y"}),
    "same-named-many": Source(
        [f"{n}/f" for n in range(9)], {f"{n}/f": f"{n}" * (200_000 if n == 4 else n) for n in range(9)}
    ),
    "same-named-file-and-dir": Source(["x/n", "y/n"], {"x/n": "of x", "y/n/a": "of y"}),
    "same-named-dir-and-file": Source(["x/n", "y/n"], {"x/n/a": "of x", "y/n": "of y"}),
    "missing": Source(["missing"], {}),
    "missing-below": Source(["no/such/file"], {}),
    "missing-first": Source(["missing", "file"], {"file": "text"}),
    "missing-last": Source(["file", "missing"], {"file": "text"}),
    "link-to-file": Source(["link"], {"link": Link("real"), "real": File("text", 0o640)}),
    "link-to-dir": Source(["link"], {"link": Link("dir"), **TREE}),
    "link-to-dir-slash": Source(["link/"], {"link": Link("dir"), **TREE}),
    "link-to-nothing": Source(["link"], {"link": Link("missing")}),
    "dir-with-link-to-file": Source(["d"], {"d/link": Link("../real"), "real": File("text", 0o640)}),
    "dir-with-link-to-dir": Source(["d"], {"d/link": Link("../dir"), **TREE}),
    "dir-with-link-to-nothing": Source(["d"], {"d/link": Link("missing"), "d/file": "text"}),
    "dir-with-link-loop": Source(["d"], {"d/a": Link("b"), "d/b": Link("a"), "d/file": "text"}),
    "dir-with-link-to-itself": Source(["d"], {"d/link": Link("."), "d/file": "text"}),
    "dir-of-64-levels": Source(["d"], {"d" + "/d" * 63 + "/file": "text"}),
    "dir-of-70-levels": Source(["d"], {"d" + "/d" * 69 + "/file": "text"}),
    "dir-with-fifo": Source(["d"], {"d/a": "before", "d/fifo": Fifo(), "d/z": "behind"}),
    "dir-with-hard-links": Source(["d"], {"d/a": "text", "d/b": HardLink("{folder}/d/a")}),
}  # fmt: skip

OLD = File("old and longer than what is new", 0o600)
ROOTS_TARGETS = {
    "null-device": NullDevice(),
    "somebody-elses-file": File("old", 0o640, owner=1234),
    "projects-dir": Folder(0o2775, group=1234),
}
TARGETS = {
    "new": Target("new", {}),
    "new-slash": Target("new/", {}),
    "new-dot": Target("new/.", {}),
    "new-below-missing": Target("no/such/new", {}),
    "home": Target("", {}),
    "dot": Target(".", {}),
    "dot-dot": Target("t/..", {"t": Folder()}),
    "absolute": Target("{side}/new", {}),
    "existing-dir": Target("t", {"t": Folder(0o700)}),
    "existing-dir-slash": Target("t/", {"t": Folder(0o700)}),
    "existing-dir-dot": Target("t/.", {"t": Folder(0o700)}),
    "existing-file": Target("t", {"t": OLD}),
    "existing-file-slash": Target("t/", {"t": OLD}),
    "existing-file-below-dir": Target("t/old", {"t/old": OLD}),
    "readonly-file": Target("t", {"t": File("old", 0o444)}),
    "hard-linked-file": Target("t", {"t": OLD, "t2": HardLink("{folder}/t")}),
    "link-to-file": Target("t", {"t": Link("real"), "real": OLD}),
    "link-to-dir": Target("t", {"t": Link("real"), "real": Folder()}),
    "link-to-dir-slash": Target("t/", {"t": Link("real"), "real": Folder()}),
    "link-to-nothing": Target("t", {"t": Link("nothing")}),
    "new-below-link": Target("t/new", {"t": Link("real"), "real": Folder()}),
    "new-behind-dot-dot": Target("t/../new", {"t": Link("real/sub"), "real/sub": Folder()}),
    **({name: Target("t", {"t": what}) for name, what in ROOTS_TARGETS.items()} if os.getuid() == 0 else {}),
}  # fmt: skip

# What is already in the target directory under the name that the source brings.
OCCUPIED = {
    "file": {"t/file": OLD},
    "file-over-dir": {"t/file/inner": "old"},
    "file-over-link": {"t/file": Link("../elsewhere"), "elsewhere": OLD},
    "file-over-link-to-dir": {"t/file": Link("../elsewhere"), "elsewhere": Folder()},
    "file-over-link-to-nothing": {"t/file": Link("../nothing")},
    "file-over-hard-link": {"t/file": OLD, "elsewhere": HardLink("{folder}/t/file")},
    "dir-into-same": {"t/dir/file": OLD, "t/dir/theirs": "old", "t/dir/sub": Folder(0o700)},
    "dir-over-file": {"t/dir": OLD},
    "dir-over-link-to-dir": {"t/dir": Link("../elsewhere"), "elsewhere": Folder()},
    "dir-over-link-to-nothing": {"t/dir": Link("../nothing")},
    "dir-file-over-dir": {"t/dir/file/inner": "old"},
    "dir-file-over-link": {"t/dir/file": Link("../../elsewhere"), "elsewhere": OLD},
    "dir-file-over-hard-link": {"t/dir/file": OLD, "elsewhere": HardLink("{folder}/t/dir/file")},
    "dir-sub-over-file": {"t/dir/sub": OLD},
    "dir-sub-over-link-to-dir": {"t/dir/sub": Link("../../elsewhere"), "elsewhere": Folder()},
}

FILE_MODES = {"private": 0o600, "executable": 0o755, "readonly": 0o444, "none": 0o000, "all": 0o777,
              "group": 0o664, "setuid": 0o4755, "setgid": 0o2755, "sticky-file": 0o1644}  # fmt: skip
DIR_MODES = {
    "private": 0o700,
    "readonly": 0o555,
    "none": 0o000,
    "all": 0o777,
    "sticky": 0o1777,
    "setgid": 0o2775,
}
TIMES_S = {"before-1970": -86400, "after-2038": 2**31 + 1000, "after-2106": 2**32 + 1000}
UMASKS = {"umask-077": 0o077, "umask-002": 0o002, "umask-0": 0o000}

# id -> name of a file, usable on both sides as it is
NAMES = {
    "space": "a b  c ",
    "single-quote": "it's",
    "double-quote": 'say "a"',
    "dollar-and-backtick": "$HOME `id` $(id)",
    "newline": "a\nb",
    "tab-and-escape": "a\tb\x1b[31mc",
    "ampersand-and-semicolon": "a&b;c|d>e",
    "tilde": "~x",
    "dash": "-r",
    "double-dash": "--",
    "dots": "...",
    "hidden": ".hidden",
    "hash": "#a",
    "percent": "a%20b%",
    "plus-and-equal": "a+b=c",
    "braces": "{a,b}",
    "colon": "a:b",
    "at": "a@b",
    "unicode": "üñ→字",
    "no-utf-8": "a\udcff\udc80b",
    "long": "x" * 255,
}  # fmt: skip
GLOB_NAMES = {
    "star": "a*b",
    "question-mark": "a?b",
    "brackets": "[ab]",
    "backslash": "a\\b",
    "only-star": "*",
}

GLOB_TREE = {
    "g/a.txt": "a", "g/b.txt": "b", "g/c.dat": "c", "g/.hidden.txt": "hidden", "g/[ab].txt": "brackets",
    "g/*": "star", "g/dir.txt/inner": "inner", "g2/a.txt": "a of g2", "g2/sub/x": "x",
}  # fmt: skip
FILES_TREE = {name: what for name, what in GLOB_TREE.items() if name != "g/dir.txt/inner"}
GLOBS = {
    "star": "g/*.txt",
    "star-all": "g/*",
    "star-directory": "g?/*.txt",
    "star-everywhere": "*/a.txt",
    "question-mark": "g/?.txt",
    "brackets": "g/[ab].txt",
    "brackets-range": "g/[a-c].*",
    "brackets-negated": "g/[!a].txt",
    "brackets-caret": "g/[^a].txt",
    "brackets-open": "g/[a",
    "braces": "g/{a,b}.txt",
    "hidden": "g/.h*",
    "one-match": "g/c*",
    "no-match": "g/*.none",
    "no-match-directory": "none/*",
    "escaped-star": "g/\\*",
    "escaped-bracket": "g/\\[ab\\].txt",
    "escaped-letter": "g/\\a.txt",
    "directory": "g?",
    "slash-behind": "g?/",
    "dot-behind": "g?/.",
    "absolute": "{top}/home/g/*.txt",
    "tilde": "~/g/*.txt",
    "double-star": "**/a.txt",
}  # fmt: skip

ADDRESSES = {
    "user": "root@box:{path}",
    "brackets": "[box]:{path}",
    "user-and-brackets": "root@[box]:{path}",
    "user-inside-brackets": "[root@box]:{path}",
    "ipv4": "127.0.0.1:{path}",
    "ipv4-in-brackets": "[127.0.0.1]:{path}",
    "ipv6": "[::1]:{path}",
    "user-and-ipv6": "root@[::1]:{path}",
    "uri": "scp://box/{path}",
    "uri-user-and-port": "scp://root@box:{port}/{path}",
    "uri-ipv6": "scp://[::1]:{port}/{path}",
    "uri-absolute": "scp://box/{top}/home/{path}",
    "uri-tilde": "scp://box/~/{path}",
    "uri-percent": "scp://box/%64%2Ffile",
    "uri-bad-percent": "scp://box/{path}%zz",
    "uri-bad-port": "scp://box:x/{path}",
    "uri-wrong-port": "scp://box:1/{path}",
    "uri-user-parameter": "scp://root;x=y@box/{path}",
    "absolute": "box:{top}/home/{path}",
    "dot-slash": "box:./{path}",
    "tilde": "box:~/{path}",
    "tilde-user": "box:~root/..{top}/home/{path}",
    "tilde-unknown-user": "box:~nobody-of-this-name/{path}",
    "colon-in-path": "box:with:colon/{path}",
    "empty-user": "@box:{path}",
    "empty-host": ":{path}",
    "host-with-dash": "-box:{path}",
    "slash-before-colon": "x/box:{path}",
}  # fmt: skip

NO_ADDRESSES = ("empty-host", "slash-before-colon")
COMMANDS = {
    "push/address/uri-host-alone": ("file", "scp://box"),
    "push/address/uri-slash": ("file", "scp://box/"),
    "push/address/name-with-colon": ("./file", "box:a:b"),
    "push/address/source-with-colon-behind-slash": ("./x/../file", "box:a:b"),
    "pull/address/to-dot-slash-colon": ("box:file", "./a:b"),
    "pull/address/to-absolute-colon": ("box:file", "{top}/here/a:b"),
    "pull/address/from-several-hosts": ("box:file", "root@box:sub/far", "[127.0.0.1]:dir/file", "x"),
    "local/address/remote-source-among": ("file", "box:sub/far", "x"),
    "pull/address/empty-local-target": ("box:file", ""),
    "relay/address/local-source-among": ("file", "box:sub/far", "box:dir"),
    "push/address/empty-source": ("", "box:"),
    "push/address/double-dash": ("--", "-p", "box:dir"),
    "push/address/options-in-one-word": ("-rp", "x", "box:dir"),
    "relay/address/two-spellings": ("box:file", "root@[127.0.0.1]:dir"),
    "relay/address/uri": ("scp://box/file", "scp://root@box:{port}/dir/new"),
    "relay/address/through-here": ("-3", "box:file", "box:dir"),
    "relay/address/host-alone": ("box:dir/file", "box:"),
    "local/address/same-file": ("file", "file"),
    "local/address/same-file-other-path": ("file", "./x/../file"),
    "local/address/no-target": ("file",),
    "local/address/nothing": (),
    "local/address/empty-source": ("", "x"),
    "local/address/empty-target": ("file", ""),
    "local/address/three-words": ("file", "file", "new"),
}  # fmt: skip


def _fill(text: str, side: Side) -> str:
    return text.replace("{side}", "{top}/" + side.folder).replace("{folder}", side.folder)


def _put(tree: Mapping[str, object], side: Side) -> dict[str, object]:
    """The same tree in the side's folder."""
    return {
        f"{side.folder}/{name}": HardLink(_fill(what.to, side)) if isinstance(what, HardLink) else what
        for name, what in tree.items()
    }


def make_case(
    direction: str,
    name: str,
    source: Source,
    target: Target,
    options: tuple[str, ...] = PLAIN,
    umask: int = 0o022,
    *,
    shows_options: bool = True,
) -> Case:
    """The command in one direction: which side the source and the target are on, and what both are called."""
    sender, receiver = SIDES[direction]
    words = [sender.prefix + _fill(word, sender) for word in source.words]
    target_word = receiver.prefix + _fill(target.word, receiver)
    # An empty local path is no path; a path that looks like an option or a host is said as users do.
    words = [_protect(word) if not sender.prefix else word for word in words]
    if not receiver.prefix:
        target_word = _protect(target_word) if target_word else "."
    parts = [direction, name] + (["".join(options) or "plain"] if shows_options else [])
    tree = {**_put(source.tree, sender), **_put(target.tree, receiver)}
    return Case("/".join(parts), tree, (*words, target_word), options, umask)


def _protect(word: str) -> str:
    return "./" + word if word.startswith("-") or ":" in word.partition("/")[0] else word


def _multiply(
    directions: Iterable[str],
    sources: Iterable[str],
    targets: Iterable[str],
    options: Iterable[tuple[str, ...]],
) -> Iterator[Case]:
    options = list(options)
    targets = list(targets)
    for direction in directions:
        for source in sources:
            for target in targets:
                for words in options:
                    yield make_case(direction, f"{source}/{target}", SOURCES[source], TARGETS[target], words)


def make_landing_cases() -> Iterator[Case]:
    """Where a source lands, by what is at the target."""
    both = (PUSH, PULL)
    targets = [name for name in TARGETS if name != "existing-dir"]  # make_source_cases() has it
    yield from _multiply(both, ["file", "two-files"], targets, [PLAIN])
    yield from _multiply(both, ["dir", "dir-dot"], targets, [R])
    yield from _multiply(both, ["dir", "dir-dot"], ["projects-dir"] if os.getuid() == 0 else [], [RP])
    some = ["new", "new-slash", "existing-file", "link-to-dir-slash"]
    yield from _multiply(both, ["file-and-dir", "empty-dir", "missing-first"], some, [R])
    yield from _multiply((LOCAL, RELAY), ["file", "two-files"], [*some, "existing-dir"], [PLAIN])
    for direction in (LOCAL, RELAY):
        yield from _multiply([direction], ["dir", "dir-dot", "file-and-dir"], some, [RECURSES[direction]])
    for direction in SIDES:
        source = Source(["large"], {"large": "0123456789abcde\n" * 200_000})
        for name, tree in {"new": {}, "shorter": {"t": "old"}, "longer": {"t": "x" * 4_000_000}}.items():
            target = Target("t", tree)
            yield make_case(direction, f"large-file-over/{name}", source, target, shows_options=False)


def make_source_cases() -> Iterator[Case]:
    """What each kind of source becomes."""
    yield from _multiply((PUSH, PULL), SOURCES, ["existing-dir"], [PLAIN, RP])
    yield from _multiply((PUSH, PULL), ["dir-slash", "dir-dot-dot", "dot", "link-to-dir"], ["new"], [RP])
    few = ["dir", "dir-dot", "link-to-file", "link-to-dir", "link-to-nothing", "missing-first",
           "missing-last", "dir-with-link-to-file", "dir-with-link-to-dir", "dir-with-link-to-nothing",
           "dir-with-fifo", "dir-with-hard-links", "same-named-dirs", "same-named-files",
           "dir-dot-dot"]  # fmt: skip
    yield from _multiply((LOCAL, RELAY), few, ["existing-dir"], [RP])
    yield from _multiply((LOCAL, RELAY), ["dir", "missing"], ["existing-dir"], [PLAIN])
    yield from _multiply([LOCAL], ["dot"], ["existing-dir"], [R])  # into itself


def make_occupied_cases() -> Iterator[Case]:
    """What happens to names that exist in the target directory."""
    for direction in SIDES:
        for name, tree in OCCUPIED.items():
            source = SOURCES["dir" if name.startswith("dir") else "file"]
            target = Target("t", {"t": Folder(), **tree})
            yield make_case(direction, f"occupied/{name}", source, target, RECURSES[direction])


def make_mode_cases() -> Iterator[Case]:
    for direction in (PUSH, PULL):
        for name, mode in FILE_MODES.items():
            for options in (PLAIN, P):
                source = Source(["file"], {"file": File("text", mode)})
                yield make_case(direction, f"file-mode/{name}", source, TARGETS["new"], options)
        for name, mode in DIR_MODES.items():
            for options in (R, RP):
                source = Source(["dir"], {"dir": Folder(mode), "dir/file": "text"})
                yield make_case(direction, f"dir-mode/{name}", source, TARGETS["new"], options)
        for name, time_s in TIMES_S.items():
            source = Source(["file"], {"file": File("text", 0o644, time_s)})
            yield make_case(direction, f"time/{name}", source, TARGETS["new"], P)
        for name, umask in UMASKS.items():
            for options in (R, RP):
                source = Source(
                    ["d"], {"d": Folder(0o775), "d/file": File("text", 0o666), "d/x": File("x", 0o777)}
                )
                yield make_case(direction, name, source, TARGETS["new"], options, umask)
    for direction in SIDES:
        for options in (PLAIN, P):
            source = Source(["file"], {"file": File("text", 0o755)})
            yield make_case(direction, "mode-of-existing-file", source, TARGETS["existing-file"], options)
    for direction in (LOCAL, RELAY):
        tree = {f"d/{name}": File("text", mode) for name, mode in FILE_MODES.items() if name[:3] != "set"}
        tree |= {f"d/dir-{name}": Folder(mode) for name, mode in DIR_MODES.items() if name[:3] != "set"}
        for name, umask in UMASKS.items():
            for options in (R, RP):
                yield make_case(
                    direction, f"modes/{name}", Source(["d"], tree), TARGETS["new"], options, umask
                )
        for name in ("setuid", "setgid"):
            for options in (PLAIN, P):
                source = Source(["file"], {"file": File("text", FILE_MODES[name])})
                yield make_case(direction, f"file-mode/{name}", source, TARGETS["new"], options)


def make_name_cases() -> Iterator[Case]:
    """Names as sources, as targets, and below a directory."""
    for direction in (PUSH, PULL):
        for name, text in NAMES.items():
            source = Source([text], {text: "text"})
            yield make_case(direction, f"name/{name}", source, TARGETS["existing-dir"], shows_options=False)
        for name, text in {**NAMES, **GLOB_NAMES}.items():
            if len(text) < 200:
                target = Target(text, {})
                yield make_case(
                    direction, f"target-name/{name}", SOURCES["file"], target, shows_options=False
                )
    for direction in SIDES:
        tree = {f"dir/{text}": name for name, text in {**NAMES, **GLOB_NAMES}.items()}
        tree |= {f"dir/d{text}/inner": name for name, text in GLOB_NAMES.items()}
        source = Source(["dir"], tree)
        yield make_case(direction, "names-below", source, TARGETS["existing-dir"], RECURSES[direction])
    for direction in (LOCAL, RELAY):
        for name in ("newline", "no-utf-8", "dash", "colon", "tab-and-escape"):
            source = Source([NAMES[name]], {NAMES[name]: "text"})
            yield make_case(direction, f"name/{name}", source, TARGETS["existing-dir"], shows_options=False)
    for name, text in GLOB_NAMES.items():
        source = Source([text], {text: "text", "a1b": "1", "a2b": "2", "a": "a"})
        for direction in (PUSH, PULL):
            yield make_case(direction, f"name/{name}", source, TARGETS["existing-dir"], shows_options=False)


def make_glob_cases() -> Iterator[Case]:
    for name, pattern in GLOBS.items():
        source = Source([pattern], GLOB_TREE)
        yield make_case(PULL, f"glob/{name}", source, TARGETS["existing-dir"], R)
    for name in ("star", "star-all", "brackets", "directory"):
        yield make_case(
            PULL, f"glob/{name}", Source([GLOBS[name]], GLOB_TREE), TARGETS["existing-dir"], PLAIN
        )
        yield make_case(
            PULL, f"glob-of-files/{name}", Source([GLOBS[name]], FILES_TREE), TARGETS["existing-dir"], PLAIN
        )
        yield make_case(RELAY, f"glob/{name}", Source([GLOBS[name]], GLOB_TREE), TARGETS["existing-dir"], RP)
    for name in ("star", "one-match", "question-mark"):
        yield make_case(PULL, f"glob-to-new/{name}", Source([GLOBS[name]], FILES_TREE), TARGETS["new"], PLAIN)
    yield make_case(PULL, "glob-to-new/directory", Source(["g2*"], GLOB_TREE), TARGETS["new"], R)
    yield make_case(
        PULL, "glob/two-patterns", Source(["g/a*", "g/b*"], GLOB_TREE), TARGETS["existing-dir"], PLAIN
    )
    yield make_case(PUSH, "glob/unexpanded", Source(["g/*.txt"], GLOB_TREE), TARGETS["existing-dir"], PLAIN)


def make_address_cases() -> Iterator[Case]:
    for name, pattern in ADDRESSES.items():
        word = pattern.replace("{path}", "d/file")
        start = f"{LOCAL}/address/to" if name in NO_ADDRESSES else f"{PUSH}/address"
        tree = {"here/file": "text", "here/x": Folder(), "home/d": Folder(), "home/with:colon/d": Folder()}
        yield Case(f"{start}/{name}", tree, ("file", word))
        start = f"{LOCAL}/address/from" if name in NO_ADDRESSES else f"{PULL}/address"
        tree = {"here/t": Folder(), "home/d/file": "text", "home/with:colon/d/file": "behind colon"}
        yield Case(f"{start}/{name}", tree, (word, "t"))
    tree = {"here/file": "text", "here/-p": "dash", "here/x": Folder(), "home/dir/file": "in dir",
            "home/file": "other text", "home/sub/far": "far"}  # fmt: skip
    for name, words in COMMANDS.items():
        yield Case(name, tree, words)
    for name in ("", ".", "~", "~/", "./", "dir/.."):
        for options in (PLAIN, R):
            last = "".join(options) or "plain"
            shown = (
                name.replace("/", "-slash").replace("..", "-dotdot").replace(".", "dot").replace("~", "tilde")
            )
            yield Case(f"{PULL}/host/{shown or 'alone'}/{last}", tree, ("box:" + name, "x"), options)
        yield Case(f"{PUSH}/host/{shown or 'alone'}", tree, ("file", "box:" + name))


def make_cases() -> list[Case]:
    return [
        *make_landing_cases(),
        *make_source_cases(),
        *make_occupied_cases(),
        *make_mode_cases(),
        *make_name_cases(),
        *make_glob_cases(),
        *make_address_cases(),
    ]


CASES = {case.id: case for case in make_cases()}
