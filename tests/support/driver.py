"""escp with something changed in it, for tests that need a fault: what, stands in $ESCP_TEST_DRIVER (JSON).

fault_offset   flip a bit of the byte there in each file, between digest and seal
secret         hex of the session's secret, so that a test can look for it
silent_s       so long an agent may be silent, or owe an answer
ports          {"1232": 5000}: connect to 5000 where the agent says that it listens on 1232
"""

import json
import os
import sys

import escp.cli.main
import escp.control.course
import escp.streams.ends
import escp.streams.leg


def apply(settings: dict) -> None:
    escp.streams.ends.SendEnd.fault_offset = settings.get("fault_offset", -1)
    if "secret" in settings:
        secret, urandom = bytes.fromhex(settings["secret"]), os.urandom
        os.urandom = lambda n: secret if n == len(secret) else urandom(n)
    escp.control.course.PEER_SILENT_S = settings.get("silent_s", escp.control.course.PEER_SILENT_S)
    if "ports" in settings:
        leg = escp.streams.leg.Leg
        begin = leg.begin

        def begin_elsewhere(self, listening, streams):
            port = settings["ports"].get(str(listening.port), listening.port)
            begin(self, listening._replace(port=port), streams)

        leg.begin = begin_elsewhere


if __name__ == "__main__":
    with open(os.environ["ESCP_TEST_DRIVER"]) as file:
        apply(json.load(file))
    sys.exit(escp.cli.main.main())
