"""An agent that lies, with the true keys: `escp --server` changed as $ESCP_TEST_HOSTILE says (JSON).

offer      {"name": "other"}: offers a root under another name (hex)
more       names (hex) offered besides what was asked for
leaves_out the number of roots that it does not offer
number     added to the numbers of the sources that it offers
sends_as   {"name": "other"}: its data call an accepted root otherwise (hex)
add        [[path, name], ...]: sends these as well, which nobody was told of (hex)
directory  says that roots are directories, or not
says       text in an error message
"""

import json
import os
import sys

import escp.agent
from escp.control import Error, Roots
from escp.ends import SendEnd
from escp.service import Service


def unhex(names: dict[str, str]) -> dict[bytes, bytes]:
    return {bytes.fromhex(a): bytes.fromhex(b) for a, b in names.items()}


def apply(lies: dict) -> None:
    tell, take_accept, add = Service._tell, Service._take_accept, SendEnd.add
    offered, sent_as = unhex(lies.get("offer", {})), unhex(lies.get("sends_as", {}))
    extra = [bytes.fromhex(name) for name in lies.get("more", [])]

    def tell_lies(self, message):
        if isinstance(message, Roots):
            end = len(message.names) - lies.get("leaves_out", 0)
            directories = [int(lies.get("directory", flag)) for flag in message.directories]
            message = message._replace(
                sources=[n + lies.get("number", 0) for n in message.sources[:end]] + [0 for _ in extra],
                names=[offered.get(name, name) for name in message.names[:end]] + extra,
                directories=directories[:end] + [0 for _ in extra],
            )
        tell(self, message)
        if isinstance(message, Roots) and "says" in lies:
            tell(self, Error(15, lies["says"], lies["says"]))

    def add_more(self, sources, *, is_last, **how):
        pairs = [(path, sent_as.get(name, name)) for path, name in sources]
        pairs += [(bytes.fromhex(path), bytes.fromhex(name)) for path, name in lies.get("add", [])]
        add(self, pairs, is_last=is_last, **how)

    def accept(self, message):
        paths = self._finder._offered[: len(message.names)]
        self._finder._offered = paths + paths[-1:] * (len(message.names) - len(paths))
        take_accept(self, message)

    Service._tell, Service._take_accept, SendEnd.add = tell_lies, accept, add_more


if __name__ == "__main__":
    apply(json.loads(os.environ["ESCP_TEST_HOSTILE"]))
    sys.exit(escp.agent.run_agent())
