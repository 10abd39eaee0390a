import pytest

from escp.names.spool import CHUNK_BYTES, Spool


@pytest.mark.parametrize("size", [0, 1, 100, CHUNK_BYTES - 9, CHUNK_BYTES + 5])
def test_records_come_back_from_the_front_and_from_behind(size):
    spool = Spool()
    records = [b"%06d" % i + bytes(size) for i in range(40)]
    for record in records:
        spool.add(record)
    at, found = 0, []
    while at < spool.end:
        record, at = spool.read(at)
        found.append(record)
    assert found == records
    found = []
    while at:
        record, at = spool.read_before(at)
        found.append(record)
    assert found == records[::-1]
    spool.close()


def test_reading_while_it_grows():
    """As the plan of a deletion does."""
    spool = Spool()
    spool.add(b"0")
    at = n = 0
    while at < spool.end:
        record, at = spool.read(at)
        assert int(record) == n
        if 2 * n + 2 < 50_000:
            spool.add(b"%d" % (2 * n + 1))
            spool.add(b"%d" % (2 * n + 2))
        n += 1
    assert n == 49_999
    spool.close()
