"""The options that there are: `build_parser()`, from which help, man page and completion are made as well.

It imports the standard library and the lowest rooms only, because it runs before ssh is started. `grammar`
takes command lines apart, `options` checks what values may be.
"""

from escp.constants import (
    DEFAULT_BLOCK_BYTES,
    DEFAULT_PORT,
    DEFAULT_PORT_COUNT,
    DEFAULT_STREAMS,
    KIB,
    MAX_STREAMS,
    MEMORY_BLOCK_BYTES,
    MIB,
)
from escp.errors import EXIT_MEANINGS
from escp.lean.untranslated import argparse
from escp.options.grammar import Formatter, Join, OptionParser

DEFAULT_COMMAND = "escp"
PUSHED_AGENT = ""  # the command that starts the agent, which can't be empty, where escp is sent along
USAGE = """\
escp [OPTION]... FILE... [USER@]HOST:[PATH]        to another host
       escp [OPTION]... [USER@]HOST:FILE... PATH          from other hosts
       escp [OPTION]... HOST1:FILE... HOST2:[PATH]        between two hosts
       escp [OPTION]... FILE... PATH                      on this host"""
DESCRIPTION = """\
Copies files and directories over several TCP streams, encrypted with
AES-128-GCM, and verifies them. ssh logs in and starts escp on the other host,
where it must be installed (or see --push-agent). A path there is relative to
the home directory unless it begins with a slash. Options stand before the first
operand, as with scp; `--` ends them.

examples:
  escp results.h5 dtn2:                       to your home directory on dtn2
  escp -r run42 user@dtn2:/scratch/           a whole tree
  escp -rp 'dtn2:runs/run4?' .                from dtn2, with times and modes
  escp -rp --skip-unchanged run42 dtn2:       only what is not there yet
  escp -n -r run42 dtn2:                      only list what would be copied"""
EPILOG = """\
An IPv6 address stands in brackets, a local file with a colon in its name is
written ./a:b, and scp://[USER@]HOST[:PORT][/PATH] is understood too.
tls://HOST[:PORT][/PATH] logs in by a certificate, at an escp --listen. Remote
sources may hold the patterns * ? [...].

Every long option may get its default from /etc/escp.conf, ~/.config/escp.conf
or the environment (--compress: ESCP_COMPRESS=1; ESCP_COMPRESS=0 takes it back).
Its words may be joined by - or _: --escp-port is --escp_port.

exit status:
""" + "\n".join(f"  {code:<6}  {meaning}" for code, meaning in EXIT_MEANINGS.items())


