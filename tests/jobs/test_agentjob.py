import pytest

from escp.jobs.agentjob import _write_address


@pytest.mark.parametrize("place, address", [
    ("192.0.2.7 port 1232", "192.0.2.7:1232"),
    ("fd00::1 port 1232", "[fd00::1]:1232"),
    ("this host port 1240", "this host:1240"),
    ("ssh", "ssh"),
    ("", ""),
])  # fmt: skip
def test_address_for_programs(place, address):
    assert _write_address(place) == address
