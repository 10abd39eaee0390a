"""A host without /proc, as it may be in a chroot; the tests themselves need one."""

import errno
import os

import pytest


def hide_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found there by those who ask with bytes, as escp does; with text, as tests do, it is."""
    for name in ("readlink", "open", "stat"):
        monkeypatch.setattr(os, name, _hide(getattr(os, name)))


def _hide(real):
    def call(path, *args, **kwargs):
        if isinstance(path, bytes) and path.startswith(b"/proc/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return real(path, *args, **kwargs)

    return call