def build_parser() -> OptionParser:
    """Return the parser of the whole command line. Values stay text: `options` converts and checks them."""
    parser = OptionParser(
        prog="escp",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    operands = parser.add_argument_group("operands")
    operands.add_argument(
        "operands",
        nargs="*",
        metavar="SOURCE... TARGET",
        help="what to copy and, last, where to; in a TARGET that is a directory sources keep their names; "
        "- is standard input or output",
    )
    _add_copy_options(parser.add_argument_group("copying"))
    _add_selecting_options(parser.add_argument_group("selecting"))
    _add_attribute_options(parser.add_argument_group("attributes"))
    _add_ssh_options(parser.add_argument_group("ssh"))
    _add_tls_options(parser.add_argument_group("tls"))
    _add_path_options(parser.add_argument_group("network"))
    _add_tuning_options(parser.add_argument_group("tuning"))
    _add_output_options(parser.add_argument_group("output"))
    return parser


# Every option has a long name: that is what it is called in the configuration files.
# fmt: off
def _add_ssh_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-P", "--ssh-port", dest="ssh_port", metavar="PORT",
        help="port of the remote ssh server (default: ssh's, normally 22)")
    add("-i", "--identity", dest="identities", action="append", default=[], metavar="FILE",
        help="private key to log in with; may be repeated (default: ssh's)")
    add("-F", "--ssh-config", dest="ssh_config", metavar="FILE",
        help="ssh's configuration file (default: ~/.ssh/config)")
    add("-J", "--jump", dest="jump", metavar="DEST",
        help="log in through this jump host, or several with commas; the data streams go around it where "
        "they can, else through ssh (default: none)")
    add("-c", "--ssh-cipher", dest="cipher", metavar="CIPHER",
        help="cipher of the ssh login, not of the data (default: ssh's)")
    add("-o", "--ssh-option", dest="ssh_options", action="append", default=[], metavar="OPTION",
        help="any option of ssh_config, as NAME=VALUE; may be repeated (default: none)")
    add("-S", "--ssh", dest="ssh_program", default="ssh", metavar="PROGRAM",
        help="program to log in with (default: %(default)s)")
    add("-4", "--ipv4", dest="ip_version", action="store_const", const=4,
        help="use IPv4 only, for login and data (default: either)")
    add("-6", "--ipv6", dest="ip_version", action="store_const", const=6,
        help="use IPv6 only, for login and data (default: either)")
    add("-A", "--forward-agent", dest="forwards_agent", action="store_true",
        help="forward the ssh agent to the remote host (default: off)")
    add("-B", "--batch", dest="batch", action="store_true",
        help="never ask for a password or passphrase (default: off)")
    add("-D", "--escp", dest="agent_command", default=DEFAULT_COMMAND, metavar="PATH",
        help="command that starts escp on the remote host; the remote shell reads it as it is. "
        "Not scp's -D (default: %(default)s)")
    add("--push-agent", dest="agent_command", action="store_const", const=PUSHED_AGENT,
        help="send this escp to the remote host, once, and start it from ~/.cache/escp there, whether one is "
        "installed there or not; of this and -D the last one counts (default: off)")
    add("--agent-tree", dest="agent_tree", metavar="DIR",
        help="the frozen escp that --push-agent sends: a folder with bin/escp and lib/escp (default: this "
        "program, if it is a frozen one)")
    add("--fallback", dest="fallback", metavar="FALLBACK", default="none",
        help="where the other host has no escp, let the system's scp copy in its place: scp, or none. It "
        "verifies nothing, and is refused where it lacks an option that was given (default: %(default)s)")
    add("--clean-agents", dest="cleans_agents", action="store_true",
        help="remove what --push-agent left on the hosts that stand in place of SOURCE and TARGET, but for "
        "the version that this escp would send, and exit (default: off)")


def _add_copy_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-r", "--recursive", dest="is_recursive", action="store_true",
        help="copy directories with all that is in them; symbolic links are followed unless --links is "
        "given (default: off)")
    add("-T", "--no-target-directory", dest="is_target_exact", action="store_true",
        help="the one SOURCE is to be called TARGET, also where that is a directory: it gets a directory's "
        "contents, and is refused for a file. Not scp's -T (default: off)")
    add("--mkpath", dest="makes_path", action="store_true",
        help="make the directories that lead to TARGET, and with a slash at its end TARGET itself "
        "(default: off)")
    add("--remove-source-files", dest="removes_sources", action="store_true",
        help="remove each source but directories once it has arrived and is verified, if it has not changed "
        "since it was read; what was skipped stays (default: off)")
    add("--delete", dest="deletes", action="store_true",
        help="when all is copied and verified, remove from the directories that were copied what the sources "
        "do not have; any error removes nothing, and what --exclude leaves out stays (default: off)")
    add("--max-delete", dest="max_deletions", metavar="NAMES",
        help="with --delete, remove nothing if it would be more than so many files and directories, and end "
        "with exit status 18 (default: no bound)")
    add("-C", "--compress", dest="has_compression", action="store_true",
        help="compress the data with zstd (default: off)")
    add("-l", "--limit", dest="limit", metavar="LIMIT",
        help="limit the rate of all streams together: a bare number is Kbit/s as in scp (1 Kbit = 1024 "
        "bits); with a suffix bytes/s (100M) or bits/s (800Mbit), powers of 1000 (100MiB: of "
        "1024). Within one host it is the rate of what is read and written: files that share their blocks "
        "with the source are there at once (default: no limit)")
    add("--resume", dest="resumes", action="store_true",
        help="go on with a copy that was cut off, by the same arguments: files that have arrived are "
        "known again by inode, size and time, and of large ones only what is missing is sent, after what is "
        "there has been compared (default: off)")
    add("--partial-min", dest="partial_min", metavar="SIZE", default="64M",
        help="files of this size in bytes, or with K, M, and larger ones stay when the copy is cut off, as "
        ".NAME.escp-part beside where they are to be, for --resume (default: %(default)s)")
    add("--no-partial", dest="drops_parts", action="store_true",
        help="leave nothing of a file that was cut off (default: off)")
    add("--trust-partial", dest="trusts_parts", action="store_true",
        help="with --resume, do not read what is there: believe its journal (default: off)")
    add("-3", "--relay", dest="is_direct_hosts", action="store_const", const=False, default=False,
        help="between two remote hosts, pass the sealed data through this one (default: on)")
    add("-R", "--direct", dest="is_direct_hosts", action="store_const", const=True,
        help="between two remote hosts, have the first connect to the second, and no data pass here "
        "(default: off)")
    add("--retry", metavar="TIMES", default="0",
        help="run all of it again, up to so many times, over a new login, when network or ssh failed as "
        "may pass: after 5 s, 10 s, 20 s, ... 5 minutes. What is there is left out only with -p and "
        "--skip-unchanged, or --checksum (default: %(default)s)")
    add("--stop-after", metavar="TIME",
        help="end so many seconds after the start, or minutes as 30m, hours as 2h, as when interrupted, but "
        "with exit status 17: files that are not whole by then are dropped (default: none)")
    add("--nochecksum", action="store_true",
        help="do not verify the files' contents end to end (default: verify)")
    add("--fsync", dest="is_durable", action="store_true",
        help="all of the copy outlives a power cut once escp says that it is done: contents are on the disk "
        "before a file has its name, names before the end (default: the kernel writes in its own time)")
    add("--verify", dest="reads_back", action="store_true",
        help="read every file back from the target's disk, not from memory, before it has its name "
        "(default: what arrived is compared, on its way to the disk)")
    add("-O", "-s", dest="ignored", action="store_true",
        help="accepted because scp has them; no effect")
    add("-X", dest="ignored_value", metavar="OPTION",
        help="accepted because scp has it; no effect (default: none)")


