"""What the two ends of a session have in common: `sendend` and `receiveend`."""

from escp.control.messages import Result
from escp.errors import ProtocolError


def make_result(counts: dict[str, int]) -> Result:
    """The account of an end, from its counters."""
    own = {**counts, "data_ns": max(0, counts["last_ns"] - counts["first_ns"])}
    return Result._make(own.get(name, 0) for name in Result._fields)


def split_digest(text: bytes) -> tuple[bytes, bytes]:
    """An event's path, and the digest behind it; b"" where none is told."""
    path, has_digest, digest = text.partition(b"\0")
    return path.removesuffix(b"/") if has_digest else path, digest  # one that the user named has no name


class OfferErrors:
    """Makes of planes' complaints about arguments what they mean: the peer asked for too much."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ValueError | KeyError | OverflowError):
            raise ProtocolError(f"the peer asked for what this escp does not offer: {error}") from error
