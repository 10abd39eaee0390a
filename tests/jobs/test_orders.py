"""What the user wrote is what the ends are told, field by field."""

import pytest

from escp.control.messages import Receive, Send
from escp.errors import AgentError
from escp.jobs.orders import _NEWER, check_age, make_receive, make_send
from escp.options.options import parse_options

NAMED = {  # an option, and the fields of both orders that it sets
    "-p": ["keeps_attributes"],
    "-r": ["is_recursive"],
    "-C": ["has_compression"],
    "--links": ["keeps_links"],
    "--hard-links": ["keeps_hard_links"],
    "--sparse": ["is_sparse"],
    "--devices": ["keeps_devices"],
    "--ignore-existing": ["selection"],
    "--xattrs": ["keeps_xattrs"],
    "--acls": ["keeps_acls"],
    "--owner": ["keeps_owner", "keeps_owner_names"],
    "--checksum": ["compares_digests"],
    "--dry-run": ["is_dry_run"],
    "--itemize": ["itemizes"],
    "--no-target-directory": ["is_target_exact"],
    "--remove-source-files": ["removes_sources"],
    "--mkpath": ["makes_path"],
    "--chmod=D755,F644": ["mode_rules"],
    "--min-size=1": ["min_bytes"],
    "--max-size=0": ["below_bytes"],
    "-a": [
        "is_recursive",
        "keeps_attributes",
        "keeps_links",
        "keeps_hard_links",
        "keeps_owner_if_root",
        "keeps_owner_names",
    ],
}


def orders(monkeypatch, *words):
    monkeypatch.setenv("ESCP_CONFIG", "")
    options = parse_options([*words, "a", "h:b"])
    return make_send(options, is_in_order=False), make_receive(options, 1, False, has_roots=True)


@pytest.mark.parametrize("word", NAMED)
def test_option_sets_the_fields_of_its_name_and_no_others(monkeypatch, word):
    for plain, told in zip(orders(monkeypatch), orders(monkeypatch, word), strict=True):
        changed = {name for name in told._fields if getattr(told, name) != getattr(plain, name)}
        assert changed == {*NAMED[word], *(["selection"] if word == "--checksum" else [])} & {*told._fields}


def test_numbers_of_owners_may_be_all_that_is_kept(monkeypatch):
    send, receive = orders(monkeypatch, "--owner", "--numeric-ids")
    assert receive.keeps_owner and not send.keeps_owner_names


def test_no_holes_are_left_in_a_pipe(monkeypatch):
    monkeypatch.setenv("ESCP_CONFIG", "")
    options = parse_options(["--sparse", "a", "h:b"])
    assert not make_send(options, is_in_order=True).is_sparse


def test_both_ends_hear_of_a_deletion_and_of_what_it_leaves_alone(monkeypatch):
    words = ("-r", "--exclude", "*.log", "--include", "b")
    for order in orders(monkeypatch, "--delete", *words):
        assert order.deletes and order.filters == [b"-*.log", b"+b"]
    _, receive = orders(monkeypatch, *words)
    assert receive.filters == []  # it needs no rules otherwise


class Old:
    host = "dtn1"

    def has_feature(self, name):
        return name != "delete"


def test_agent_that_can_not_delete_is_refused_before_anything_is_copied(monkeypatch):
    for order in orders(monkeypatch, "-r", "--delete"):
        with pytest.raises(AgentError, match="option --delete: the escp on dtn1 is too old for it"):
            check_age(order, Old())
    for order in orders(monkeypatch, "-r"):
        check_age(order, Old())


# An older agent does without, and what arrives is the same: of parts it knows nothing and begins anew.
OWN_FIELDS = set(
    "tells_missing names_attributes names_once filters partial_min resumes trusts_parts job "
    "tells_stamps tells_digests".split()
)


@pytest.mark.parametrize("order", [Send, Receive])
def test_field_that_older_agents_ignore_says_which_option_needs_it(order):
    assert set(order._defaults) - OWN_FIELDS <= set(_NEWER)


def test_modes_that_older_agents_can_not_change_are_refused(monkeypatch):
    class Before(Old):
        def has_feature(self, name):
            return name != "classes"

    for modes in ("u=g", "D755,Fo-g"):
        with pytest.raises(AgentError, match=r"option --chmod .* too old for it"):
            check_age(orders(monkeypatch, "--chmod", modes)[1], Before())
    check_age(orders(monkeypatch, "--chmod", "u+r-w,D755")[1], Before())