def _add_tls_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--tls-dir", dest="tls_folder", metavar="DIR",
        help="where cert.pem, key.pem, ca.pem and crl.pem are, for tls://HOST[:PORT][/PATH] and for "
        "--listen (default: ~/.config/escp/tls; --listen: ~/.config/escp/listen, as root /etc/escp/tls)")
    add("--listen", dest="listens", action="store_true",
        help="let users log in by TLS whom the file users in --tls-dir names, until it is ended (operand: "
        "[ADDRESS][:PORT], or a socket of systemd's; default: off, port 1231)")
    add("--make-ca", dest="makes_ca", metavar="DIR",
        help="make an authority for certificates in the new directory DIR, and exit (default: none)")
    add("--make-cert", dest="makes_certificate", metavar="DIR",
        help="with the authority in DIR make a key and a certificate, and exit (operands: a directory for "
        "them, and names: DNS:NAME or IP:ADDRESS of a host, URI:URI of a user, escp-rule:write-only or "
        "others of tls.md; default: none)")
    add("--days", dest="days", metavar="DAYS",
        help="with --make-cert, how many days it is valid (default: 397 for a host, 90 for a user)")
    add("--revoke", dest="revokes", metavar="DIR",
        help="with the authority in DIR take certificates back, and renew its list of those, and exit "
        "(operands: their files or serial numbers; default: none)")


def _add_selecting_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--filelist", metavar="FILE",
        help="copy what FILE names (- for standard input), besides the sources on the command line: one a "
        "line, or YAML with names and [source, target] pairs (default: none)")
    add("-0", "--null", dest="is_null_separated", action="store_true",
        help="names in the file list end with NUL bytes, not with newlines (default: off)")
    add("--include", dest="filters", action="append", default=[], type=_include, metavar="PATTERN",
        help="do not skip what matches, whatever a later --exclude says (default: none)")
    add("--exclude", dest="filters", action="append", default=[], type=_exclude, metavar="PATTERN",
        help="skip what matches, as rsync does: * and ? do not match a slash, ** does, a leading slash "
        "means the top, a trailing one directories; the first pattern that matches counts (default: none)")
    add("-u", "--update", dest="updates", action="store_true",
        help="skip files that are newer at the target (default: off)")
    add("--skip-unchanged", dest="skips_unchanged", action="store_true",
        help="skip files of the same size and modification time at the target, which only -p keeps "
        "(default: off)")
    add("--checksum", dest="compares_digests", action="store_true",
        help="skip files of the same size and contents at the target: both sides read them (default: off)")
    add("--ignore-existing", dest="skips_existing", action="store_true",
        help="skip what has its name at the target already, whatever that is, but not the contents of "
        "directories (default: off)")
    add("--min-size", dest="min_size", metavar="SIZE",
        help="skip files of fewer bytes: K, M, G, T and P are powers of 1024, KB and so on of 1000 "
        "(default: none)")
    add("--max-size", dest="max_size", metavar="SIZE",
        help="skip files of more bytes (default: none)")
    add("-n", "--dry-run", dest="is_dry_run", action="store_true",
        help="only list what would be copied (default: off)")
    add("--itemize", dest="itemizes", action="store_true",
        help="list what was copied, or with -n would be, with its size, and why: missing, type, contents, "
        "attributes, or only there (default: off)")


