"""An agent that lies, with the true keys: `escp --server` changed as $ESCP_TEST_HOSTILE says (JSON).

offer      {"name": "other"}: offers a root under another name (hex)
more       names (hex) offered besides what was asked for
leaves_out the number of roots that it does not offer
number     added to the numbers of the sources that it offers
sends_as   {"name": "other"}: its data call an accepted root otherwise (hex)
add        [[path, name], ...]: sends these as well, which nobody was told of (hex)
directory  says that roots are directories, or not
says       text in an error message
no_result  never says what came of the copy, but that it is alive
drops      names (hex) that it offers and never sends
counts     {"sender": {"files": 1}}: added to what it says it did, as the sender or as the receiver
progress   {"files": 1000}: said while it sends
is_silent  tells of no failure, as the sender
is_old     has no features of version 1.2
arrived    names (hex) of files that it says have arrived, as the sender, besides what has
listed     names (hex) that it says a dry run would copy, besides what it would
kind       what it says that the files are which have arrived
measured   {"sizes": [1]}: what is other in its digests; bytes as hex
file_size  what it says of a file whose bytes a program asks for
entries    names (hex) that it says are in a directory
early      tells digests as soon as it has opened the target
"""

import json
import os
import sys

import escp.agent.agent
import escp.agent.service
import escp.agent.sessions
import escp.control.course
from escp.agent.service import Service
from escp.control.messages import Error, FileFailed, Itemized, Listed, Opened, Progress, Result, Roots
from escp.control.survey import Measured
from escp.names.answers import Answers
from escp.streams.sendend import SendEnd


def unhex(names: dict[str, str]) -> dict[bytes, bytes]:
    return {bytes.fromhex(a): bytes.fromhex(b) for a, b in names.items()}


def apply(lies: dict) -> None:
    tell, take_accept, add = Service._tell, Service._take_accept, SendEnd.add
    offered, sent_as = unhex(lies.get("offer", {})), unhex(lies.get("sends_as", {}))
    extra = [bytes.fromhex(name) for name in lies.get("more", [])]
    arrived = [bytes.fromhex(name) for name in lies.get("arrived", [])]
    measured = {
        name: [bytes.fromhex(one) if isinstance(one, str) else one for one in values]
        for name, values in lies.get("measured", {}).items()
    }
    dropped = {bytes.fromhex(name) for name in lies.get("drops", [])}

    def tell_lies(self, message):
        if isinstance(message, Result) and lies.get("no_result"):
            return
        if isinstance(message, Roots):
            end = len(message.names) - lies.get("leaves_out", 0)
            directories = [int(lies.get("directory", flag)) for flag in message.directories]
            message = message._replace(
                sources=[n + lies.get("number", 0) for n in message.sources[:end]] + [0 for _ in extra],
                names=[offered.get(name, name) for name in message.names[:end]] + extra,
                directories=directories[:end] + [0 for _ in extra],
            )
        elif isinstance(message, Result):
            if self._sender and arrived:
                n = len(arrived)
                tell(self, Itemized(arrived, [1] * n, [lies.get("kind", "file")] * n, [1] * n))
            if self._sender and "listed" in lies:
                tell(self, Listed([bytes.fromhex(name) for name in lies["listed"]]))
            more = lies.get("counts", {}).get("sender" if self._sender else "receiver", {})
            message = message._replace(**{name: getattr(message, name) + n for name, n in more.items()})
        elif isinstance(message, Progress):
            message = message._replace(**lies.get("progress", {}))
        elif isinstance(message, FileFailed) and self._sender and lies.get("is_silent"):
            return
        elif isinstance(message, Measured) and message.digests:  # else it tells only how much was read
            message = message._replace(**measured)
        tell(self, message)
        if isinstance(message, Opened) and lies.get("early"):
            tell(self, Measured([bytes(32)], [1], [bytes(12)], [0], 1))
        if isinstance(message, Roots) and "says" in lies:
            tell(self, Error(15, lies["says"], lies["says"]))

    def add_more(self, sources, *, is_last, **how):
        pairs = [(path, sent_as.get(name, name)) for path, name in sources if name not in dropped]
        pairs += [(bytes.fromhex(path), bytes.fromhex(name)) for path, name in lies.get("add", [])]
        add(self, pairs, is_last=is_last, **how)

    def accept(self, message):
        paths = self._finder._offered[: len(message.names)]
        self._finder._offered = paths + paths[-1:] * (len(message.names) - len(paths))
        take_accept(self, message)

    read, more = Answers.read, Answers.more

    def lie_of_size(self, question):
        return read(self, question)._replace(size=lies["file_size"])

    def lie_of_names(self, question=None):
        page = more(self, question)
        names = [bytes.fromhex(name) for name in lies["entries"]]
        return page._replace(names=(names + page.names)[: len(page.names)])

    escp.agent.sessions.own_command = lambda: [sys.executable, __file__]  # of what one login carries
    if "file_size" in lies:
        Answers.read = lie_of_size
    if "entries" in lies:
        Answers.more = lie_of_names
    if lies.get("no_result"):
        escp.control.course.KEEPALIVE_S = escp.agent.service.KEEPALIVE_S = 0.2
    if lies.get("is_old"):
        escp.agent.agent.FEATURES.remove("absent")
    Service._tell, Service._take_accept, SendEnd.add = tell_lies, accept, add_more


if __name__ == "__main__":
    apply(json.loads(os.environ["ESCP_TEST_HOSTILE"]))
    sys.exit(escp.agent.agent.run_agent())
