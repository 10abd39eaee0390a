"""Sessions held to their host's rules; what needs no process of its own."""

import pytest

from escp.agent import site
from escp.control.messages import Carry, Link
from escp.errors import RefusedError
from escp.options.config import Block, Setting
from escp.options.rules import make_rules


def make(monkeypatch, **keys):
    monkeypatch.setattr(site, "confine", lambda *_: None)
    monkeypatch.setattr(site, "set_ceilings", lambda *_: None)
    monkeypatch.setattr(site, "forbid_reading", lambda: None)
    settings = tuple(
        Setting(key.replace("_", "-"), value, "/etc/escp.conf, line 2") for key, value in keys.items()
    )
    return site.Site(make_rules(Block(None, settings), ()), 100.0)


def test_who_sends_faster_than_he_was_told_is_cut_off(monkeypatch):
    one = make(monkeypatch, limit="1MB")
    assert one.limit_bytes_per_s == 1_000_000
    one.check_rate(100.0, 0)
    for second in range(1, 60):
        one.check_rate(100.0 + second, 1_200_000 * second)
    with pytest.raises(RefusedError, match="more comes in than limit in"):
        one.check_rate(160.0, 200_000_000)


def test_a_link_is_cut_down(monkeypatch):
    link = Link(b"", "listen", 4, 1 << 20, 0, [], 1232, 11, 5, False, False)
    one = make(monkeypatch, limit="1MB", escp_port="65530", escp_portrange="20")
    found = one.admit(link)
    assert (found.limit_bytes_per_s, found.port, found.n_ports) == (1_000_000, 65530, 6)
    assert one.admit(link._replace(limit_bytes_per_s=500)).limit_bytes_per_s == 500
    assert one.admit(link._replace(mode="connect")).port == 1232


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])
def test_no_stream_leads_to_the_host_itself(monkeypatch, address):
    link = Link(b"", "connect", 4, 1 << 20, 0, ["192.0.2.1", address], 1232, 1, 5, False, False)
    with pytest.raises(RefusedError, match="an address of this host: restrict in"):
        make(monkeypatch, restrict="/a").check_way(link, "192.0.2.7")
    make(monkeypatch, restrict="/a").check_way(link, address)  # from which the login came
    make(monkeypatch, restrict="/a").check_way(link._replace(mode="listen"), "192.0.2.7")
    make(monkeypatch, limit="1MB").check_way(link, "192.0.2.7")  # it may do all else there, too


def test_an_order_that_no_rule_knows_is_refused(monkeypatch):
    with pytest.raises(RefusedError, match="may not ask for 'carry'"):
        make(monkeypatch, read_only=True).admit(Carry())


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"restrict": "/a"}, ["/a"]),
        ({"restrict": "/a", "allow": ("/a/b", "/c")}, ["/a/b"]),
        ({"restrict": "/a/b", "allow": ("/a", "/a/b/c")}, ["/a/b", "/a/b/c"]),
        ({"restrict": "/a", "allow": ("/ab",)}, []),
        ({"deny": ("/a",)}, ["/"]),
        ({"allow": ("/",)}, ["/"]),
    ],
)
def test_what_is_left_where_several_rules_meet(monkeypatch, keys, found):
    settings = tuple(Setting(key, value, "f") for key, value in keys.items())
    assert site._narrow(make_rules(Block(None, settings), ())) == found
