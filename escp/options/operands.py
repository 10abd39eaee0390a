"""What the operands of a command line are: sources and a target, hosts, or what --doctor looks at.

`read_operands` parses each once. What is wrong with one is raised later, when its turn comes to be checked.
"""

import os

from escp.errors import UsageError
from escp.lean.record import Record
from escp.options.location import NOWHERE, Location, parse_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from escp.options.grammar import Words

NO_SOURCE, NO_TARGET = "nothing to copy", "no target given"
_USAGE_HINT = "escp SOURCE... TARGET; each is a path or [user@]host:[path]"


class Operand(Record):
    """A word of the command line, and what it means."""

    word: str
    meaning: Location | UsageError

    @property
    def location(self) -> Location:
        """Raises UsageError where it is none."""
        if isinstance(self.meaning, UsageError):
            raise self.meaning
        return self.meaning


def read_operands(command: "Words") -> list[Operand]:
    """With --doctor, --clean-agents or --show-config a host may stand bare.

    Raises UsageError for an option among them.
    """
    words = command.operands
    if not command.is_ended:
        for word in words[1:]:
            if word.startswith("-") and word != "-" and ":" not in word and not os.path.lexists(word):
                from escp.options.habits import explain_behind  # lazy: only a mistake needs it

                raise UsageError(*explain_behind(word))
    if "--doctor" in command.options:
        return [_read(f"{word}:" if _is_host(word) else word) for word in words]
    operands = [_read(word) for word in words]
    if "--clean-agents" in command.options or "--show-config" in command.options:
        return [_read(f"{one.word}:") if _is_bare(one) else one for one in operands]
    return operands


def _read(word: str) -> Operand:
    try:
        return Operand(word, parse_location(os.fsencode(word)))
    except UsageError as e:
        return Operand(word, e)


def _is_host(word: str) -> bool:
    """With --doctor: whether it is a word without slash and colon, and no directory of that name is here."""
    return bool(word) and "/" not in word and ":" not in word and not os.path.isdir(word)


def _is_bare(operand: Operand) -> bool:
    """With --clean-agents: whether there is no colon behind the host."""
    return isinstance(operand.meaning, Location) and not operand.meaning.is_remote


def find_hosts(operands: list[Operand]) -> list[tuple[str, str]]:
    """The command's hosts, the target's first: each as host and as written, with the user if there is one."""
    found = {}
    for operand in operands[-1:] + operands[:-1]:
        location = operand.meaning
        if isinstance(location, Location) and location.host is not None:
            destination = location.ssh_destination()
            found[destination] = (location.host, destination)
    return list(found.values())


def parse_operands(args: "Namespace") -> tuple[tuple[Location, ...], Location]:
    """The sources and the target of what is asked for, NOWHERE without one; raises UsageError."""
    if args.is_doctor:
        return _parse_patient(args)
    if args.cleans_agents:
        return _parse_hosts(args), NOWHERE
    if args.checks is not None:
        return (), _parse_tree(args)
    if args.is_server or args.shows_help or args.shows_version or args.shows_licence or args.is_selftest:
        return (), NOWHERE
    if args.shows_config or args.checks_config or args.listens:
        return (), NOWHERE
    if args.makes_ca is not None or args.makes_certificate is not None or args.revokes is not None:
        return (), NOWHERE
    return _parse_copy(args)


def _parse_copy(args: "Namespace") -> tuple[tuple[Location, ...], Location]:
    operands = args.operands
    has_filelist = args.filelist is not None
    if len(operands) < (1 if has_filelist else 2):
        raise UsageError(NO_TARGET if operands or has_filelist else NO_SOURCE, _USAGE_HINT)
    if args.is_target_exact and (has_filelist or len(operands) > 2):
        what = "a file list" if has_filelist else f"{len(operands) - 1} sources"
        raise UsageError(f"option -T: one source can have the target's name, not {what}", "leave it out")
    *sources, target = (operand.location for operand in operands)
    if not target.is_remote and not target.path:
        raise UsageError("the target is empty", "write . for this directory")
    if any(not source.is_remote and not source.path for source in sources):
        raise UsageError("a source is empty")
    last = operands[-1].word
    _check_dashes(args, sources, target)
    _check_shared(args)
    if last != "-" and not target.is_remote and last.startswith("-"):
        raise UsageError(
            f"the target '{last}' begins with a dash",
            f"options stand before the first source; a file of that name is written ./{last}",
        )
    if target.is_remote and any(source.is_remote for source in sources):
        if args.is_reverse:
            raise UsageError("option --reverse is not for copies between two remote hosts", "leave it out")
        if args.is_direct_hosts and args.tunnel == "always":
            raise UsageError("option -R and --tunnel=always contradict each other", "leave out one of them")
    _check_embedded(args)
    return tuple(sources), target


def _check_dashes(args: "Namespace", sources: "list[Location]", target: Location) -> None:
    """`-` is standard input or output, of one file."""
    if args.removes_sources and (target.is_dash or any(source.is_dash for source in sources)):
        raise UsageError("option --remove-source-files is not for standard input and output", "leave it out")
    if any(source.is_dash for source in sources):
        if len(sources) > 1 or args.filelist is not None:
            raise UsageError(
                "standard input, -, is a source for itself", "a file of that name is written ./-"
            )
    if target.is_dash:
        if args.json or args.json_fd == "1":
            raise UsageError(
                "option --json: standard output, -, is the target", "write to a file or pipe by name"
            )
        if args.is_dry_run:
            raise UsageError(
                "option --dry-run: standard output, -, is the target", "a file of that name is written ./-"
            )
        if len(sources) > 1 or args.filelist is not None:
            what = "a file list" if args.filelist is not None else f"{len(sources)} sources"
            raise UsageError(
                f"standard output, -, takes one file, not {what}", "a directory of that name is written ./-"
            )


