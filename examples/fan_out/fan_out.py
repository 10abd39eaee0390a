"""One tree to several hosts at once, with asyncio.

    python fan_out.py release dtn1:/data/ dtn2:/data/ dtn3:/data/

One host that fails keeps no other from its copy; Ctrl-C ends all of them.
"""

import asyncio
import sys

from escp import aio


async def send(tree, target, reached):
    def progress(now):
        reached[target] = now.fraction or 0.0

    result = await aio.copy(tree, target, recursive=True, preserve=True, progress=progress)
    result.check()  # raises what kept a file from being copied
    what = f"{result.files} files, {result.bytes / 1e6:.0f} MB"
    print(f"{target}: {what}, verified: {result.verified}", flush=True)


async def tell(reached):
    while True:
        await asyncio.sleep(1)
        print("  ".join(f"{target} {part:4.0%}" for target, part in reached.items()), flush=True)


async def main(tree, *targets):
    reached = dict.fromkeys(targets, 0.0)
    teller = asyncio.create_task(tell(reached))
    ends = await asyncio.gather(*(send(tree, one, reached) for one in targets), return_exceptions=True)
    teller.cancel()
    n_failed = 0
    for target, error in zip(targets, ends, strict=True):
        if error is not None:
            n_failed += 1
            print(f"{target}: {error}")
    print(f"{len(targets) - n_failed} of {len(targets)} hosts have all of it")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
