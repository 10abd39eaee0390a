"""Which test files come first: those that take longest. Else one worker is at them when all others are done.

Some of them wait and some compile; they take turns here, so that both kinds run at the same time.
"""

# Of those that take more than 80 s. A worker has its next file in hand already: the first eight go to four.
LONG_FILES = (
    "packaging/test_release.py",
    "fault/test_reconnect.py",
    "packaging/test_debian_13.py",
    "integration/test_resume_files.py",
    "packaging/test_wheels.py",
    "integration/test_resume.py",
    "packaging/test_debian_python.py",
    "integration/test_restrict.py",
    "packaging/test_frozen.py",
    "integration/test_tls.py",
    "fault/test_stopped.py",
    "conformance/test_conformance.py",
    "_fast/base/test_types.py",
    "fault/test_lost_ssh.py",
    "_fast/files/test_links.py",
    "fault/test_kills.py",
    "_fast/files/test_confinement.py",
    "fault/test_mute.py",
    "api/test_ends.py",
    "fault/test_swallowed.py",
    "packaging/test_packages.py",
)


def find_place(path: str) -> int:
    """Where a file stands among the others; the order of those that are not long stays as it is."""
    for place, name in enumerate(LONG_FILES):
        if path.endswith(f"/tests/{name}"):
            return place
    return len(LONG_FILES)
