"""What the user's options mean for each end: orders for a sender and for a receiver, wherever they are."""

from escp.control.messages import Receive, Send
from escp.options.options import Options

PACED_STREAM_BYTES_PER_S = 16 << 20  # what a stream must at least be allowed, or there are fewer


def make_send(options: Options, *, is_in_order: bool) -> Send:
    """*is_in_order*: the target is a pipe or device, in which no holes can be left."""
    return Send(
        engine=options.send_engine,
        is_direct=options.is_direct,
        has_checksum=options.has_checksum,
        has_compression=options.compress,
        is_recursive=options.recursive,
        follows_links=not options.keeps_links,
        keeps_hard_links=options.keeps_hard_links,
        keeps_xattrs=options.keeps_xattrs,
        keeps_acls=options.keeps_acls,
        keeps_owner_names=options.keeps_owner and not options.has_numeric_ids,
        finds_holes=options.is_sparse and not is_in_order,
        sends_devices=options.keeps_devices,
        filters=[(b"+" if is_include else b"-") + pattern for is_include, pattern in options.filters],
        selection=options.selection,
        compares_digests=options.compares_digests,
        is_dry_run=options.is_dry_run,
    )


def make_receive(options: Options, n_sources: int, is_one_directory: bool, *, has_roots: bool) -> Receive:
    return Receive(
        target=options.target.path,
        n_sources=n_sources,
        is_directory=is_one_directory,
        engine=options.receive_engine,
        is_direct=options.is_direct,
        has_checksum=options.has_checksum,
        has_compression=options.compress,
        is_recursive=options.recursive,
        has_roots=has_roots,
        keeps_attributes=options.preserve,
        keeps_owner=options.keeps_owner,
        keeps_xattrs=options.keeps_xattrs,
        keeps_acls=options.keeps_acls,
        makes_links=options.keeps_links,
        makes_hard_links=options.keeps_hard_links,
        makes_sparse=options.is_sparse,
        makes_devices=options.keeps_devices,
        selection=options.selection,
        compares_digests=options.compares_digests,
        is_dry_run=options.is_dry_run,
        tells_missing=has_roots,
    )


def count_streams(options: Options) -> int:
    """Fewer than asked for under a low limit: each is paced by itself, and few blocks share out unevenly."""
    if options.limit_bytes_per_s is None:
        return options.n_streams
    return max(1, min(options.n_streams, options.limit_bytes_per_s // PACED_STREAM_BYTES_PER_S))
