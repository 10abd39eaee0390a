"""A session whose sources are an agent's: what it offers, and whether the target takes that."""

import os

from escp.control.messages import (
    Accept,
    FileFailed,
    Itemized,
    Listed,
    Message,
    Progress,
    Receive,
    Roots,
    Sources,
)
from escp.errors import ProtocolError, SomeFailedError, describe_errno
from escp.failures import FAST_ABSENT, FAST_MISSING, Failure
from escp.jobs.agentjob import AgentJob
from escp.jobs.job import Task
from escp.jobs.orders import check_age, make_send
from escp.names.offers import Offers
from escp.names.told import KINDS, Told
from escp.remote.agentlink import AgentLink
from escp.streams.receiveend import hears_of_roots
from escp.streams.sendend import find_excluded


class FetchJob(AgentJob):
    """One page of sources at a time.

    _ask ─► _take_roots ─► [_open_target ─►] _allow ─► _accept ─► _ask
      the sender offers     the target opens, and allows     the sender may send
    """

    def __init__(self, task: Task):
        super().__init__(task)
        assert task.origin
        self._origin = task.origin
        self._offers = Offers(task.sources, task.origin.host or "")
        self._told = Told(is_recursive=task.options.is_recursive)

    def _begin(self) -> None:
        self._send_agent = self._log_in(self._origin)

    # ---- A page of roots ----------------------------------------------------------------------------

    def _order_sender(self) -> None:
        """Tell the sending agent, which has just said hello, how to send, and what is wanted."""
        assert self._send_agent
        is_in_order = self._target is not None and self._target.is_in_order
        order = make_send(self._options, is_in_order=is_in_order)
        check_age(order, self._send_agent)
        self._send_agent.send(order)
        self._ask()

    def _ask(self) -> None:
        assert self._send_agent
        paths, is_last = self._offers.ask()
        if self._feed.has_come(paths, is_last, self._ask):
            self._send_agent.send(Sources(paths, is_last))

    def _take_roots(self, roots: Roots) -> None:
        self._offers.take(roots)
        if self._target is None or self._target.names_below is None:
            self._open_target_if_ready()
        else:
            self._allow()

    def _open_target_if_ready(self) -> None:
        """The target depends on the first roots: whether they are one file, one directory or several."""
        if not (self._offers.has_page and self._can_open_target):
            return
        is_single = not self._is_many and self._offers.is_single
        is_one_directory = is_single and bool(self._offers.directories[0])
        shown = f"{self._origin.host}:{os.fsdecode(self._offers.first_path)}" if is_single else ""
        if is_single and (number := self._offers.first_errno):
            # As of one of this host (firstlook): nothing is asked of the target, and nothing made there.
            cause = OSError(number, os.strerror(number))
            raise SomeFailedError(f"{shown}: {describe_errno(number)}") from cause
        if is_one_directory and not self._options.is_recursive:
            raise SomeFailedError(f"{shown}: is a directory", "copy directories with -r")
        assert self._send_agent
        wanted = self._order_receiver(
            1 if is_single else 2, is_one_directory, has_roots=True,
            names_attributes=self._send_agent.has_feature("lacks"),
            knows_stamps=self._send_agent.has_feature("resume"),
        )  # fmt: skip
        self._open_target(wanted)

    @property
    def _can_open_target(self) -> bool:
        return self._target is not None

    def _open_target(self, wanted: Receive) -> None:
        assert self._target
        self._target.open(wanted, self._n_streams, self._allow, self._link_target, self._expected)

    def _link_target(self) -> None:
        """Tell the target's agent how its streams come about; here there is none."""

    def _allow(self) -> None:
        """Tell the receiving end what may come."""
        assert self._target
        names = self._offers.names(names_below=bool(self._target.names_below))
        directories = self._offers.directories
        if self._options.filters:  # what they exclude the sender leaves out by itself
            shown = self._offers.names(names_below=True)
            is_file = [not flag for flag in directories]
            paths = [
                (name or (old if is_file[i] else b""), not is_file[i])
                for i, (name, old) in enumerate(zip(names, shown, strict=True))
            ]
            is_out = find_excluded(self._options.filters, paths)
            names = [name for name, out in zip(names, is_out, strict=True) if not out]
            directories = [flag for flag, out in zip(directories, is_out, strict=True) if not out]
        if self._hears_items or self._options.is_dry_run:
            self._told.accept(names, directories)
        if self._recording is not None:
            self._recording.add_trees(names, directories)
        self._target.allow(names, directories, self._accept)

    def _accept(self) -> None:
        """Tell the sender that its roots may come, and under which names."""
        assert self._send_agent and self._target
        names = self._offers.names(names_below=bool(self._target.names_below))
        wants_more = self._offers.close_page()
        # Agents of version 1.1 don't know what that is.
        self._tally.hears_absent = all(agent.has_feature("absent") for agent in self._agents)
        tells_absent = self._tally.hears_absent and hears_of_roots(self._options)
        target = self._target
        partial_min = self._options.partial_min if target.keeps_parts else 0
        self._send_agent.send(
            Accept(
                names,
                tells_absent,
                target.max_large,
                target.hears_begun,
                partial_min,
                self._options.resumes,
                self._kept_job,
                target.judges_nodes,
            )
        )
        if wants_more:
            self._ask()

    # ---- What the sender tells ----------------------------------------------------------------------

    def _take_own(self, agent: AgentLink, message: Message) -> bool:
        if agent is not self._send_agent:
            return False
        if isinstance(message, Roots):
            self._take_roots(message)
        elif isinstance(message, Progress):
            self._tally.progress = message
        elif isinstance(message, FileFailed) and message.code not in (FAST_ABSENT, FAST_MISSING):
            self._tally.accounts.tell_failure(is_receiver=message.is_receiver)
            self._take_failed(message)
        elif isinstance(message, Listed) and self._options.is_dry_run:
            for path in message.paths:
                self._told.check(path)
                self._tally.accounts.tell_listed()
                self.listed(path)
        elif isinstance(message, Itemized) and self._hears_items:
            self._take_items(message)
        else:
            return False
        return True

    def _take_items(self, message: Itemized) -> None:
        digests = message.digests or [b""] * len(message.paths)
        columns = (message.paths, message.reasons, message.kinds, message.sizes, digests)
        if any(len(column) != len(digests) for column in columns) or not KINDS.issuperset(message.kinds):
            raise ProtocolError("the other escp tells of files what makes no sense")
        for item in zip(*columns, strict=True):
            self._told.check(item[0])
            if self._options.is_dry_run:
                self._tally.accounts.tell_listed()
            elif item[2] != "directory":
                self._tally.accounts.tell_item()
            self.itemized(*item)

    @property
    def _hears_items(self) -> bool:
        return self._options.itemizes or self._options.logs_files or self._recording is not None

    def _take_failed(self, message: FileFailed) -> None:
        failure = Failure(message.code, message.sys_errno, message.where, message.twins)
        self._tally.fail_file(failure, message.path, is_receiver=message.is_receiver)

    def _may_finish(self, agent: AgentLink) -> bool:
        return agent is not self._send_agent or self._offers.is_finished
