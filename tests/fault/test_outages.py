"""What an outage leaves behind, between hosts in namespaces; tests.fault.outages takes longer ones."""

import os
import signal
import time

import pytest

from escp.streams.lasting import SILENT_S
from tests.fault.outages import Hosts, make_source, name_ends
from tests.support.command import Escp
from tests.support.netns import why_none
from tests.support.trees import list_tree
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(why_none() != "", reason=why_none())


@pytest.mark.parametrize("way", ["-3", "-R"])
def test_ssh_that_is_back_in_one_direction_alone(folder, tmp_path, way):
    """What the agent had said meanwhile TCP sends again as late as the outage was long: here, never.

    What is acknowledged comes, so that the agent hears all that is said to it.
    """
    hosts = Hosts(folder)
    try:
        with Escp(tmp_path, hosts.sshds[0]) as escp:
            source, target = tmp_path / "source", tmp_path / "target"
            make_source(source, 16)
            target.mkdir()
            process = escp.start("-r", "-l", "4M", *name_ends(way, source, target),
                                 prefix=hosts.spaces["here"].prefix, has_ports=False)  # fmt: skip
            wait_for(lambda: any(target.rglob("small-000*")))
            os.killpg(process.pid, signal.SIGSTOP)
            hosts.cut("sleep", is_cut=True)
            time.sleep(SILENT_S + 3)  # by now the agent looks for another way
            hosts.cut("sleep", is_cut=False)
            rule = 'add rule inet cut in iifname "to-one" tcp sport 22 ip length > 80 drop\n'
            hosts.spaces["here"].load_rules(rule)
            os.killpg(process.pid, signal.SIGCONT)
            done = escp.finish(process, timeout_s=60)
            assert done.code == 0, (done.code, done.err)
            assert list_tree(target / "source") == list_tree(source)
            escp.assert_nothing_left()
    finally:
        hosts.stop()
