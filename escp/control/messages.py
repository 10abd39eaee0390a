"""Messages of the control channel as records; `codec` makes bytes of them (docs/protocol.md 3). Pure.

Each class says all about its message: fields, who sends it after what, whether it may come again, and which
order it answers. `course` and `codec` are made from that. A field has the name of the option that
it is made of, whatever version 1.0 called it.
"""

from escp.control.message import TYPES as TYPES
from escp.control.message import Error as Error
from escp.control.message import Hello as Hello
from escp.control.message import KeepAlive as KeepAlive
from escp.control.message import Message as Message
from escp.control.orders import Receive as Receive
from escp.control.orders import Send as Send


class Opened(Message, agent=(Hello,), answers=Receive, done="opened the target"):
    """The receiving agent has opened the target.

    `names_below`: the sources' names go below it; `is_in_order`: it is a pipe or device, which one stream
    must fill, without holes.
    """

    names_below: bool
    is_in_order: bool


class Sources(Message, initiator=(Send,), repeats=True):
    """What to send, as the user named it; more follow unless `is_last`, when the agent asks for them."""

    paths: list[bytes]
    is_last: bool


class Roots(Message, agent=(Hello,), repeats=True, answers=Sources, done="looked for the sources"):
    """What the sending agent found: the number of the source each came from, its name, 1 for a directory.

    Nothing of it is sent before `Accept` says what each is to be called at the target.
    `errnos`: for each why it can't be looked at, or 0; empty where all can.
    """

    sources: list[int]
    names: list[bytes]
    directories: list[int]
    wants_more: bool
    is_last: bool
    errnos: list[int] = []  # noqa: RUF012


class Accept(Message, initiator=(Sources,), repeats=True):
    """The target path of each root of the last `Roots`, and whether to tell the receiver which don't come.

    `max_large`: what the receiver's `Listening` said. `tells_begun`: it knows the data plane's ENTRY_BEGUN.
    `asks_nodes`: it judges links and devices. `partial_min` and `resumes`: what its `Receive` said.
    `job`: keep a record of what arrives, of that name.
    """

    names: list[bytes]
    tells_absent: bool = False
    max_large: int = 0
    tells_begun: bool = False
    partial_min: int = 0
    resumes: bool = False
    job: bytes = b""
    asks_nodes: bool = False


class Allow(Message, initiator=(Receive,), repeats=True):
    """These paths below the destination may be written from now on; what lies below them, where it says 1."""

    names: list[bytes]
    directories: list[int]


class Allowed(Message, agent=(Opened,), repeats=True, answers=Allow, done="said that names are allowed"):
    """The answer to `Allow`."""


class Expect(Message, initiator=(Receive,), repeats=True):
    """Before `Link`: these files get their names only with these digests, of 16 bytes each (1.2, `expect`).

    `names`: paths that begin with the source's own name, whether or not that goes below the target.
    """

    names: list[bytes]
    digests: list[bytes]


class Expected(Message, agent=(Opened,), repeats=True, answers=Expect, done="noted what is expected"):
    """The answer to `Expect`."""


class Link(Message, initiator=(Send, Receive)):
    """How the streams come about. Only this and `Relay` hold secrets.

    mode: "listen" on `addresses` (none: the one that ssh arrived on), "connect" to one of them (none: the one
    that ssh came from), or "tunnel". A limit of 0 is none; `patience_s` is how long an agent that connects
    goes on trying. `is_relayed`: a relay connects, see `Relay`; `speaks_first`: through it this end proves
    itself before the other. `reconnect_s`: how long a stream that broke is waited for; 0: not at all (1.2).
    `control_secret`: with what the control channel comes back if ssh is lost; empty: it does not (1.2).
    `control_port`: where the streams lead to another agent, the first of the ports on one of which this one
    listens for it then; 0: it comes back as the streams do (1.2). `tells_mute`: `Mute` is wanted (1.2).
    """

    secret: bytes
    mode: str
    n_streams: int
    block_bytes: int
    limit_bytes_per_s: int
    addresses: list[str]
    port: int
    n_ports: int
    patience_s: int
    is_relayed: bool
    speaks_first: bool
    reconnect_s: int = 0
    control_secret: bytes = b""
    control_port: int = 0
    n_control_ports: int = 0
    tells_mute: bool = False

    def __repr__(self) -> str:
        return f"Link(mode={self.mode!r})"


class Heard(Message, agent=(Hello,), initiator=(Link,), repeats=True, is_counted=False):
    """So many messages have been taken of the other end's, in all; first of all on a channel that comes back.

    Only where the `Link` has a secret for that. It is not counted itself, as keepalives are not (1.2).
    """

    n: int


class Damaged(Message, agent=(Hello,), repeats=True):
    """What came over that stream is not what was sealed: the agent has cut it, and waits for the next one.

    Only where the `Link` says that there may be another one (1.2).
    """

    stream: int


class Cut(Message, agent=(Hello,), repeats=True):
    """That connection of a relayed stream, counted from 0, broke, and another one is waited for.

    Only where the `Link` with `is_relayed` says that there may be another one (1.2). *is_doubt*: it seems to
    be sound, and brings nothing; said again every 5 s. The relay acts when both agents say so.
    """

    stream: int
    connection: int
    is_doubt: bool = False


