"""What the user's options mean for each end: orders for a sender and for a receiver, wherever they are.

A field of an order is the option of that name; the exceptions are here.
"""

from escp.control.messages import Receive, Send
from escp.errors import AgentError, RefusedError
from escp.options.options import Options
from escp.process.environment import find_absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from escp.remote.agentlink import AgentLink

_CLASSES_SHIFT = 27  # what a mode rule has from there on is newer than the field (docs/protocol.md 3.2)
PACED_STREAM_BYTES_PER_S = 16 << 20  # what a stream must at least be allowed, or there are fewer


# Fields that older agents lack: the option that needs each, and the feature that came with it.
_NEWER = {
    "is_durable": ("--fsync", "durable"),
    "reads_back": ("--verify", "durable"),
    "is_inplace": ("--inplace", "lacks"),
    "is_target_exact": ("--no-target-directory", "habits"),
    "makes_path": ("--mkpath", "habits"),
    "keeps_owner_if_root": ("--archive", "habits"),
    "mode_rules": ("--chmod", "habits"),
    "removes_sources": ("--remove-source-files", "habits"),
    "min_bytes": ("--min-size", "habits"),
    "below_bytes": ("--max-size", "habits"),
    "deletes": ("--delete", "delete"),
    "tells_same": ("--manifest", "manifest"),
    "itemizes": ("--itemize", "itemize"),
    "has_expected": ("expected_digest", "expect"),
}


def check_age(order: Send | Receive, agent: "AgentLink") -> None:
    """Raises AgentError where the agent would not understand all of its order."""
    needed = [one for name, one in _NEWER.items() if getattr(order, name, None)]
    if order.engine == "shmem":
        needed.append(("--ioengine=shmem", "shmem"))
    if any(rule >> _CLASSES_SHIFT for rule in getattr(order, "mode_rules", ())):
        needed.append(("--chmod with a class behind =, + or -", "classes"))
    if order.selection == "missing":
        needed.append(("--ignore-existing", "habits"))
    for option, feature in needed:
        if not agent.has_feature(feature):
            raise AgentError(
                f"option {option}: the escp on {agent.host} is too old for it",
                "install the same release on all hosts",
            )


def make_send(options: Options, *, is_in_order: bool) -> Send:
    """*is_in_order*: the target is a pipe or device, in which no holes can be left."""
    if options.removes_sources and is_in_order:
        raise RefusedError("option --remove-source-files: the target is a pipe or device", "leave it out")
    own = {
        "engine": options.send_engine,
        "is_sparse": options.is_sparse and not is_in_order and options.receive_engine != "shmem",
        "filters": _write_rules(options),
        "itemizes": options.itemizes or options.logs_files or options.manifest is not None,
        "tells_same": options.manifest is not None,
        "tells_digests": options.logs_files,
    }
    return Send._make(own[name] if name in own else getattr(options, name) for name in Send._fields)


def make_receive(
    options: Options,
    n_sources: int,
    is_one_directory: bool,
    *,
    has_roots: bool,
    names_attributes: bool = True,
) -> Receive:
    """*names_attributes*: the sender understands it when a result says which are lacking."""
    own = {
        "target": options.target.path,
        "n_sources": n_sources,
        "is_directory": is_one_directory,
        "engine": options.receive_engine,
        "has_roots": has_roots,
        "tells_missing": has_roots,
        "names_attributes": names_attributes,
        "names_once": True,
        "filters": _write_rules(options) if options.deletes else [],
        "job": b"",  # the caller's, which knows all of the command
        "tells_stamps": False,  # as well
        "has_expected": False,
        "itemizes": options.itemizes or options.logs_files or options.manifest is not None,
    }
    return Receive._make(own[name] if name in own else getattr(options, name) for name in Receive._fields)


def _write_rules(options: Options) -> list[bytes]:
    return [(b"+" if is_include else b"-") + pattern for is_include, pattern in options.filters]


# What a copy that was cut off must have in common with the one that goes on with it, beside both ends.
_SAME_OPTIONS = (
    "filelist", "is_null_separated", "is_recursive", "filters", "updates", "skips_unchanged",
    "compares_digests", "keeps_attributes", "keeps_owner", "has_numeric_ids", "keeps_xattrs",
    "keeps_acls", "keeps_links", "keeps_hard_links", "is_sparse", "is_inplace", "keeps_devices",
    "is_archive", "is_target_exact", "makes_path", "mode_rules", "min_bytes", "below_bytes",
    "skips_existing",
)  # fmt: skip


def tell_apart(options: Options, number: int) -> list[bytes]:
    """Words, equal for two commands with the same arguments, but for streams, limits, ways and what is shown.

    *number*: of its job, one for each run of sources that are on one host.
    """
    words = [b"%d" % number, *(repr((name, getattr(options, name))).encode() for name in _SAME_OPTIONS)]
    for place in (*options.sources, options.target):
        path = place.path if place.is_remote else find_absolute(place.path)
        login = (f"tls://{place.host}" if place.is_tls else place.host), place.port
        words.append(repr((place.user, *login, path, place.path.endswith(b"/"))).encode())
    return words


def count_streams(options: Options) -> int:
    """Fewer than asked for under a low limit: each is paced by itself, and few blocks share out unevenly."""
    if options.limit_bytes_per_s is None:
        return options.n_streams
    return max(1, min(options.n_streams, options.limit_bytes_per_s // PACED_STREAM_BYTES_PER_S))
