"""A simulation whose steps go into a zarr array on another host, each as soon as it is computed.

    python simulate.py escp://dtn2/data/heat.zarr [STEPS [SIZE]]

Two threads write while the next steps are computed; a third step waits, so that a slow network holds the
simulation up instead of filling the memory.
"""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zarr

N_WRITERS = 2


def compute_step(heat):
    """Heat spreads on a square whose edges are cold."""
    inner = heat[1:-1, 1:-1]
    around = heat[:-2, 1:-1] + heat[2:, 1:-1] + heat[1:-1, :-2] + heat[1:-1, 2:]
    following = np.zeros_like(heat)
    following[1:-1, 1:-1] = inner + 0.2 * (around - 4 * inner)
    return following


def main(url, n_steps="20", size="512"):
    n_steps, size = int(n_steps), int(size)
    # A chunk is a step, and a file of its own; compressed, since neighbours are alike.
    shape, chunk = (n_steps, size, size), (1, size, size)
    steps = zarr.create_array(url, shape=shape, chunks=chunk, dtype="f4", overwrite=True)
    heat = np.zeros((size, size), "f4")
    heat[size // 4 : size // 2, size // 4 : size // 2] = 100
    room = threading.Semaphore(N_WRITERS + 1)
    written = []

    def write(number, step):
        try:
            steps[number] = step
        finally:
            room.release()
        print(f"step {number} is there, {time.monotonic() - start_s:.2f} s", flush=True)

    start_s = time.monotonic()
    with ThreadPoolExecutor(N_WRITERS) as writers:
        for number in range(n_steps):
            heat = compute_step(heat)
            room.acquire()
            written.append(writers.submit(write, number, heat))
    for one in written:
        one.result()  # raises what kept it from being written
    steps.attrs["complete"] = True
    seconds = time.monotonic() - start_s
    print(f"{n_steps} steps of {heat.nbytes / 1e6:.1f} MB in {seconds:.1f} s")
    print(f"sum of the last: {heat.sum():.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
