"""The progress line's words; that it is drawn is tested on a terminal, in tests/cli."""

import io

from escp.ui.meter import Meter
from escp.ui.progress import Snapshot


def test_line_says_about_or_at_least_until_all_is_found():
    meter = Meter(io.StringIO(), shows_bits=False)
    assert "of at least 20 files" in meter.compose(Snapshot(1000, 2000, 10, 20, False), "1 MB/s", None, 100)
    line = meter.compose(Snapshot(1000, 2000, 10, 20, False, 100), "1 MB/s", 9000.0, 100)
    assert line.split()[0] == "~10%"
    assert "10/100 files" in line and "2:30:00" in line
    assert "~" not in meter.compose(Snapshot(1000, 2000, 10, 20, True, 20), "1 MB/s", 1.0, 100)
