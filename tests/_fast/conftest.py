"""Every test here leaves no thread and no descriptor behind."""

from tests.support.nothing_left import backend, nothing_left, small  # noqa: F401
