"""Reads the steps of simulate.py, from anywhere, as they become complete: python watch.py escp://dtn2/data/heat.zarr"""

import sys
import time

import zarr


def main(url):
    steps = zarr.open_array(url, mode="r")
    n_seen = 0
    while n_seen < steps.shape[0]:
        n_there = steps.nchunks_initialized
        for number in range(n_seen, n_there):
            print(f"step {number}: hottest {steps[number].max():.1f}", flush=True)
        n_seen = n_there
        if n_seen < steps.shape[0]:
            time.sleep(0.2)
    print(f"sum of the last: {steps[-1].sum():.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
