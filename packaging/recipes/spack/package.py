"""Spack's recipe: `spack repo create`, then this file as packages/escp/package.py in it."""

# ruff: noqa: F403, F405
from spack.package import *


class Escp(PythonPackage):
    """Copies files between hosts over several encrypted TCP streams, and verifies them."""

    homepage = "https://example.org/escp"
    url = "file:///path/to/escp-0.1.0.tar.gz"

    license("BSD-3-Clause")

    # `sha256sum escp-0.1.0.tar.gz`, or its line in SHA256SUMS
    version("0.1.0", sha256="0000000000000000000000000000000000000000000000000000000000000000")

    depends_on("c", type="build")
    depends_on("python@3.11:", type=("build", "run"))
    depends_on("py-setuptools@77:", type="build")
    depends_on("py-cython@3.3.1:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("py-pyyaml", type=("build", "run"))
    depends_on("py-rich", type=("build", "run"))
    depends_on("openssl@3:")
    depends_on("xxhash")
    depends_on("zstd@1.4:")
    depends_on("openssh", type="run")

    conflicts("platform=darwin")
    conflicts("target=aarch64:")
