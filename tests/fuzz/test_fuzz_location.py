"""Whatever stands on the command line: a Location or an EscpError, and quoting back loses nothing."""

import os

from hypothesis import example, given
from hypothesis import strategies as st

from escp.options.location import Location, parse_location
from tests.fuzz.targets import command_line

PIECES = st.sampled_from(
    [b"scp://", b"[", b"]", b":", b"@", b"/", b"//", b"%", b"%2", b"%41", b"%00", b"+", b"-", b"::1", b"host",
     b"user", b"22", b"~", b"..", b";", b" ", b"\n", b"\x1b", b"\xff", b"\xe2\x80\xae", b"\\"]
)  # fmt: skip
WORDS = st.one_of(st.binary(max_size=64), st.lists(PIECES, max_size=12).map(b"".join)).map(
    lambda w: w.replace(b"\0", b"")
)


@given(WORDS)
@example(b"a:b@[c]:d")
@example(b"scp://u@[::1]:22//%ff")
def test_parsing_never_crashes_and_quoting_back_round_trips(word):
    command_line.read_location(word)


@given(
    st.none()
    | st.text(
        st.characters(exclude_categories=("C", "Z"), exclude_characters="'`\";&<>|(){}\\-"), min_size=1
    ),
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}|[0-9a-f:]{2,10}", fullmatch=True),
    st.none() | st.integers(1, 65535),
    st.binary(max_size=40).map(lambda path: path.replace(b"\0", b"")),
)
def test_any_location_survives_its_quoting(user, host, port, path):
    location = Location(user, host, port, path)
    assert parse_location(os.fsencode(str(location))) == location


ARGUMENTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        "-- - -r -rp -P -P22 -l -l1M -o -oA=b -i --json --json=1 --blocksize 1M --ioengine posix::dummy "
        "-t 64 --escp_port 65535 --escp_portrange 0 --logfile LOCAL9 --embedded localhost: h:x "
        "scp://h:1/%41 a -vvv".split()
    ),
)


@given(st.lists(ARGUMENTS, max_size=8))
def test_any_command_line_gives_options_or_a_usage_error(argv):
    command_line.read_options(argv)
