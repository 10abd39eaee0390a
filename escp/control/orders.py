"""The orders to send and to receive. Pure."""

from escp.control.message import Hello, Message


class Send(Message, initiator=(Hello,), wire_names={
    "keeps_links": "!follows_links", "is_sparse": "finds_holes", "keeps_devices": "sends_devices",
}):  # fmt: skip
    """Be the sender; `Sources` follow. `filters`: + or - and a pattern each, the first match counts.

    `removes_sources`: each that has arrived, verified. `deletes`: `Inventory` may come.
    `itemizes`: tell with `Itemized` what was copied and why; `tells_same`: and what the target had already.
    `tells_digests`: `Itemized` has those of files.
    Files below `min_bytes`, and those not below `below_bytes` unless that is 0, are left out.
    """

    engine: str
    is_direct: bool
    has_checksum: bool
    has_compression: bool
    is_recursive: bool
    keeps_links: bool
    keeps_hard_links: bool
    keeps_xattrs: bool
    keeps_acls: bool
    keeps_owner_names: bool
    is_sparse: bool
    keeps_devices: bool
    filters: list[bytes]
    selection: str
    compares_digests: bool
    is_dry_run: bool
    removes_sources: bool = False
    min_bytes: int = 0
    below_bytes: int = 0
    deletes: bool = False
    itemizes: bool = False
    tells_same: bool = False
    tells_digests: bool = False


class Receive(Message, initiator=(Hello,), wire_names={
    "keeps_links": "makes_links", "keeps_hard_links": "makes_hard_links", "is_sparse": "makes_sparse",
    "keeps_devices": "makes_devices",
}):  # fmt: skip
    """Be the receiver.

    `n_sources` above 1 only tells that there are several; `is_directory` is about a single one. `has_roots`:
    only what `Allow` names may be written. `tells_missing`: as `FileFailed`, what of that did not come (1.2).
    `names_attributes`: the sender knows results of what lacks attributes. `is_inplace`: write into files that
    are there; only for an agent with the feature. `names_once`: no second source gets a name that one has.
    `mode_rules`: changes of modes, in their order.
    `is_durable`, `reads_back` (`durable`): files are on the disk before they have names, and names before the
    last stream's end; what is read back from there is compared before a file has its name.
    `deletes`: after the copy what the sources lack is removed (`Compare`, `Prune`), but not what `filters`
    leave out. `itemizes`: results say why (the data plane's section 5.3).
    `partial_min`: files of that size and more stay as parts when the copy is cut off (0: none), `job`: the
    hash of the command that they are of; `resumes`: go on with those that are there; `trusts_parts`: without
    looking whether their blocks are what their journals say. `tells_stamps`: of each file, to know it again.
    `has_expected`: `Expect` follows, before the link (`expect`).
    """

    target: bytes
    n_sources: int
    is_directory: bool
    engine: str
    is_direct: bool
    has_checksum: bool
    has_compression: bool
    is_recursive: bool
    has_roots: bool
    keeps_attributes: bool
    keeps_owner: bool
    keeps_xattrs: bool
    keeps_acls: bool
    keeps_links: bool
    keeps_hard_links: bool
    is_sparse: bool
    keeps_devices: bool
    selection: str
    compares_digests: bool
    is_dry_run: bool
    tells_missing: bool = False
    names_attributes: bool = False
    is_inplace: bool = False
    names_once: bool = False
    is_target_exact: bool = False
    makes_path: bool = False
    keeps_owner_if_root: bool = False
    mode_rules: list[int] = []  # noqa: RUF012
    is_durable: bool = False
    reads_back: bool = False
    deletes: bool = False
    filters: list[bytes] = []  # noqa: RUF012
    partial_min: int = 0
    resumes: bool = False
    trusts_parts: bool = False
    job: bytes = b""
    itemizes: bool = False
    tells_stamps: bool = False
    has_expected: bool = False
