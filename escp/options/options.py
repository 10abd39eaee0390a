"""The command line as one frozen record, every value checked: `parse_options()`.

It comes before ssh is started, so it imports little. What the user asked for leaves here complete and in
range or as one `UsageError`; later modules don't check again. What the command line leaves open comes from
`config`.
"""

import os

from escp.errors import UsageError
from escp.lean.record import Record
from escp.lean.untranslated import argparse
from escp.options import config, configfile
from escp.options.grammar import OptionParser, UnknownOption, Words
from escp.options.keys import NOT_CONFIGURABLE, list_kinds
from escp.options.location import Location
from escp.options.operands import (
    NO_SOURCE,
    NO_TARGET,
    check_deletion,
    check_manifest,
    check_removal,
    find_hosts,
    parse_operands,
    read_operands,
)
from escp.options.pairs import check_pairs
from escp.options.parser import PUSHED_AGENT, build_parser
from escp.options.sshargs import build_ssh_args
from escp.options.values import (
    MAX_PORT,
    check_address,
    check_contents,
    check_fallback,
    check_logfile,
    check_pattern,
    check_setting,
    check_tunnel,
    find_family,
    parse_block,
    parse_bounds,
    parse_chmod,
    parse_count,
    parse_cpumask,
    parse_days,
    parse_deletions,
    parse_descriptor,
    parse_engines,
    parse_nodemask,
    parse_partial,
    parse_port,
    parse_rate,
    parse_retries,
    parse_ssh_port,
    parse_stop,
    parse_streams,
    parse_time,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Options(Record):
    """What the user asked for. With `is_server` or one of `shows_…` there are no sources and no target.

    Nor with `is_selftest`. With `is_doctor` one source, a local directory, and the target if it is remote.
    With `checks` the target is a tree. With `cleans_agents` the sources are hosts, and there is no target.
    """

    sources: tuple[Location, ...]  # those of the command line; a file list may add more
    target: Location
    reads_standard_input: bool  # the source is -
    writes_standard_output: bool  # the target is -
    filelist: str | None  # a path, or - for standard input
    is_null_separated: bool
    is_recursive: bool
    keeps_attributes: bool
    is_archive: bool
    is_target_exact: bool
    makes_path: bool
    removes_sources: bool
    deletes: bool
    max_deletions: int | None  # None: no bound
    mode_rules: list[int]  # of --chmod: docs/protocol.md 3.2
    min_bytes: int
    below_bytes: int  # 0: no bound
    has_compression: bool
    has_checksum: bool
    limit_bytes_per_s: int | None  # of all streams together
    is_direct_hosts: bool  # -R; else -3
    filters: tuple[tuple[bool, bytes], ...]  # (is_include, pattern); the first that matches counts
    updates: bool
    skips_unchanged: bool
    skips_existing: bool
    compares_digests: bool
    is_dry_run: bool
    resumes: bool
    partial_min: int  # bytes; files of that size and more stay as parts when they are cut off; 0: none
    trusts_parts: bool
    itemizes: bool
    logs_files: bool
    manifest: str | None  # a path, or - for standard output
    checks: str | None  # a manifest that the target is compared with; there are no sources
    keeps_owner: bool
    has_numeric_ids: bool
    keeps_xattrs: bool
    keeps_acls: bool
    keeps_links: bool
    keeps_hard_links: bool
    is_sparse: bool
    is_inplace: bool
    is_durable: bool  # --fsync
    reads_back: bool  # --verify
    keeps_devices: bool
    data_host: str | None
    bind_address: str | None  # numeric
    is_reverse: bool
    tunnel: str  # one of values.TUNNEL_CHOICES
    n_streams: int
    block_bytes: int
    port: int  # first port of the data streams
    n_ports: int  # that one and those after it
    is_direct: bool  # O_DIRECT
    send_engine: str
    receive_engine: str
    cpumask: int | None  # bits
    nodemask: int | None
    agent_command: str  # for the remote shell, as it is; or PUSHED_AGENT
    agent_tree: str | None
    cleans_agents: bool
    fallback: str  # one of values.FALLBACKS
    words: tuple[str, ...]  # the operands as they were written
    is_logfile_configured: bool  # not by the command line
    is_embedded: bool
    is_server: bool
    ssh_program: str
    ssh_args: tuple[str, ...]  # all but the port, the destination and the command
    ssh_port: int | None  # unless a location names another
    batch: bool
    address_family: int | None  # socket.AF_INET or AF_INET6 when only that may be used
    n_retries: int
    stop_s: int | None  # so long after its start it ends
    is_quiet: bool
    verbosity: int
    json: bool
    json_fd: int | None
    metrics: str | None
    notify: str | None  # a command for the shell
    shows_bits: bool
    reconnect_s: int  # that a stream whose connection broke is waited for; 0: not at all
    stats_s: int  # between two lines on how far it is, where there is no terminal; 0: none
    logfile: str | None  # a path or LOCAL0 to LOCAL7
    shows_help: bool
    shows_version: bool
    shows_licence: bool
    shows_config: bool
    checks_config: bool
    is_selftest: bool
    is_doctor: bool
    tls_folder: str | None
    listens: bool
    makes_ca: str | None  # a directory; as are the next two
    makes_certificate: str | None
    revokes: str | None
    days: int | None  # that a certificate is valid
    option_words: tuple[str, ...] = ()  # the options, with their values, as they were written
    unreached_files: tuple[str, ...] = ()  # of the configuration, in a directory that may not be entered
    logins: tuple[tuple[str, "Login"], ...] = ()  # by host or user@host, where the configuration differs

    def for_host(self, location: Location) -> "Options":
        """These options with the login of one host: the configuration may have one for each."""
        login = dict(self.logins).get(location.ssh_destination()) if location.is_remote else None
        return self if login is None else self._replace(**login._asdict())

    @property
    def pushes_agent(self) -> bool:
        """Whether the agent is this program, sent along."""
        return self.agent_command == PUSHED_AGENT

    @property
    def keeps_owner_names(self) -> bool:
        """Owner and group go by name, too: the numbers may be others' on the other host."""
        return (self.keeps_owner or self.is_archive) and not self.has_numeric_ids

    @property
    def keeps_owner_if_root(self) -> bool:
        """The side that writes keeps owners if it may."""
        return self.is_archive

    @property
    def skips_by_time(self) -> bool:
        """Whether what has the same size and time at the target is skipped."""
        return self.skips_unchanged and not self.compares_digests

    @property
    def selection(self) -> str:
        """Which files are sent, for the planes: "all", "missing", "changed" or "newer"."""
        if self.skips_existing:
            return "missing"
        if self.skips_unchanged or self.compares_digests:
            return "changed"
        return "newer" if self.updates else "all"


class Login(Record):
    """The fields of Options that are about one host, not about the command."""

    ssh_program: str
    ssh_args: tuple[str, ...]
    ssh_port: int | None
    agent_command: str
    agent_tree: str | None
    data_host: str | None
    tls_folder: str | None


_PAGES = frozenset(
    "-h --help -V --version -L --licence --server --selftest --show-config --check-config".split()
)


def parse_options(argv: list[str]) -> Options:
    """Parse and check the command line without the program's name, with its defaults from the configuration.

    Raises UsageError.
    """
    parser = build_parser()
    command = _split(parser, argv)
    words = command.options
    if not _PAGES.isdisjoint(words):  # these work whatever the configuration holds, and without operands
        args = parser.parse_args(words)
        args.operands = []
        return _check_options(args)
    kinds = list_kinds(parser)
    unreached: list[str] = []
    blocks = configfile.read_files(os.environ, kinds, NOT_CONFIGURABLE, unreached=unreached)
    last = config.read_environment(os.environ, kinds)
    operands = read_operands(command)
    hosts = find_hosts(operands)

    def parse(hosts: list[tuple[str, str]]) -> Options:
        chosen = [*config.select_blocks(blocks, hosts), last]
        args = merge_words(parser, words, chosen, kinds)
        args.operands = operands
        check_pairs(args, is_given)
        return _check_options(args)._replace(option_words=tuple(words), unreached_files=tuple(unreached))

    def is_given(name: str) -> bool:
        return any(_is_spelt(word, one) for word in words for one in parser.find_spellings(name))

    options = _check_words(parser, command, lambda: parse(hosts))
    if len(hosts) > 1 and any(block.pattern is not None for block in blocks):
        logins = []
        for host in hosts:
            own = parse([host])
            logins.append((host[-1], Login(*(getattr(own, name) for name in Login._fields))))
        options = options._replace(logins=tuple(logins))
    return options


def _split(parser: OptionParser, argv: list[str]) -> Words:
    try:
        return parser.split_options(argv)
    except UnknownOption as e:
        from escp.options.habits import explain_unknown  # lazy: only a mistake needs it

        raise UsageError(str(e), explain_unknown(e.name, parser.find_spellings(""), e.word)) from e


def _check_words(parser: OptionParser, command: Words, parse: "Callable[[], Options]") -> Options:
    """What *parse* returns; what is wrong with an option is told by the name that the user wrote."""
    try:
        return parse()
    except UsageError as e:
        text, hint = str(e), e.hint
        from escp.options.habits import explain_swallowed, explain_value  # lazy: only a mistake needs it

        name, _, rest = text.removeprefix("option ").partition(": ")
        spellings = parser.find_spellings(name) if text.startswith("option ") and rest else []
        given = [(one, word) for word in command.options for one in spellings if _is_spelt(word, one)]
        if given:
            one, word = given[-1]
            shown = command.written.get(one, one)
            shown = shown if one == name else f"{shown} ({name})"
            value = word.removeprefix(one).removeprefix("=" if one.startswith("--") else "")
            raise UsageError(f"option {shown}: {rest}", explain_value(one, value) or hint) from e
        if command.taken is not None and text in (NO_SOURCE, NO_TARGET):
            hint = explain_swallowed(*command.taken)
        raise UsageError(text, hint) from e


def _is_spelt(word: str, name: str) -> bool:
    return word.startswith(f"{name}=") or word == name if name.startswith("--") else word.startswith(name)


def merge_words(
    parser: OptionParser, words: list[str], blocks: list[config.Block], kinds: dict[str, config.Kind]
) -> argparse.Namespace:
    """The values that the options, and blocks, weakest first, give. Raises UsageError."""
    return _parse_words(parser, words, *config.merge_blocks(blocks, kinds, check_setting))


def _parse_words(
    parser: OptionParser, words: list[str], values: dict[str, object],
    lists: dict[str, list[tuple[str, str]]],
) -> argparse.Namespace:  # fmt: skip
    """Parse the options, with the configuration's values where none is given. Lists of both add up."""
    keys = parser.list_keys()
    verbosity = values.pop("verbosity", 0)
    args = parser.parse_args(words, argparse.Namespace(**values))
    args.verbosity = args.verbosity or verbosity
    for dest, items in lists.items():
        more = [_convert(keys[key], text) for key, text in items]
        setattr(args, dest, [*getattr(args, dest), *more])
    args.is_logfile_configured = args.logfile is not None and args.logfile == values.get("logfile")
    for dest in _PATHS:
        value = getattr(args, dest)
        if isinstance(values.get(dest), str) and value == values[dest]:
            setattr(args, dest, os.path.expanduser(value))
    args.has_numeric_ids = args.has_numeric_ids and (
        args.keeps_owner or args.is_archive or "--numeric-ids" in words
    )
    return args


# No shell expands ~ in a configuration; ssh itself does it for -i.
_PATHS = ("ssh_config", "logfile", "agent_tree", "metrics", "tls_folder")


def _check_given(check: "Callable[[str], object]", text: str | None) -> object:
    return None if text is None else check(text)


def _convert(action: argparse.Action, text: str) -> object:
    return action.type(text) if callable(action.type) else text


def _check_options(args: argparse.Namespace) -> Options:
    """Check the values, and what they mean together. Raises UsageError."""
    sources, target = parse_operands(args)
    port = parse_port(args.port)
    n_more_ports = parse_count(args.port_range, "--escp_portrange", 0, MAX_PORT - port)
    send_engine, receive_engine = parse_engines(args.ioengine)
    if args.is_archive:
        args.is_recursive = args.keeps_attributes = args.keeps_links = args.keeps_hard_links = True
    if args.skips_existing:  # and so whatever --checksum would compare
        args.compares_digests = False
    min_bytes, below_bytes = parse_bounds(args.min_size, args.max_size)
    if args.has_numeric_ids and not (args.keeps_owner or args.is_archive):
        raise UsageError("option --numeric-ids: there is no --owner", "write both")
    check_removal(args)
    check_deletion(args, sources)
    check_contents(args)
    check_manifest(args, target)
    checked = {
        "sources": sources,
        "target": target,
        "reads_standard_input": any(source.is_dash for source in sources),
        "writes_standard_output": target.is_dash,
        "has_checksum": not args.nochecksum,
        "limit_bytes_per_s": _check_given(parse_rate, args.limit),
        "partial_min": parse_partial(args),
        "filters": tuple(
            (is_include, check_pattern(pattern, "--include" if is_include else "--exclude"))
            for is_include, pattern in args.filters
        ),
        "mode_rules": [] if args.chmod is None else list(parse_chmod(args.chmod)),
        "max_deletions": _check_given(parse_deletions, args.max_deletions),
        "min_bytes": min_bytes,
        "below_bytes": below_bytes,
        "bind_address": _check_given(check_address, args.bind_address),
        "tunnel": check_tunnel(args.tunnel),
        "fallback": check_fallback(args.fallback),
        "words": tuple(operand.word for operand in args.operands),
        "n_streams": parse_streams(args.n_streams),
        "block_bytes": parse_block(args.blocksize, in_memory="shmem" in (send_engine, receive_engine)),
        "port": port,
        "n_ports": 1 + n_more_ports,
        "is_direct": not args.nodirect,
        "send_engine": send_engine,
        "receive_engine": receive_engine,
        "cpumask": _check_given(parse_cpumask, args.cpumask),
        "nodemask": _check_given(parse_nodemask, args.nodemask),
        "ssh_args": build_ssh_args(args),
        "ssh_port": _check_given(parse_ssh_port, args.ssh_port),
        "address_family": find_family(args.ip_version),
        "logfile": _check_given(check_logfile, args.logfile),
        "days": _check_given(parse_days, args.days),
        "json_fd": _check_given(parse_descriptor, args.json_fd),
        "n_retries": parse_retries(args.retry),
        "stop_s": _check_given(parse_stop, args.stop_after),
        "stats_s": parse_time(args.stats),
        "reconnect_s": parse_time(args.reconnect_timeout, "--reconnect-timeout"),
        "is_logfile_configured": getattr(args, "is_logfile_configured", False),
    }
    given = {name: value for name, value in vars(args).items() if name in Options._fields}
    return Options(**given | checked)
