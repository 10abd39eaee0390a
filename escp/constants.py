"""Numbers and words that more than one module must agree on: the protocol's, tuning, the agent's words.

The native code has its own copy of the protocol constants in `_fast/base/types.pxd`;
`tests/_fast/base/test_types.py` compares the two.
"""

KIB = 1 << 10
MIB = 1 << 20

# --- Protocol: changing one of these changes docs/protocol.md ---------------------------------

PROTOCOL_MAJOR = 1  # 3.2: an unknown major version is refused
PROTOCOL_MINOR = 2  # 3.2: additions an older peer may ignore
MARKER = b"\n\x1eESCP agent ready\x1e\n"  # 3.1: everything before it is noise
MAX_NOISE_BYTES = 16 * MIB  # 3.1
MAX_MESSAGE_BYTES = 1 * MIB  # 3.2: one control message
MAX_CHUNK_BYTES = 64 * KIB  # 3.5: of a tunnelled stream, in one piece
TUNNEL_WINDOW_BYTES = 1 * MIB  # 3.5: of each stream and direction, on the way or not yet read
SECRET_BYTES = 32  # 4.1
MIN_BLOCK_BYTES = 256 * KIB  # 4.4
MAX_BLOCK_BYTES = 32 * MIB  # 4.4
BLOCK_MULTIPLE_BYTES = 256 * KIB  # 4.4
MAX_CARRIED = 64  # 3.7: sessions that one control channel carries at the same time
MAX_STREAMS = 64  # 4.5
MAX_PATH_BYTES = 4095  # 4.6: relative path of an entry
MAX_NAME_BYTES = 255  # 4.6: one component of it

# --- Tuning: free to change --------------------------------------------------------------------

DEFAULT_STREAMS = 4
DEFAULT_BLOCK_BYTES = 1 * MIB
MEMORY_BLOCK_BYTES = 512 * KIB  # where an end is a program's memory: two of them fit into a core's cache
DEFAULT_PORT = 1232
TLS_PORT = 1231  # of escp --listen
DEFAULT_PORT_COUNT = 11  # 1232 to 1242: --escp_portrange 10 counts the ports after the first
CONNECT_TIMEOUT_S = 5.0  # for a data connection, at all addresses of the host together
HELLO_TIMEOUT_S = 10.0  # an accepted connection that has not proven the key by then is closed
MAX_UNPROVEN = 256  # such connections at a time, and no more than a quarter of the files that may be open
MAX_UNPROVEN_AGAIN = 4  # the same while a copy runs, and streams are missing
SSH_CONNECT_TIMEOUT_S = 10  # handed to ssh unless the user sets ConnectTimeout
SSH_ALIVE_S = 40  # the same for ServerAliveInterval
SSH_ALIVE_COUNT = 3  # of them without an answer: ssh gives up
AGENT_START_TIMEOUT_S = 10.0  # from the agent's marker to its hello
AGENT_MUTE_S = 12.0  # the same for one that says nothing at all: it may have been stopped for a moment
KEEPALIVE_S = 5.0  # on the control channel, both ways
START_ALIVE_S = (
    1.0  # the same of an agent whose streams are not there yet: one that is silent has been stopped
)
PEER_SILENT_S = 600.0  # an agent that says nothing for so long is lost; until then it may be stopped

INITIATOR_SILENT_S = 600.0  # the same for the initiator
ANSWER_TIMEOUT_S = 120.0  # for an answer that an agent owes, while it sends keepalives
TOLD_S = 8.0  # so long what an agent says of a connection counts: it says it every 5 s
SHUTDOWN_TIMEOUT_S = 3.0  # for the agent and ssh to end by themselves once asked to

# --- The agent's command line -------------------------------------------------------------------

SERVER = "--server"
EMBEDDED = "--embedded"  # one that is started on the initiator's own host, without ssh
TLS_LOGIN = "--tls-login"  # what the initiator starts in ssh's place: tls/login
