"""The comparison of what both ends say."""

import pytest

from escp.control.messages import Result
from escp.errors import IntegrityError, ProtocolError
from escp.jobs.accounts import MAX_NAMES, Accounts

RESULT = Result(3, 2, 1, 1000, 1100, 1000, 1000, 4, 5)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts("the escp on a", "this escp")


def compare(accounts, sent, received, **how):
    accounts.compare(sent, received, **{"is_dry_run": False, "compares_digests": False, **how})


def test_equal_accounts_agree(accounts):
    compare(accounts, RESULT, RESULT)
    compare(accounts, RESULT._replace(failed=9, bytes_disk=0, bytes_network=0, data_ns=7), RESULT)
    compare(accounts, RESULT, RESULT._replace(skipped=-1))  # of version 1.1
    compare(accounts, RESULT, RESULT._replace(skipped=9), compares_digests=True)
    compare(accounts, RESULT, RESULT._replace(files=0, directories=0, bytes=0), is_dry_run=True)


@pytest.mark.parametrize("field", ["files", "directories", "bytes", "skipped"])
@pytest.mark.parametrize("n", [-1, 1])
def test_different_accounts_do_not(accounts, field, n):
    with pytest.raises(IntegrityError) as caught:
        compare(accounts, RESULT, RESULT._replace(**{field: getattr(RESULT, field) + n}))
    assert not caught.value.is_retryable and "trust" in caught.value.hint
    words = str(caught.value)
    assert f"{getattr(RESULT, field)} " in words and f"{getattr(RESULT, field) + n} by this escp" in words


def test_receiver_that_fails_more_than_the_sender_heard_of(accounts):
    with pytest.raises(IntegrityError, match="1 failures by the escp on a, 2 by this escp"):
        compare(accounts, RESULT, RESULT._replace(failed=2))


def test_more_skipped_than_the_receiver_has(accounts):
    with pytest.raises(IntegrityError):
        compare(accounts, RESULT, RESULT._replace(skipped=3), compares_digests=True)


def test_data_in_a_dry_run(accounts):
    with pytest.raises(IntegrityError):
        compare(accounts, RESULT, RESULT, is_dry_run=True)


def test_agent_counts_what_it_tells(accounts):
    with pytest.raises(ProtocolError, match="counts 1 failures and told of 0"):
        accounts.check_agent(RESULT, is_dry_run=False)
    accounts.tell_failure(is_receiver=False)
    accounts.check_agent(RESULT, is_dry_run=False)
    with pytest.raises(ProtocolError, match="counts 5 names and listed 0"):
        accounts.check_agent(RESULT, is_dry_run=True)
    for _ in range(5):
        accounts.tell_listed()
    accounts.check_agent(RESULT, is_dry_run=True)


def test_each_absent_name_has_a_reason_of_its_own(accounts):
    accounts.tell_absent(b"a")
    accounts.tell_failure(is_receiver=True)  # about another file
    assert accounts.find_unexplained() == [b"a"]
    accounts.tell_failure(is_receiver=False)
    assert accounts.find_unexplained() == []
    accounts.tell_failure(is_receiver=False)
    accounts.tell_absent(b"b")
    assert accounts.find_unexplained() == []
    accounts.tell_absent(b"c")
    assert accounts.find_unexplained() == [b"c"]


def test_names_that_are_kept_are_bounded(accounts):
    for i in range(3 * MAX_NAMES):
        accounts.tell_absent(b"%d" % i)
    assert len(accounts.find_unexplained()) == MAX_NAMES
