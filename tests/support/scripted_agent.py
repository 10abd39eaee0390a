"""An agent that only talks: says the messages of $ESCP_TEST_SCRIPT (JSON), then keeps quiet until stdin ends.

With ["minor", n] first it is an escp of that minor version, with ["features", [...]] one that has these.
Each line is [type, {field: value}], the fields
as on the wire; ["pause"] waits until something has come in, ["await", type] reads until one more of that type
has come in, ["loop", message, n] says one n times and reads nothing meanwhile, ["alive"] says from here on
that it is.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

from escp.constants import MARKER, PROTOCOL_MAJOR, PROTOCOL_MINOR


def frame(kind: str, fields: dict) -> bytes:
    body = json.dumps({"type": kind, **fields}).encode()
    return len(body).to_bytes(4, "big") + body


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def run(lines: list) -> None:
    minor = lines.pop(0)[1] if lines and lines[0][0] == "minor" else PROTOCOL_MINOR
    features = lines.pop(0)[1] if lines and lines[0][0] == "features" else []
    hello = {"major": PROTOCOL_MAJOR, "minor": minor, "version": "0.0.1", "features": features}
    said = MARKER + frame("hello", hello)  # what follows at once goes along: nobody has asked in between
    read = b""
    for line in lines:
        if line[0] in ("pause", "alive", "await", "loop"):
            write(said)
            said = b""
        if line[0] == "pause":
            os.read(0, 1 << 20)
        elif line[0] == "alive":
            while True:
                write(frame("keepalive", {}))
                time.sleep(0.1)
        elif line[0] == "await":
            while f'"{line[1]}"'.encode() not in read:
                data = os.read(0, 1 << 20)
                if not data:
                    return
                read += data
            read = read.partition(f'"{line[1]}"'.encode())[2]
        elif line[0] == "loop":
            for _ in range(line[2]):
                write(frame(*line[1]))
        else:
            said += frame(*line)
    write(said)
    while os.read(0, 1 << 20):
        pass


if __name__ == "__main__":
    script = Path(sys.argv[1]).read_text()
    with contextlib.suppress(BrokenPipeError):
        run(json.loads(script))
