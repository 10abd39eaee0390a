"""Whose connections count together, before anybody has logged in."""

import pytest

from escp.tls.listener import _Guest


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:5:6:7:8", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("2001:db8::1", "2001:db9::1", False),
        ("fe80::1%lo", "fe80::2%lo", True),
    ],
)
def test_ipv6_counts_by_64_bits(one, other, is_same):
    networks = {_Guest(None, (address, 1), 0.0).network for address in (one, other)}
    assert (len(networks) == 1) == is_same
