"""Cases of a test that mostly wait: side by side, each with an escp, folders and ports of its own."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.command import Escp
from tests.support.folders import new_folder
from tests.support.sshd import Sshd

Check = Callable[[Escp, Path, Path, object], None]


class Together:
    """Calls a check for each of its cases, all at the same time. Fails with what each of them said."""

    def __init__(self, sshd: Sshd):
        self._sshd = sshd

    def __call__(self, cases: Iterable[object], check: Check) -> None:
        """*check(escp, source, target, case)*: the two are empty directories, as of the fixtures."""
        each = list(cases)
        assert each
        with ThreadPoolExecutor(len(each)) as pool:
            running = [pool.submit(self._run, check, case) for case in each]
        errors = []
        for case, one in zip(each, running, strict=True):
            if (error := one.exception()) is not None:
                error.add_note(f"in the case {case!r}")
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup(f"{len(errors)} of {len(each)} cases failed", errors)

    def _run(self, check: Check, case: object) -> None:
        with new_folder() as folder, Escp(folder, self._sshd) as escp:
            source, target = folder / "source", folder / "target"
            source.mkdir()
            target.mkdir()
            check(escp, source, target, case)
