"""An array of numpy's to a file on another host, and back.

    python field.py dtn2:/data/field.npy [MIB]

The array is computed in memory that is an .npy file from its first byte to its last, so it is sent from
where it lies, and `numpy.load` reads what arrives.
"""

import io
import resource
import sys
import time

import numpy as np

import escp

COLUMNS = 1024


def make_image(shape, dtype):
    """Memory for an .npy file, as bytes, and the array in it."""
    header = io.BytesIO()
    what = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, what)
    start = header.tell()  # a multiple of 64
    image = np.zeros(start + np.dtype(dtype).itemsize * int(np.prod(shape)), np.uint8)
    image[:start] = np.frombuffer(header.getvalue(), np.uint8)
    return image, image[start:].view(dtype).reshape(shape)


def receive(remote, path):
    """The file's bytes. What a block holds is copied to its place: the only copy that this program makes."""
    image = np.empty(remote.stat(path).size, np.uint8)
    with remote.receive_blocks(path) as blocks:
        for block in blocks:  # as they come, in no order
            image[block.offset : block.offset + len(block)] = np.frombuffer(block.data, np.uint8)
            block.release()
    return image, blocks.result


def say(what, n_bytes, seconds):
    print(f"{what}: {n_bytes / 1e6:.0f} MB in {seconds:.2f} s, {n_bytes / 1e6 / seconds:.0f} MB/s")


def main(place, mib="256"):
    host, _, path = place.partition(":")
    image, field = make_image((int(mib) * 128, COLUMNS), "f8")  # a row has 8 KiB
    np.random.default_rng(1).standard_normal(out=field)
    with escp.connect(host) as remote:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start_s = time.monotonic()
        remote.write(path, image)
        say("sent", image.nbytes, time.monotonic() - start_s)
        more_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        print(f"memory for that, beside the array: {more_kib >> 10} MiB")

        start_s = time.monotonic()
        back, result = receive(remote, path)
        say("received", back.nbytes, time.monotonic() - start_s)
        print(f"verified: {result.verified}; equal: {np.array_equal(back, image)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
