"""Facts on their way from an agent: what comes back, what is refused; and how findings look."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escp.doctor.advice import Situation, advise_host, advise_route, find_rates
from escp.errors import ProtocolError
from escp.facts.facts import MAX_TEXT, NO_FACTS, NO_ROUTE, HostFacts, decode_facts, encode_facts
from escp.ui.display import show_text
from escp.ui.finding import (
    LOCAL,
    NOTE,
    OK,
    PROBLEM,
    REMOTE,
    ROUTE,
    WARNING,
    Check,
    Finding,
    format_check,
    format_count_of,
    format_finding,
    format_scope,
)

TEXTS = st.text(max_size=20)
VALUES = {str | None: TEXTS, int | None: st.integers(0, (1 << 63) - 1),
          bool | None: st.booleans(),
          tuple[int, ...] | None: st.tuples(*[st.integers(0, 10**18 - 1)] * 3)}  # fmt: skip
FACTS = st.builds(
    HostFacts, **{name: st.none() | VALUES[kind] for name, kind in HostFacts.__annotations__.items()}
)
ROUTES = st.builds(
    NO_ROUTE._replace,
    rtt_s=st.none() | st.floats(0, 100),
    mtu=st.none() | st.integers(1, 1 << 31),
    n_lost=st.none() | st.integers(0, 1 << 31),
)


@settings(max_examples=30, deadline=None)
@given(FACTS)
def test_facts_come_back_with_their_texts_escaped(facts):
    shown = {name: show_text(v) for name, v in facts._asdict().items() if isinstance(v, str)}
    if not re.fullmatch(r"[\w.:@+-]{1,15}", facts.device or "", re.ASCII):
        shown["device"] = None
    assert decode_facts(encode_facts(facts)) == facts._replace(**shown)


def test_no_text_of_a_peer_becomes_a_line_or_a_command():
    words = ["path_error=", "is_writable=0", "direct_error=x\nas root:\nrm -r /", "device=eth0;reboot"]
    facts = decode_facts([*words, "device_mtu=1500", "device_bits_per_s=100000000000"])
    findings = advise_host(facts, REMOTE, Situation("box", (10**9,), 4, 0.1))
    assert not any("\n" in finding.advice and "rm -r" in finding.advice for finding in findings)
    assert not any("reboot" in finding.advice for finding in findings)


def test_a_long_text_is_cut_before_it_is_sent():
    assert encode_facts(NO_FACTS._replace(kernel="x" * 1000)) == ["kernel=" + "x" * MAX_TEXT]


def test_unknown_facts_are_left_to_later_releases():
    assert decode_facts(["moon=full", "n_cpus=4"]) == NO_FACTS._replace(n_cpus=4)


@pytest.mark.parametrize(
    "words",
    [["n_cpus"], ["n_cpus=4", "n_cpus=4"], ["n_cpus=-1"], ["n_cpus=4.5"], ["n_cpus="], ["n_cpus=٣"],
     ["n_cpus=9223372036854775808"], ["n_cpus=" + "9" * 5000], ["has_direct=yes"], ["tcp_rmem=1 2"],
     ["tcp_rmem=1 2 x"], ["tcp_rmem=1 2 3 4"], ["device=" + "x" * (MAX_TEXT + 1)]],
)  # fmt: skip
def test_wrong_facts_are_refused(words):
    with pytest.raises(ProtocolError):
        decode_facts(words)


@given(st.lists(st.text(max_size=30) | st.sampled_from(HostFacts._fields).map(lambda n: n + "=1")))
def test_any_words_are_facts_or_a_protocol_error(words):
    try:
        decode_facts(words)
    except ProtocolError:
        return


@settings(max_examples=50, deadline=None)
@given(FACTS, FACTS, ROUTES, st.integers(1, 64))
def test_whatever_a_host_tells_the_findings_are_harmless(local, remote, route, n_streams):
    situation = Situation("box", find_rates(local, remote), n_streams, route.rtt_s)
    findings = advise_host(local, LOCAL, situation) + advise_host(remote, REMOTE, situation)
    findings += advise_route(route, local, remote, is_tunnel=False)
    for finding in findings:
        assert finding.status in (OK, NOTE, WARNING, PROBLEM)
        assert all(line.isprintable() for line in format_finding(finding))


# ---- How it looks ---------------------------------------------------------------------------------------


def test_lines_fit_80_columns_and_commands_stay_whole():
    command = "sysctl -w net.ipv4.tcp_rmem='4096 131072 1073741824'"
    finding = Finding(LOCAL, "tcp_rmem", WARNING, "word " * 40, f"{'more ' * 30}as root:\n{command}", 1)
    lines = format_finding(finding)
    assert max(map(len, lines)) <= 80
    assert lines[-1] == " " * 13 + command
    assert sum("-> " in line for line in lines) == 1


def test_a_long_word_is_not_broken():
    lines = format_finding(Finding(LOCAL, "device", OK, "x" * 200))
    assert "x" * 200 in lines[0]


def test_control_characters_are_escaped():
    text = "a\x1b[2J\u202eb\rc"
    for lines in (
        format_finding(Finding(REMOTE, "ssh", OK, text, text)),
        format_check(Check("x", True, text)),
    ):
        assert all(line.isprintable() for line in lines)
    assert format_scope(REMOTE, text).isprintable()


def test_headlines_and_the_last_line():
    assert [format_scope(scope, "box") for scope in (LOCAL, REMOTE, ROUTE)] == [
        "this host", "box", "between this host and box",
    ]  # fmt: skip
    findings = [Finding(LOCAL, "x", status, "") for status in (OK, NOTE, NOTE, WARNING, PROBLEM)]
    assert format_count_of(findings) == "1 problem, 1 warning, 2 notes"
    assert format_count_of(findings[:1]) == "nothing to improve"


def test_checks():
    assert format_check(Check("aead", True, "fine")) == ["ok      aead           fine"]
    assert format_check(Check("aead", False, "bad"))[0].startswith("FAILED  aead ")
