"""A Python program whose memory escp copies from or to another host; what it does itself costs nothing.

    program.py write          BLOCK BYTES TARGET HOST...     one buffer, by `remote.write`
    program.py write_block    BLOCK BYTES TARGET HOST...     blocks, by as many threads as there are streams
    program.py write_blocks   BLOCK BYTES TARGET HOST...     the same, 1 MiB of them in each call
    program.py receive_blocks BLOCK BYTES SOURCE HOST...     BLOCK: of the streams

HOST: its name, the file for `ssh -F`, its escp, and a configuration of escp's that names the dummy engine: it
is the other host's. The last line on stdout has what the bench reads of `escp --json`.
"""

import json
import mmap
import os
import sys
import threading
import time

import escp

N_STREAMS = 2


def write(remote: escp.Remote, block: int, n_bytes: int, target: str) -> dict[str, object]:
    """All pages of the buffer are the kernel's page of zeroes: nothing but addresses take room.

    They are mapped before the clock starts, as those of what a program has written are.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    with mmap.mmap(-1, n_bytes, flags, mmap.PROT_READ) as data:
        start_s = time.monotonic()
        remote.write(target, data)
    return {"ok": True, "bytes": n_bytes, "data_seconds": time.monotonic() - start_s}


def write_block(
    remote: escp.Remote, block: int, n_bytes: int, target: str, *, run: int = 0
) -> dict[str, object]:
    run = run or block
    with remote.open_blocks(target, size=n_bytes, block=block) as writer:

        def write_part(number: int) -> None:
            data = bytes(run)
            for offset in range(number * run, n_bytes, N_STREAMS * run):
                writer.write_block(offset, data)

        threads = [threading.Thread(target=write_part, args=(number,)) for number in range(N_STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return describe(writer.commit())


def write_blocks(remote: escp.Remote, block: int, n_bytes: int, target: str) -> dict[str, object]:
    return write_block(remote, block, n_bytes, target, run=1 << 20)


def receive_blocks(remote: escp.Remote, block: int, n_bytes: int, source: str) -> dict[str, object]:
    blocks = remote.receive_blocks(source, blocksize=str(block))
    for one in blocks:
        one.release()
    assert blocks.result is not None
    return describe(blocks.result)


def describe(result: escp.Result) -> dict[str, object]:
    return {"ok": result.ok, "bytes": result.bytes, "data_seconds": result.data_seconds}


def main() -> None:
    way, block, n_bytes, path, host, config, command, os.environ["ESCP_CONFIG"] = sys.argv[1:]
    ways = {
        "write": write,
        "write_block": write_block,
        "write_blocks": write_blocks,
        "receive_blocks": receive_blocks,
    }
    with escp.connect(host, ssh_config=config, escp=command, parallel=N_STREAMS) as remote:
        result = ways[way](remote, int(block), int(n_bytes), path)
    print(json.dumps({**result, "dummy": True}))


main()
