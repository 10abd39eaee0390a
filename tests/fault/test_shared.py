"""A connection that breaks while another program's memory is sent, which can't be read again."""

from tests.fault.test_reconnect import Watched, copy_through, towards
from tests.fault.test_streams import IN_DATA, Fault, reset
from tests.support.command import needs_source
from tests.support.sharing import Client, shared_folder
from tests.support.trees import write_random

pytestmark = needs_source


def test_file_of_shared_memory_is_whole_or_has_no_name(escp, source, target):
    write_random(source / "large", 24_000_000)
    fault = Fault(reset, IN_DATA, way=towards("push", is_data=True), stream=None)
    with (
        shared_folder() as memory,
        Client(memory, "send", source / "large", 1 << 18, 32) as client,
        Watched(escp.port, fault) as proxy,
    ):
        done = copy_through(escp, "push", client.path, target, proxy, "--ioengine=shmem::posix")
        said = client.end()
    assert fault.is_done and len(proxy.connections) > 2
    if done.code == 0:  # all that was under way had arrived
        assert (target / client.path.name).read_bytes() == (source / "large").read_bytes()
    else:
        assert (done.code, said["outcome"]) == (1, -125), (done, said)
        assert "can't be read again" in done.err
        assert not (target / client.path.name).exists()
