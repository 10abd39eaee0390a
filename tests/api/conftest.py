"""What tests of escp:// share."""

import pytest

from tests.support.command import Escp
from tests.support.folders import new_folder


@pytest.fixture(scope="module")
def files(sshd):
    """One login for all tests of a module."""
    from escp.api.filesystem import EscpFileSystem  # not at the top: only these tests need fsspec
    from tests.api.test_copy import login

    with new_folder() as folder, Escp(folder, sshd) as one:
        fs = EscpFileSystem("box", skip_instance_cache=True, **login(one))
        yield fs
        fs.close()
