"""escp with something changed in it, for tests that need a fault: what, stands in $ESCP_TEST_DRIVER (JSON).

fault_offset   flip a bit of the byte there in each file, between digest and seal
secret         hex of the session's secret, so that a test can look for it
silent_s       so long an agent may be silent, or owe an answer, in place of 600 and 120 s
login_s        so long ssh may hear nothing while it logs in, in place of 180 s
still_s        nothing has to move for so long before that is told, in place of 15 s, and no host to be heard
lost_s         so long what comes nowhere is waited for with --reconnect-timeout=0, in place of 120 s
short_s        so long nothing is noted of what has arrived, in place of 0.5 s
pause_s        the first pause of --retry, in place of 5 s
ports          {"1232": 5000}: connect to 5000, or let the other agent do it, where an agent listens on 1232
"""

import json
import os
import sys

import escp.cli.main
import escp.cli.retry
import escp.control.course
import escp.jobs.agentjob
import escp.jobs.standstill
import escp.remote.loginwatch
import escp.streams.leg
import escp.streams.record
import escp.streams.sendend


def apply(settings: dict) -> None:
    escp.streams.sendend.SendEnd.fault_offset = settings.get("fault_offset", -1)
    if "secret" in settings:
        secret, urandom = bytes.fromhex(settings["secret"]), os.urandom
        os.urandom = lambda n: secret if n == len(secret) else urandom(n)
    if "silent_s" in settings:
        escp.control.course.PEER_SILENT_S = escp.control.course.ANSWER_TIMEOUT_S = settings["silent_s"]
    escp.remote.loginwatch.LOGIN_SILENT_S = settings.get("login_s", escp.remote.loginwatch.LOGIN_SILENT_S)
    escp.jobs.agentjob.LOST_S = settings.get("lost_s", escp.jobs.agentjob.LOST_S)
    escp.cli.retry.FIRST_PAUSE_S = settings.get("pause_s", escp.cli.retry.FIRST_PAUSE_S)
    escp.streams.record._SHORT_S = settings.get("short_s", escp.streams.record._SHORT_S)
    if "still_s" in settings:
        escp.jobs.standstill.STILL_S = escp.jobs.agentjob.UNHEARD_S = settings["still_s"]
    if "ports" in settings:
        lead_elsewhere(escp.streams.leg.Leg, settings["ports"])
        keep_port(escp.streams.leg.Leg)


def lead_elsewhere(cls: type, ports: dict) -> None:
    """Change the port that a leg finds in its agent's `Listening`."""
    find = cls.find_addresses

    def changed(self, listening):
        found = find(self, listening)
        self._port = ports.get(str(self._port), self._port)
        return found

    cls.find_addresses = changed


def keep_port(cls: type) -> None:
    """Of streams that broke: no port but that one, or they would find the agent's own."""
    reopen = cls.reopen

    def changed(self, wanted, streams=None):
        self._options = self._options._replace(port=self._port, n_ports=1)
        return reopen(self, wanted, streams)

    cls.reopen = changed


if __name__ == "__main__":
    with open(os.environ["ESCP_TEST_DRIVER"]) as file:
        apply(json.load(file))
    sys.exit(escp.cli.main.main())