def _check_shared(args: "Namespace") -> None:
    """Refuse what needs files, or could only be done twice, where another program shares its memory."""
    if "shmem" not in args.ioengine:
        return
    for is_given, option in (
        (args.is_dry_run, "--dry-run"),
        (args.deletes, "--delete"),
        (args.reads_back and args.ioengine.endswith("shmem"), "--verify"),
    ):
        if is_given:
            raise UsageError(
                f"option {option}: with --ioengine=shmem there is a program's memory, and no file",
                "use one of them",
            )


def _parse_patient(args: "Namespace") -> tuple[tuple[Location, ...], Location]:
    """For --doctor: a directory of this host, and one of another host or NOWHERE."""
    locations = [operand.location for operand in args.operands]
    remote = [location for location in locations if location.is_remote]
    local = [location for location in locations if not location.is_remote]
    if len(remote) > 1 or len(local) > 1:
        what = "hosts" if len(remote) > 1 else "directories of this host"
        raise UsageError(f"option --doctor: two {what}", "write escp --doctor [DIR] [HOST:[DIR]]")
    _check_embedded(args)
    return (local[0] if local else Location(None, None, None, b"."),), remote[0] if remote else NOWHERE


def _parse_tree(args: "Namespace") -> Location:
    """What --check is about."""
    usage = "escp --check FILE [[user@]host:]DIR"
    if len(args.operands) != 1:
        what = f"{len(args.operands)} trees" if args.operands else "no tree"
        raise UsageError(f"option --check: {what} given to compare with the manifest", usage)
    location: Location = args.operands[0].location
    if location.is_dash or not (location.is_remote or location.path):
        raise UsageError("option --check: the tree has no name", usage)
    _check_embedded(args)
    return location


def check_manifest(args: "Namespace", target: Location) -> None:
    """Refuse --manifest where nothing is written whose digest could be told."""
    if args.manifest is None:
        return
    others = "standard output has other lines"
    for is_given, what, hint in (
        (args.checks is not None, "--check writes none", "use one of them"),
        (args.is_dry_run, "with --dry-run nothing is written", "use one of them"),
        ("dummy" in args.ioengine, "with --ioengine=dummy nothing is written", "use one of them"),
        ("shmem" in args.ioengine, "with --ioengine=shmem there may be no file", "use one of them"),
        (target.is_dash, "standard output, -, is the target", "a file of that name is written ./-"),
        (args.manifest == "-" and args.json, f"with --json {others}", "name a file"),
        (args.manifest == "-" and args.itemizes, f"with --itemize {others}", "name a file"),
        (args.manifest == "-" and args.json_fd == "1", f"with --json-fd=1 {others}", "name a file"),
    ):
        if is_given:
            raise UsageError(f"option --manifest: {what}", hint)


def _parse_hosts(args: "Namespace") -> tuple[Location, ...]:
    """What --clean-agents is about."""
    if not args.operands:
        raise UsageError("option --clean-agents: no host given", "escp --clean-agents [user@]host...")
    for operand in args.operands:
        if not operand.location.is_remote or operand.location.path or operand.location.is_tls:
            raise UsageError(
                f"option --clean-agents: '{operand.word}' is not a host", "escp --clean-agents [user@]host..."
            )
    return tuple(operand.location for operand in args.operands)


def check_removal(args: "Namespace") -> None:
    """Refuse --remove-source-files where the copy would not be verified, or not stay."""
    for is_removing, removal in ((args.removes_sources, "--remove-source-files"), (args.deletes, "--delete")):
        for is_given, option in (
            (is_removing and args.nochecksum, "--nochecksum"),
            (is_removing and "dummy" in args.ioengine, "--ioengine=dummy"),
            (is_removing and "shmem" in args.ioengine, "--ioengine=shmem"),
        ):
            if is_given:
                raise UsageError(f"option {removal}: with {option} nothing is verified", "use one of them")


def check_deletion(args: "Namespace", sources: tuple[Location, ...]) -> None:
    """The sources must be known, there, and directories, when it is looked at what only the target has."""
    if not args.deletes:
        return
    if not args.is_recursive:
        raise UsageError("option --delete: without -r no directory is copied", "write both")
    if args.removes_sources:
        raise UsageError(
            "option --delete: --remove-source-files leaves no sources to compare the target with",
            "use one of them",
        )
    if args.filelist is not None:
        raise UsageError(
            "option --delete: a file list names what to copy, not all that is to be there",
            "name the directories themselves",
        )
    if len({(source.user, source.host, source.port, source.is_tls) for source in sources}) > 1:
        raise UsageError(
            "option --delete: the sources are on several hosts",
            "copy those of each host by a command of its own",
        )


def _check_embedded(args: "Namespace") -> None:
    if args.is_embedded:
        for operand in args.operands:
            operand.location.check_embedded(os.fsencode(operand.word))
