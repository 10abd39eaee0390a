"""What is different where escp/_fast was compiled with sanitizers: `build.py test --sanitize`."""

import pytest

try:
    from escp._fast._build_info import BUILD
except ImportError:  # nothing compiled
    BUILD = "release"

IS_SANITIZED = BUILD != "release"
PATIENCE = 6 if IS_SANITIZED else 1  # limits of time are multiplied by it
not_sanitized = pytest.mark.skipif(
    IS_SANITIZED, reason="measures time or memory, or searches it: a sanitizer takes several times as much"
)


def skip_preloads() -> None:
    """For what puts a library in front of libc: where there is a sanitizer it is to be the first."""
    if IS_SANITIZED:
        pytest.skip("the sanitizer's library is to be the first")