def _add_attribute_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-a", "--archive", dest="is_archive", action="store_true",
        help="the same as -rp --links --hard-links, and --owner where the side that writes is root; without "
        "--xattrs, --acls, --devices and --sparse (default: off)")
    add("-p", "--preserve", dest="keeps_attributes", action="store_true",
        help="keep modification and access times and mode bits (default: off)")
    add("--chmod", dest="chmod", metavar="MODES", action=Join,
        help="change modes as chmod does, D and F in front are for directories and for all else: "
        "D755,F644 or go-w. Without -p the umask counts, what is there keeps its mode, and special bits "
        "are left out (default: none)")
    add("--owner", dest="keeps_owner", action="store_true",
        help="keep user and group, by name; only root may (default: off)")
    add("--numeric-ids", dest="has_numeric_ids", action="store_true",
        help="with --owner, keep the numbers of user and group instead of their names (default: off)")
    add("--xattrs", dest="keeps_xattrs", action="store_true",
        help="keep extended attributes (default: off)")
    add("--acls", dest="keeps_acls", action="store_true",
        help="keep POSIX access control lists (default: off)")
    add("--links", dest="keeps_links", action="store_true",
        help="copy symbolic links as links (default: copy what they lead to)")
    add("--hard-links", dest="keeps_hard_links", action="store_true",
        help="link what is linked among the sources of a host, instead of copying it again (default: off)")
    add("--sparse", dest="is_sparse", action="store_true",
        help="skip holes, and leave holes where there is nothing but zeroes (default: off)")
    add("--inplace", dest="is_inplace", action="store_true",
        help="write into files that are there instead of replacing them: where nothing can be renamed, or to "
        "keep hard links; old contents are lost at once, and what is cut off is a mix (default: off)")
    add("--devices", dest="keeps_devices", action="store_true",
        help="make devices and named pipes anew; only root may (default: skip them)")


def _add_path_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--data-host", dest="data_host", metavar="HOST",
        help="address or name that the data streams connect to (default: the address that ssh reached)")
    add("--bind", dest="bind_address", metavar="ADDRESS",
        help="address of this host that the data streams use (default: the system's choice)")
    add("--reverse", dest="is_reverse", action="store_true",
        help="the remote host connects to this one (default: this one connects)")
    add("--tunnel", default="auto", metavar="WHEN",
        help="carry the data through ssh: never, always, or auto: when no data port can be reached within "
        "5 s (default: %(default)s)")
    add("--reconnect-timeout", default="5m", metavar="TIME",
        help="when a data connection breaks, try so many seconds, or minutes as 5m, to make another one; 0 "
        "ends the copy at once (default: %(default)s)")
    add("--escp_port", dest="port", default=str(DEFAULT_PORT), metavar="PORT",
        help="first TCP port that the data may use on the host that listens (default: %(default)s)")
    add("--escp_portrange", dest="port_range", default=str(DEFAULT_PORT_COUNT - 1), metavar="PORTS",
        help="number of ports after the first that may be used when it is taken (default: %(default)s)")


