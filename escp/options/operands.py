"""What the operands of a command line are: sources and a target, hosts, or what --doctor looks at."""

import os

from escp.errors import UsageError
from escp.options.location import LOCAL_HOSTS, NOWHERE, Location, parse_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

_USAGE_HINT = "escp SOURCE... TARGET; each is a path or [user@]host:[path]"


def read_operands(operands: list[str], words: list[str]) -> list[str]:
    """As locations are written: with --doctor or --clean-agents among the *words* a host may stand bare."""
    if "--doctor" in words:
        return [_find_meaning(word) for word in operands]
    if "--clean-agents" in words:
        return [_add_colon(word) for word in operands]
    return operands


def _find_meaning(word: str) -> str:
    """An operand of --doctor: a word without slash and colon that is no directory here is a host."""
    is_host = word and "/" not in word and ":" not in word and not os.path.isdir(word)
    return f"{word}:" if is_host else word


def _add_colon(word: str) -> str:
    """A host as --clean-agents has it, in the form of an operand; both are taken."""
    return word if word.startswith("scp://") or parse_location(os.fsencode(word)).is_remote else word + ":"


def find_hosts(operands: list[str]) -> list[tuple[str, str]]:
    """The command's hosts, the target's first: each as host and as written, with the user if there is one."""
    found = {}
    for word in operands[-1:] + operands[:-1]:
        try:
            location = parse_location(os.fsencode(word))
        except UsageError:
            continue  # comes again when the operands are checked
        if location.host is not None:
            destination = location.ssh_destination()
            found[destination] = (location.host, destination)
    return list(found.values())


def parse_operands(args: "Namespace") -> tuple[tuple[Location, ...], Location]:
    """The sources and the target of what is asked for, NOWHERE without one; raises UsageError."""
    if args.is_doctor:
        return _parse_patient(args)
    if args.cleans_agents:
        return _parse_hosts(args), NOWHERE
    if args.is_server or args.shows_help or args.shows_version or args.shows_licence or args.is_selftest:
        return (), NOWHERE
    return _parse_copy(args)


def _parse_copy(args: "Namespace") -> tuple[tuple[Location, ...], Location]:
    words = args.operands
    has_filelist = args.filelist is not None
    if len(words) < (1 if has_filelist else 2):
        raise UsageError("no target given" if words or has_filelist else "nothing to copy", _USAGE_HINT)
    *sources, target = (parse_location(os.fsencode(word)) for word in words)
    if not target.is_remote and not target.path:
        raise UsageError("the target is empty", "write . for this directory")
    if any(not source.is_remote and not source.path for source in sources):
        raise UsageError("a source is empty")
    if not target.is_remote and words[-1].startswith("-"):
        raise UsageError(
            f"the target '{words[-1]}' begins with a dash",
            f"options stand before the first source; a file of that name is written ./{words[-1]}",
        )
    if target.is_remote and any(source.is_remote for source in sources):
        if args.is_reverse:
            raise UsageError("option --reverse is not for copies between two remote hosts", "leave it out")
        if args.is_direct_hosts and args.tunnel == "always":
            raise UsageError("option -R and --tunnel=always contradict each other", "leave out one of them")
    _check_embedded(args, words, [*sources, target])
    return tuple(sources), target


def _parse_patient(args: "Namespace") -> tuple[tuple[Location, ...], Location]:
    """A directory of this host, and one of another or NOWHERE."""
    locations = [parse_location(os.fsencode(word)) for word in args.operands]
    remote = [location for location in locations if location.is_remote]
    local = [location for location in locations if not location.is_remote]
    if len(remote) > 1 or len(local) > 1:
        what = "hosts" if len(remote) > 1 else "directories of this host"
        raise UsageError(f"option --doctor: two {what}", "write escp --doctor [DIR] [HOST:[DIR]]")
    _check_embedded(args, args.operands, locations)
    return (local[0] if local else Location(None, None, None, b"."),), remote[0] if remote else NOWHERE


def _parse_hosts(args: "Namespace") -> tuple[Location, ...]:
    """What --clean-agents is about."""
    if not args.operands:
        raise UsageError("option --clean-agents: no host given", "escp --clean-agents [user@]host...")
    hosts = tuple(parse_location(os.fsencode(word)) for word in args.operands)
    for host, word in zip(hosts, args.operands, strict=True):
        if not host.is_remote or host.path:
            raise UsageError(
                f"option --clean-agents: '{word}' is not a host", "escp --clean-agents [user@]host..."
            )
    return hosts


def _check_embedded(args: "Namespace", words: list[str], locations: list[Location]) -> None:
    if args.is_embedded:
        for location, word in zip(locations, words, strict=True):
            if location.is_remote and (location.host not in LOCAL_HOSTS or location.user is not None):
                raise UsageError(
                    f"option --embedded: '{word}' is not this host", "write localhost:path, without a user"
                )