class Mute(Message, agent=(Hello,), repeats=True, is_counted=False):
    """Nothing comes over that connection of a stream, and nothing is unread; said again every 5 s (1.2).

    Only where the `Link` asks for it. `n_received`: bytes that this host's system has had over it;
    `n_acked`: bytes of this host's that something on the way has acknowledged.
    """

    stream: int
    connection: int
    n_received: int
    n_acked: int


class Relay(Message, initiator=(Send, Receive)):
    """A relay connects, before `Link`: what it proves itself with, a secret of this agent's leg alone."""

    secret: bytes

    def __repr__(self) -> str:
        return "Relay()"


class Listening(Message, agent=(Hello,), answers=Link, done="said where its data streams are"):
    """The agent is ready for the streams, here or, without addresses, wherever ssh reached it.

    Port 0 where it was to listen: no port is free, for that *reason*. `max_large`, of a receiver: how many
    large files may be begun and not acknowledged, 0 for as many as the protocol allows.
    `limit_bytes_per_s`, of a receiver: what its host takes, 0 for any rate (1.2).
    """

    addresses: list[str]
    port: int
    n_streams: int
    reason: str = ""
    max_large: int = 0
    limit_bytes_per_s: int = 0


class Tunnel(Message, initiator=(Link,)):
    """No data port can be reached: from here on chunks carry the streams on this channel."""


class Carry(Message, initiator=(Hello,)):
    """Be no end yourself: carry sessions of other agents of your host (`control/carrier`; 1.2, `carry`)."""


class Files(Message, initiator=(Hello,)):
    """Be no end of a copy: answer what is asked about files, `control/questions` (1.2, `files`)."""


class Begin(Message, initiator=(Carry,), repeats=True):
    """Start an agent; chunks of this number are its control channel from now on."""

    number: int


class Leave(Message, initiator=(Carry,), repeats=True):
    """That one's initiator writes no more: its agent reads the end of its input."""

    number: int


class Ended(Message, agent=(Hello,), repeats=True):
    """An agent that was begun is gone, and all that it has said has been sent; its number is free.

    `status`: its exit status, 128 + n after signal n; `reason`: why it could not be started.
    """

    number: int
    status: int
    reason: str = ""


class Credit(Message, agent=(Hello,), initiator=(Link, Carry), repeats=True):
    """The reader of a tunnelled stream has room for `n` more bytes."""

    stream: int
    n: int


class Chunk(Message, agent=(Hello,), initiator=(Link, Carry), repeats=True, is_json=False):
    """Bytes of a tunnelled stream: the one message that is no JSON."""

    stream: int
    data: bytes


class Progress(Message, agent=(Hello,), repeats=True):
    """The sending agent's counters, several times a second."""

    bytes: int
    files: int
    directories: int
    failed: int
    skipped: int
    found_bytes: int
    found_files: int
    is_walked: bool
    bytes_network: int
    bytes_compressed: int
    first_ns: int
    last_ns: int
    counted_files: int = 0  # that there are, as far as they were counted ahead (1.2); 0: not known
    parts: int = 0  # large files that would stay at the target if the copy were cut off now (1.2)


class FileFailed(Message, agent=(Hello,), repeats=True):
    """One file that the sending agent could not send, or the receiver not write. `code`: fast_code.

    From a receiving agent: a root that did not come (FAST_MISSING), or of which the sender says that it will
    not come (FAST_ABSENT).
    """

    path: bytes
    code: int
    sys_errno: int
    where: str
    is_receiver: bool
    twins: list[bytes] = []  # noqa: RUF012 - of a name that was given twice: this source, and the one that has it


class PartTold(Message, agent=(Opened,), repeats=True):
    """Of a receiving agent: it goes on with a large file's part, or why it does not; `news` as in `ui/words`.

    `n_bytes`: of it that were kept. Only where `Receive` had a `partial_min`.
    """

    path: bytes
    news: str
    n_bytes: int


class Listed(Message, agent=(Roots,), repeats=True):
    """What a dry run would copy, as target paths; directories end with a slash."""

    paths: list[bytes]


class Itemized(Message, agent=(Roots,), repeats=True):
    """What was copied, or in a dry run in place of `Listed` would be: target paths, and sizes in bytes.

    `reasons`: a reason_kind of the data plane each; `kinds`: file, directory, link, device (1.2, `itemize`).
    `digests`, with `tells_digests`: of a file that was copied 16 bytes, else none.
    """

    paths: list[bytes]
    reasons: list[int]
    kinds: list[str]
    sizes: list[int]
    digests: list[bytes] = []  # noqa: RUF012


class Result(Message, agent=(Opened, Roots), done="said what came of the copy"):
    """The agent's own account of what it did; -1: an agent of version 1.1, which does not say."""

    files: int
    directories: int
    failed: int
    bytes: int
    bytes_network: int
    bytes_disk: int
    bytes_compressed: int
    skipped: int = -1  # files that the receiver has already
    data_ns: int = -1  # from the first to the last byte of data
    log_failure: str = ""  # why the agent's own log could not be written to


class Examine(Message, initiator=(Hello,)):
    """Tell the facts about your host and this directory of it; only for an agent with that feature."""

    path: bytes


class Examined(Message, agent=(Hello,), answers=Examine, done="examined its host"):
    """The answer: NAME=VALUE, as `facts` reads them."""

    facts: list[str]


class Bye(Message, initiator=(Hello,)):
    """The initiator needs nothing more. `is_whole`: all has come, and nobody will go on with it.

    `is_unsafe`: what has come may not be on its disk: no record is to say that it is there.
    """

    is_whole: bool = False
    is_unsafe: bool = False