def _add_tuning_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-t", "--parallel", dest="n_streams", default=str(DEFAULT_STREAMS), metavar="STREAMS",
        help=f"number of TCP streams, 1 to {MAX_STREAMS} (default: %(default)s)")
    add("--blocksize", default="auto", metavar="SIZE",
        help="unit of disk I/O in bytes, or with K, M: a multiple of 256K up to 32M; auto is "
        f"{DEFAULT_BLOCK_BYTES // MIB}M, and {MEMORY_BLOCK_BYTES // KIB}K with --ioengine=shmem "
        "(default: %(default)s)")
    add("--nodirect", action="store_true",
        help="do not use O_DIRECT (default: used for large files where the file system can)")
    add("--ioengine", default="posix", metavar="ENGINE",
        help="how files are read and written: posix, shmem (they are the memory of programs), or dummy to "
        "measure without any disk; SENDER::RECEIVER chooses one for each side (default: %(default)s)")
    add("--cpumask", metavar="MASK",
        help="run only on these CPUs of this host: bits as a hexadecimal number (default: all)")
    add("--nodemask", metavar="MASK",
        help="take memory only from these NUMA nodes of this host: bits as a hexadecimal number "
        "(default: all)")
    add("--embedded", dest="is_embedded", action="store_true",
        help="start the other side on this host directly, without ssh; HOST must be localhost "
        "(default: off)")
    add("--server", dest="is_server", action="store_true", help=argparse.SUPPRESS)


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-q", "--quiet", dest="is_quiet", action="store_true",
        help="show errors only: no meter, no summary, no warnings; ssh -q (default: off)")
    add("-v", "--verbose", dest="verbosity", action="count", default=0,
        help="say more; from -vv on, ssh gets -v as well (default: off)")
    add("--bits", dest="shows_bits", action="store_true",
        help="show rates in bits per second (default: bytes per second)")
    add("--stats", metavar="TIME", default="1m",
        help="without a terminal, say how far it is every so many seconds, or minutes as 5m; 0 is never "
        "(default: 1m)")
    add("--json", action="store_true",
        help="print one JSON object a line on standard output (json.md says what is in them; default: off)")
    add("--json-fd", dest="json_fd", metavar="FD",
        help="print the JSON objects to this open file descriptor, and to the terminal what people read "
        "(default: none)")
    add("--manifest", metavar="FILE",
        help="when all is copied, write the SHA-256, size and time of each file at the target to FILE (- for "
        "standard output), as sha256sum -c reads it: that reads all of it once more (default: none)")
    add("--check", dest="checks", metavar="FILE",
        help="compare the directory that stands in place of SOURCE and TARGET, here or on a host, with the "
        "manifest FILE: tell what is missing, changed, extra or unreadable, with -p other times, too; if "
        "there is anything, the exit status is 1 (default: none)")
    add("--metrics", metavar="FILE",
        help="at the end write numbers of the run to FILE, in Prometheus' text format (default: none)")
    add("--notify", metavar="COMMAND",
        help="at the end run COMMAND in a shell, with ESCP_RESULT_EXIT_CODE and the like in its environment "
        "(default: none)")
    add("--logfile", metavar="FILE",
        help="append start, errors and summary to FILE, or to the syslog facility LOCAL0 to LOCAL7 "
        "(default: none)")
    add("--log-files", dest="logs_files", action="store_true",
        help="with --logfile, a line for each file: size, digest, and whether it was copied (default: off)")
    add("--selftest", dest="is_selftest", action="store_true",
        help="check this escp, this directory and the loopback network, within a second, and exit")
    add("--doctor", dest="is_doctor", action="store_true",
        help="tell what limits copies on this host, or between it and another one, and what to do about it "
        "(operands: [DIR] [HOST[:DIR]]; default: this directory), and exit")
    add("--show-config", dest="shows_config", action="store_true",
        help="print every option's value and where it comes from, for the host that stands in place of "
        "SOURCE and TARGET if there is one, and exit")
    add("--check-config", dest="checks_config", action="store_true",
        help="say what is wrong with the configuration files and the environment, and exit")
    add("-L", "--licence", dest="shows_licence", action="store_true", help="print the licence and exit")
    add("-V", "--version", dest="shows_version", action="store_true", help="print the version and exit")
    add("-h", "--help", dest="shows_help", action="store_true", help="print this help and exit")
# fmt: on


def _exclude(pattern: str) -> tuple[bool, str]:
    return False, pattern


def _include(pattern: str) -> tuple[bool, str]:
    return True, pattern
