"""Each guarantee of docs/security.md broken on purpose, and the tests that must notice; `run` does it.

A mutation's text must be in its file exactly once: tests/repository/test_mutations.py says when it no longer is.
"""

from typing import NamedTuple


class Mutation(NamedTuple):
    guarantee: int  # its number in docs/security.md
    what: str  # is broken
    file: str
    old: str
    new: str
    tests: tuple[str, ...]  # pytest's names

    @property
    def is_native(self) -> bool:
        """Whether it has to be compiled. A number in a .pxd is compared as text: nearly all hangs on that file."""
        return self.file.endswith(".pyx")

    def apply(self, text: str) -> str:
        """The file's text with the mutation; ValueError unless it fits once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file}: {text.count(self.old)} times instead of once: {self.old!r}")
        return text.replace(self.old, self.new)


def format_table() -> str:
    """For docs/mutations.md."""
    rows = ["| guarantee | broken | in | noticed by |", "|---|---|---|---|"]
    for one in MUTATIONS:
        tests = "<br>".join(f"`{test}`" for test in one.tests)
        rows.append(f"| {one.guarantee} | {one.what} | `{one.file}` | {tests} |")
    return "\n".join(rows)


CHANNEL, AEAD = "escp/_fast/crypto/channel.pyx", "escp/_fast/crypto/aead.pyx"
TEST_CHANNEL = "tests/_fast/crypto/test_channel.py::"
TEST_SENDER, TEST_BLOCKS = (
    "tests/_fast/receive/test_hostile_sender.py::",
    "tests/_fast/receive/test_hostile_blocks.py::",
)
TEST_RECEIVER = "tests/_fast/send/test_hostile_receiver.py::"
TEST_LISTENER, TEST_STRANGERS = "tests/streams/test_listener.py::", "tests/integration/test_strangers.py::"
TEST_SECRETS, TEST_TUNNEL = "tests/integration/test_secrets.py::", "tests/control/test_tunnel.py::"
TEST_PUSH = "tests/integration/test_push_agent.py::"
TEST_BOUNDS = "tests/repository/test_stated_numbers.py::test_numbers_of_the_guarantees_are_the_codes"
TEST_CONFINED, TEST_KERNEL = "tests/_fast/send/test_below.py::", "tests/_fast/files/test_bounds.py::"
FORGETS = TEST_SECRETS + "test_initiator_has_forgotten_the_secret_when_the_data_flows"
WITNESS = TEST_SECRETS + "test_no_process_that_has_the_secret_can_be_dumped_or_read"
WIPED = "tests/_fast/crypto/test_wiping.py::test_keys_and_secret_are_wiped_with_their_channel_and_with_their_epoch"

MUTATIONS = [
    # ---- 1: encryption can't be switched off
    Mutation(1, "frames go unsealed", CHANNEL,
             "    return aead_seal(&h.key, frame, n, err)\n", "    return 0\n",
             (TEST_CHANNEL + "test_frames_arrive_in_both_directions", "tests/vectors/test_vectors.py")),
    Mutation(1, "there is an option against encryption", "escp/options/parser.py",
             '    add("--logfile", metavar="FILE",', '    add("--no-encryption", action="store_true")\n'
             '    add("--logfile", metavar="FILE",',
             ("tests/options/test_options.py::test_no_option_is_about_encryption",)),
    # ---- 2: nothing is used before its tag has verified
    Mutation(2, "a wrong tag is let through, by IPSec_MB", AEAD,
             "        if CRYPTO_memcmp(tag, frame + IV_BYTES + n, TAG_BYTES):\n", "        if False:\n",
             (TEST_CHANNEL + "test_every_flipped_bit_is_refused",)),
    Mutation(2, "a wrong tag is let through, by libcrypto", AEAD,
             "            or EVP_CipherFinal_ex(ctx, tag, &k) != 1):\n        return fail(err, FAST_AUTH, 0, \"tag\")",
             "            or EVP_CipherFinal_ex(ctx, tag, &k) == 7):\n        return fail(err, FAST_AUTH, 0, \"tag\")",
             (TEST_CHANNEL + "test_every_flipped_bit_is_refused",)),
    Mutation(2, "a frame's length is not bounded", CHANNEL,
             "if word >> 62 & 1 or n[0] > (c.max_data if type[0] == FRAME_DATA else <size_t>MAX_META_BYTES):",
             "if word >> 62 & 1:",
             (TEST_CHANNEL + "test_length_is_bounded_before_anything_is_read",)),
    # ---- 3: a frame is accepted once, in its place, on its stream, in its direction
    Mutation(3, "any sequence number is taken", CHANNEL,
             "    if word & ((<uint64_t>1 << SEQUENCE_BITS) - 1) != c.opening.sequence:\n", "    if False:\n",
             (TEST_CHANNEL + "test_replayed_frame_is_refused",
              TEST_CHANNEL + "test_reordered_frame_is_refused")),
    Mutation(3, "both directions have one key", CHANNEL,
             "        c.opening.direction = 1 if is_sender else 0\n", "        c.opening.direction = c.sealing.direction = 0\n",
             (TEST_CHANNEL + "test_reflected_frame_is_refused",)),
    Mutation(3, "all streams have one key", AEAD,
             "    be = htobe32(stream)\n", "    be = htobe32(0)\n",
             (TEST_CHANNEL + "test_frame_of_another_stream_is_refused",)),
    Mutation(3, "a stream may end before the last result", "escp/_fast/send/acks.pyx",
             "    if not r.is_ended[i]:\n", "    if False:\n",
             (TEST_RECEIVER + "test_end_before_the_last_result_is_refused",)),
    # ---- 4: a nonce never repeats under a key
    Mutation(4, "the sequence number stands still", CHANNEL,
             "    h.sequence += 1\n    h.epoch_bytes += n\n    memcpy(frame, &word, IV_BYTES)\n",
             "    h.epoch_bytes += n\n    memcpy(frame, &word, IV_BYTES)\n",
             (TEST_CHANNEL + "test_frames_arrive_in_both_directions",)),
    Mutation(4, "a key lasts for 64 TiB", CHANNEL,
             "DEFAULT_EPOCH_LIMIT = 64 << 30", "DEFAULT_EPOCH_LIMIT = 64 << 40", (TEST_BOUNDS,)),
    Mutation(4, "an epoch's key is the last one's", CHANNEL,
             "        return aead_rekey(&h.key, c.backend, is_sealing, c.secret, c.stream, h.direction, h.epoch, err)\n",
             "        return 0\n",
             (TEST_CHANNEL + "test_same_payload_looks_different_in_every_epoch",)),
    Mutation(4, "epochs go on into the next connection's", CHANNEL,
             "        if h.epoch % ROLLS_PER_CONNECTION == ROLLS_PER_CONNECTION - 1:\n", "        if False:\n",
             (TEST_CHANNEL + "test_epochs_of_a_connection_run_out_before_they_reach_the_next",)),
    Mutation(4, "each attempt has the number of the one before", "escp/streams/streams.py",
             "self._tried.get(stream, -1) + 1\n", "max(0, self._tried.get(stream, -1))\n",
             ("tests/fault/test_reconnect.py::test_many_cuts_at_random",)),
    # ---- 5: a stranger on the data port disturbs nobody
    Mutation(5, "the port is open on all addresses", "escp/agent/way.py",
             "        listener = listen(address, link.port, link.n_ports)\n",
             '        listener = listen("", link.port, link.n_ports)\n',
             (TEST_STRANGERS + "test_port_is_open_on_the_address_that_ssh_arrived_on_only",)),
    Mutation(5, "silent strangers stay", "escp/streams/listener.py",
             "if now - since > HELLO_TIMEOUT_S]:", "if now - since > 1e9]:",
             (TEST_LISTENER + "test_silent_stranger_is_dropped_after_a_while",)),
    Mutation(5, "silent strangers stay for 100 s", "escp/constants.py",
             "HELLO_TIMEOUT_S = 10.0", "HELLO_TIMEOUT_S = 100.0", (TEST_BOUNDS,)),
    Mutation(5, "strangers are kept without bound", "escp/streams/listener.py",
             "        if len(self._unproven) > self._max_unproven + self._n_missing:\n", "        if len(self._unproven) > 10**9:\n",
             (TEST_LISTENER + "test_crowd_of_strangers_is_bounded_and_true_streams_get_in",)),
    Mutation(5, "1,600 strangers are kept", "escp/constants.py",
             "MAX_UNPROVEN = 256 ", "MAX_UNPROVEN = 1600 ", (TEST_BOUNDS,)),
    Mutation(5, "the agent's port stays open", "escp/agent/way.py",
             "        if self._opener is not None:\n            self._opener.close()\n        self._opener = None\n",
             "        self._opener = None\n",
             (TEST_STRANGERS + "test_port_is_closed_once_the_streams_are_there",)),
    Mutation(5, "the initiator's port stays open", "escp/streams/leg.py",
             "            if opener is not None:\n                opener.close()\n", "            pass\n",
             (TEST_STRANGERS + "test_port_is_closed_once_the_streams_are_there",)),
    Mutation(5, "a hello need not prove the key", "escp/streams/streams.py",
             "        except FastError:\n            return False\n", "        except FastError:\n            return True\n",
             (TEST_LISTENER + "test_each_byte_of_the_hello_counts",)),
    Mutation(5, "a proven stream is replaced", "escp/streams/listener.py",
             "        if not streams.is_next(stream, connection) or not streams.check_hello(channel, hello):",
             "        if not streams.check_hello(channel, hello):",
             (TEST_LISTENER + "test_two_connections_prove_one_stream_and_the_first_stays",)),
    Mutation(5, "a connection that was there may come again", "escp/streams/streams.py",
             "            return connection > self._numbers.get(stream, -1)\n", "            return True\n",
             (TEST_LISTENER + "test_connection_that_was_there_is_no_next_one",)),
    Mutation(5, "a second connection takes a relay's place", "escp/streams/relayed.py",
             "        self.proven[stream] = sock, channel\n", "",
             ("tests/streams/test_relayed.py::test_second_connection_of_a_stream_is_dropped",)),
    # ---- 6: the secret stays in memory
    Mutation(6, "the process may be read and dumped", "escp/process/limits.py",
             "    forbid_dumps()\n", "", (WITNESS,)),
    Mutation(6, "there is no limit on core dumps", "escp/process/limits.py",
             "    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n", "",
             (TEST_SECRETS + "test_secret_is_nowhere_but_in_memory",)),
    Mutation(6, "ssh may dump core", "escp/remote/child.py",
             "    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))\n", "    pass\n",
             ("tests/remote/test_ssh.py::test_child_dumps_no_core_and_keeps_the_users_hard_limit",)),
    Mutation(6, "key schedules of IPSec_MB are not wiped", AEAD,
             "        escp_wipe(key.schedule, escp_imb_key_size())\n", "", (WIPED,)),
    Mutation(6, "the secret of a channel is not wiped", CHANNEL,
             "        escp_wipe(self.c.secret, SECRET_BYTES)\n", "", (WIPED,)),
    Mutation(6, "a channel leaves its keys behind", CHANNEL,
             "        aead_wipe(&self.c.opening.key)\n", "", (WIPED,)),
    Mutation(6, "the agent writes the secret to its log", "escp/agent/way.py",
             "        self._link = link\n", "        self._link = link\n        self._log.file_error(link.secret, link.secret.hex())\n",
             (TEST_SECRETS + "test_secret_is_nowhere_but_in_memory",)),
    # ---- 7: a peer can't write outside the destination
    Mutation(7, "the kernel is not asked to stay beneath", "escp/_fast/files/beneath.pyx",
             "        fd = <int>escp_openat_beneath(top, path, flags, follows_links)\n",
             "        fd = openat(top, path, flags)\n",
             (TEST_SENDER + "test_planted_directory_link_is_refused",)),
    Mutation(7, "a link in a root's place is followed", "escp/_fast/files/tree.pyx",
             "        fd = open_path(t, top, path, False)\n", "        fd = open_path(t, top, path, True)\n",
             ("tests/_fast/files/test_confinement.py::test_root_that_became_a_link_is_not_followed",)),
    Mutation(7, "all roots are confined to the target only", "escp/_fast/files/tree.pyx",
             "    n_root = n_root if n_root < n else n\n", "    n_root = 0\n",
             ("tests/_fast/files/test_confinement.py::test_link_of_an_earlier_copy_leads_nothing_out_of_its_root",)),
    Mutation(7, "links are followed on old kernels", "escp/_fast/files/beneath.pyx",
             "openat(fd, name, flags | O_NOFOLLOW)", "openat(fd, name, flags)",
             (TEST_SENDER + "test_planted_directory_link_is_refused",)),
    Mutation(7, "links that were sent are followed", "escp/_fast/files/tree.pyx",
             "        fd = open_path(t, top, path + n_root + (n_root > 0), not t.keeps_links)\n",
             "        fd = open_path(t, top, path + n_root + (n_root > 0), True)\n",
             ("tests/_fast/files/test_links.py::test_nothing_goes_through_a_link_that_was_sent",)),
    Mutation(7, "`..` is a component like others", "escp/_fast/wire/payloads.pyx",
             " or is_dots(path + start, k):", ":",
             (TEST_SENDER + "test_path_that_leads_out_is_refused",)),
    Mutation(7, "any name comes where one file was asked for", "escp/_fast/files/tree.pyx",
             "        if e.path_bytes:\n            return fail(err, FAST_UNSAFE, 0, \"path\")\n        memcpy(name, t.target_name",
             "        memcpy(name, t.target_name",
             (TEST_SENDER + "test_entry_with_a_path_is_refused_where_one_file_was_asked_for",)),
    Mutation(7, "links are made though nobody asked for them", "escp/_fast/files/nodes.pyx",
             "    if (e.kind == ENTRY_LINK and not t.keeps_links) or (", "    if (",
             ("tests/_fast/files/test_links.py::test_what_was_not_asked_for_is_not_made",)),
    # ---- 8: a final name only ever shows a whole, verified file
    Mutation(8, "a large file's digest is not compared", "escp/_fast/receive/receive_large.pyx",
             "        if l.digest.high != l.expected.high or l.digest.low != l.expected.low:\n", "        if False:\n",
             (TEST_SENDER + "test_wrong_digest_leaves_no_file",)),
    Mutation(8, "a small file's digest is not compared", "escp/_fast/receive/receive_small.pyx",
             "        if digest.high != e.digest.high or digest.low != e.digest.low:\n", "        if False:\n",
             (TEST_SENDER + "test_wrong_digest_leaves_no_file",)),
    # ---- 9: every count, length and size is bounded
    Mutation(9, "blocks lie anywhere", "escp/_fast/receive/receive_large.pyx",
             "    if h.offset % (SLICE_BYTES if l.has_holes else block) or h.offset >= l.what.size:\n",
             "    if h.offset >= l.what.size:\n",
             (TEST_BLOCKS + "test_block_off_its_grid_is_refused",)),
    Mutation(9, "blocks come twice", "escp/_fast/receive/receive_large.pyx",
             " or l.came[bit >> 3] >> (bit & 7) & 1:\n        return fail(err, FAST_PROTOCOL, 0, \"block twice\")",
             ":\n        return fail(err, FAST_PROTOCOL, 0, \"block twice\")",
             (TEST_BLOCKS + "test_block_that_comes_twice_is_refused",)),
    Mutation(9, "control messages may be of any length", "escp/control/codec.py",
             "            if n > (1 + MAX_CHUNK_BYTES if is_chunk else MAX_MESSAGE_BYTES) or (is_chunk and n < 2):\n",
             "            if is_chunk and n < 2:\n",
             ("tests/control/test_codec.py::test_length_beyond_the_bound_is_refused_before_it_arrives",
              "tests/control/test_codec.py::test_chunk_without_bytes_or_too_long_is_refused_before_it_arrives")),
    Mutation(9, "512 large files may be open", "escp/_fast/base/types.pxd",
             "MAX_OPEN_LARGE = 128 ", "MAX_OPEN_LARGE = 512 ", (TEST_BOUNDS,)),
    Mutation(9, "any number of names may wait", "escp/_fast/receive/roots.pyx",
             "    elif r.n_waiting == MAX_WAITING:\n", "    elif False:\n",
             ("tests/_fast/receive/test_absent.py::test_names_that_wait_are_bounded",)),
    Mutation(9, "a large file is ended while it is created", "escp/_fast/receive/receive_large.pyx",
             "    l.is_used, l.is_made = True, False\n", "    l.is_used, l.is_made = True, True\n",
             ("tests/_fast/receive/test_large_states.py::test_file_ends_on_one_stream_while_another_creates_it",)),
    Mutation(9, "an entry is composed where it has no room", "escp/_fast/wire/payloads.pyx",
             "    if entry_length(e) > room:\n        return 0\n", "",
             ("tests/_fast/send/test_messages.py::test_entry_is_written_only_where_it_has_room",)),
    Mutation(9, "room is reserved for all of a file at once", "escp/_fast/receive/reserve.pyx",
             "    n = l.n_begun if l.n_begun > RESERVE_BYTES else <uint64_t>RESERVE_BYTES\n", "    n = l.what.size\n",
             ("tests/_fast/receive/test_reserve.py::test_one_file_takes_a_step",)),
    # ---- 10: a receiver can't end what was not fully sent
    Mutation(10, "a result may come before its file was sent", "escp/_fast/send/acks.pyx",
             "if r.flags & RESULT_IS_EARLY else not f.is_sent):", "if r.flags & RESULT_IS_EARLY else False):",
             (TEST_RECEIVER + "test_final_result_before_the_end_of_the_file_is_refused",)),
    Mutation(10, "the sender does not compare digests", "escp/_fast/send/acks.pyx",
             "                r.digest.high != f.digest.high or r.digest.low != f.digest.low):\n", "                False):\n",
             (TEST_RECEIVER + "test_wrong_digest_names_the_file",)),
    # ---- 11: setuid, setgid and sticky bits
    Mutation(11, "setuid bits come with --owner alone", "escp/_fast/files/attributes.pyx",
             "    if k.keeps_owner and k.keeps_attributes:\n        return e.mode & FULL_MODE\n",
             "    if k.keeps_owner:\n        return e.mode & FULL_MODE\n",
             ("tests/_fast/files/test_attributes.py::test_owners_are_kept_and_setuid_only_with_modes",)),
    Mutation(11, "setuid bits come with -p alone", "escp/_fast/files/attributes.pyx",
             "    if k.keeps_owner and k.keeps_attributes:\n        return e.mode & FULL_MODE\n",
             "    if k.keeps_attributes:\n        return e.mode & FULL_MODE\n",
             (TEST_SENDER + "test_setuid_setgid_and_sticky_bits_of_files_are_dropped",)),
    # ---- 12: names and messages are escaped
    Mutation(12, "nothing is escaped", "escp/ui/display.py",
             '    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)\n',
             "    return text\n", ("tests/ui/test_escaping.py",)),
    Mutation(12, "words of the other side's standard error are raw", "escp/ui/words.py",
             "            self._say(whose + show_foreign(piece))\n", "            self._say(whose + piece)\n",
             ("tests/ui/test_escaping.py",
              "tests/integration/test_remote_words.py::test_standard_error_of_the_remote_agent")),
    Mutation(12, "the other side's standard error goes past escp", "escp/remote/child.py",
             "    child_fds = (child_in, child_out, child_err)\n", "    child_fds = (child_in, child_out, os.dup(2))\n",
             ("tests/integration/test_remote_words.py::test_standard_error_of_the_remote_agent",)),
    Mutation(12, "a line of the other side may look like escp's", "escp/ui/words.py",
             "            self._say(whose + show_foreign(piece))\n", "            self._say(show_foreign(piece))\n",
             ("tests/ui/test_escaping.py::test_line_of_another_side_is_never_taken_for_ours",)),
    Mutation(12, "a row of a long line may look like escp's", "escp/ui/words.py",
             "        if n_columns is None:\n            pieces = [line]\n", "        if True:\n            pieces = [line]\n",
             ("tests/ui/test_escaping.py::test_line_of_another_side_is_never_taken_for_ours",)),
    Mutation(12, "marks and fillers that nobody sees are raw", "escp/ui/display.py",
             ' and char not in _FILLERS and unicodedata.category(char) not in ("Mn", "Me")\n', "\n",
             ("tests/ui/test_escaping.py::test_what_nobody_would_see_of_a_line_is_escaped",)),
    # ---- 13: what is given to ssh can't be taken for an option
    Mutation(13, "no `--` stands before the host", "escp/remote/ssh.py",
             '        "--",\n        location.ssh_destination(),\n', "        location.ssh_destination(),\n",
             ("tests/remote/test_ssh.py::test_two_dashes_stand_before_the_host",)),
    Mutation(13, "no `--` stands before the host whose name is asked for", "escp/remote/ssh.py",
             '"-G", "--", location', '"-G", location',
             ("tests/remote/test_ssh.py::test_two_dashes_stand_before_the_host",)),
    Mutation(13, "a host may begin with a dash", "escp/options/location.py",
             '    if text.startswith(b"-"):\n', "    if False:\n", ("tests/options/test_location.py::test_refused",)),
    # ---- 14: the other side has no say in a host's log, CPUs or configuration
    Mutation(14, "a configuration of somebody else counts", "escp/options/configfile.py",
             "        if info.st_uid not in (0, os.geteuid()) or info.st_mode & 0o022:\n", "        if info.st_mode & 0o022:\n",
             ("tests/options/test_config.py::test_a_file_of_somebody_else_is_refused",)),
    Mutation(14, "a configuration that others may write counts", "escp/options/configfile.py",
             "        if info.st_uid not in (0, os.geteuid()) or info.st_mode & 0o022:\n",
             "        if info.st_uid not in (0, os.geteuid()):\n",
             ("tests/options/test_config.py::test_a_file_that_others_may_write_is_refused",)),
    Mutation(14, "a link in the log's place is followed", "escp/ui/log.py",
             " | os.O_NOFOLLOW", "", ("tests/ui/test_log.py::test_what_is_no_file_is_refused",)),
    Mutation(14, "somebody else's file is a log", "escp/ui/log.py",
             "    if info.st_uid not in (0, os.geteuid()):", "    if False:",
             ("tests/ui/test_log.py::test_file_of_somebody_else_is_refused_and_stays_as_it_is",)),
    Mutation(14, "another file of ours is a log", "escp/ui/log.py",
             " if info.st_nlink > 1 else", " if False else",
             ("tests/ui/test_log.py::test_another_file_of_ours_behind_a_hard_link_is_refused",)),
    Mutation(14, "configurations have anchors and aliases", "escp/options/configfile.py",
             '        if kind == "AliasEvent" or getattr(event, "anchor", None) is not None:\n', "        if False:\n",
             ("tests/options/test_config.py::test_mistakes_are_told_with_file_line_and_key",)),
    # ---- 15: a pull takes only what was asked for
    Mutation(15, "any name may be offered", "escp/names/offers.py",
             "            check_offered_name(path, name, self._peer)\n", "",
             ("tests/integration/test_hostile_agent.py::test_root_under_another_name_is_refused",)),
    Mutation(15, "any name may come", "escp/_fast/receive/roots.pyx",
             "    if r.is_on:\n        pthread_mutex_lock(&r.lock)\n        n_root = claim_locked(r, e)\n",
             "    if False:\n        pthread_mutex_lock(&r.lock)\n        n_root = claim_locked(r, e)\n",
             ("tests/integration/test_hostile_agent.py::test_data_under_another_name_are_refused",)),
    # ---- 16: a relay has no plaintext and derives no key
    Mutation(16, "the initiator of a -3 keeps the secret", "escp/jobs/hosts.py",
             "                self._link(self._send_agent, self._n_streams)\n                self._secret = b\"\"\n",
             "                self._link(self._send_agent, self._n_streams)\n", (FORGETS,)),
    Mutation(16, "the initiator of a -R keeps the secret", "escp/jobs/hosts.py",
             "        self._secret = b\"\"\n        self._legs.clear()\n", "        self._legs.clear()\n", (FORGETS,)),
    Mutation(16, "the relay proves itself with the session's secret", "escp/jobs/hosts.py",
             "            self._leg_secrets[agent] = os.urandom(SECRET_BYTES)\n",
             "            self._leg_secrets[agent] = self._secret\n",
             ("tests/integration/test_hosts.py::test_relay_derives_no_key",)),
    # ---- 17: the tunnel changes nothing of this
    Mutation(17, "more than the window is taken", "escp/control/tunnel.py",
             "        if len(self._unwritten[i]) > TUNNEL_WINDOW_BYTES:\n", "        if False:\n",
             (TEST_TUNNEL + "test_more_than_the_window_is_refused",)),
    Mutation(17, "more is granted than the window", "escp/control/tunnel.py",
             "        if self._credit[i] > TUNNEL_WINDOW_BYTES:\n", "        if False:\n",
             (TEST_TUNNEL + "test_credit_for_what_was_not_sent_is_refused",)),
    Mutation(17, "more is sent than was granted", "escp/control/tunnel.py",
             "            self._credit[i] -= len(data)\n", "",
             (TEST_TUNNEL + "test_what_nobody_reads_is_bounded_by_the_window",)),
    Mutation(17, "streams that are not there are named", "escp/control/tunnel.py",
             "        if not 0 <= stream < len(self._sockets):\n", "        if False:\n",
             (TEST_TUNNEL + "test_stream_that_is_not_there_is_refused",)),
    # ---- 18: what a host tells --doctor is only shown
    Mutation(18, "facts are not escaped", "escp/facts/facts.py",
             "        return show_text(text)\n", "        return text\n",
             ("tests/facts/test_facts.py::test_facts_come_back_with_their_texts_escaped",)),
    Mutation(18, "any device stands in commands for root", "escp/facts/facts.py",
             r'        if name == "device" and not re.fullmatch(r"[\w.:@+-]{1,15}", text, re.ASCII):' "\n", "        if False:\n",
             ("tests/facts/test_facts.py::test_no_text_of_a_peer_becomes_a_line_or_a_command",)),
    Mutation(18, "texts have no bound", "escp/facts/facts.py",
             "    if kind == str | None and len(text) <= MAX_TEXT:\n", "    if kind == str | None:\n",
             ("tests/facts/test_facts.py::test_wrong_facts_are_refused",)),
    Mutation(18, "an agent measures for 10 s", "escp/facts/system.py",
             "MEASURE_S = 0.1", "MEASURE_S = 10", (TEST_BOUNDS,)),
    Mutation(18, "an agent measures as often as it is asked", "escp/control/messages.py",
             "class Examine(Message, initiator=(Hello,)):\n",
             "class Examine(Message, initiator=(Hello,), repeats=True):\n",
             ("tests/control/test_course.py::test_message_out_of_turn_is_refused_by_the_agent",)),
    # ---- 19: what --push-agent starts is what was sent
    Mutation(19, "a local tree is sent whatever it holds", "escp/remote/push/tree.py",
             "        if n_left or found.hexdigest() != digest:\n", "        if n_left:\n",
             (TEST_PUSH + "test_local_tree_that_was_touched_is_not_sent",)),
    Mutation(19, "what arrived is not compared with MANIFEST", "escp/remote/push/script.py",
             '[ "$(sha256sum < lib/escp/MANIFEST)" = "IDENTITY  -" ] && sha256sum -c lib/escp/MANIFEST >/dev/null 2>&1 &&\n  [',
             "[", (TEST_PUSH + "test_what_arrives_damaged_is_not_kept",)),
    Mutation(19, "files that MANIFEST does not know are kept", "escp/remote/push/script.py",
             " &&\n  [ $(find . -type f | wc -l) -eq $(($(wc -l < lib/escp/MANIFEST) + 1)) ] || refuse damaged",
             " || refuse damaged", (TEST_PUSH + "test_file_that_manifest_does_not_know_is_not_kept",)),
    Mutation(19, "it starts where others may write", "escp/remote/push/script.py",
             'safe "$d" || refuse unsafe "$d"\n', "", (TEST_PUSH + "test_directory_that_others_may_write_to",)),
    Mutation(19, "--clean-agents takes links for trees", "escp/remote/push/script.py",
             '  [ -L "$name" ] && { say link 0 "$id"; continue; }\n', "",
             (TEST_PUSH + "test_clean_follows_no_links",)),
    # ---- 20: who owns a tree does not lead its copy out of it
    Mutation(20, "a source's directories are opened by their paths", "escp/_fast/send/below.pyx",
             "    return open_beneath(way.fd, path, flags, False, &s.lacks_openat2)\n",
             "    return openat(way.fd, path, flags)\n",
             (TEST_CONFINED + "test_directory_that_becomes_a_link_leads_nowhere",)),
    Mutation(20, "links are followed in a source on old kernels", "escp/_fast/files/beneath.pyx",
             "openat(fd, name, flags | O_NOFOLLOW)", "openat(fd, name, flags)",
             (TEST_CONFINED + "test_directory_that_becomes_a_link_leads_nowhere",)),
    # ---- 21: what the kernel says about a file is bounded
    Mutation(21, "a hole is wherever the kernel says", "escp/_fast/files/bounds.pyx",
             "    return <uint64_t>at if <int64_t>offset < at < <int64_t>end else end\n", "    return <uint64_t>at\n",
             (TEST_KERNEL + "test_ranges_are_ranges_whatever_lseek_says",)),
    Mutation(21, "data is wherever the kernel says", "escp/_fast/files/bounds.pyx",
             "    if at < <int64_t>offset:\n        return offset\n", "",
             (TEST_KERNEL + "test_ranges_are_ranges_whatever_lseek_says",)),
    Mutation(21, "names in a listing may be paths", "escp/_fast/files/bounds.pyx",
             "            or memchr(name, SLASH, strlen(name)) != NULL):\n", "            ):\n",
             (TEST_KERNEL + "test_listing_that_is_none_ends_there",)),
    # ---- 22: nothing that lay in memory is sent
    Mutation(22, "the dummy engine sends what lies in memory", "escp/_fast/io/dummy_engine.pyx",
             "    memset(ring.memory, 0, n)", "    pass",
             ("tests/_fast/send/test_messages.py::test_dummy_engine_sends_nothing_that_lay_in_memory",)),
    # ---- 23: what gets an owner, a mode or a time is what was made
    Mutation(23, "a new node is whatever has its name", "escp/_fast/files/nodes.pyx",
             "    if not is_just_made(t, node, fd):\n", "    if False:\n", ("tests/_fast/files/test_swapped_nodes.py",)),
    Mutation(23, "a target's new directory is whatever has its name", "escp/names/destination.py",
             "        if not is_empty or not _is_ours(fd):\n", "        if False:\n",
             ("tests/names/test_destination_races.py::test_directory_that_was_made_is_the_one_that_is_opened",)),
    # ---- 24: an agent does not choose where this host connects
    Mutation(24, "the agent's addresses are connected to", "escp/streams/leg.py",
             "        return sorted(known, key=lambda address: address not in named)[:MAX_ADDRESSES]\n",
             "        return named or known\n",
             ("tests/integration/test_addresses.py::test_foreign_addresses_of_an_agent_are_not_connected_to",)),
    Mutation(24, "any port may be named", "escp/streams/leg.py",
             'listening.port and not first <= listening.port <= last:', "False:",
             ("tests/integration/test_addresses.py::test_port_that_was_not_asked_for_is_not_connected_to",)),
    # ---- 25: an agent that only says that it is alive is not waited for
    Mutation(25, "what is owed may come late", "escp/control/course.py",
             "        owed = None if self._is_running else self._check_owed(now)\n", "        owed = None\n",
             ("tests/control/test_course.py::test_agent_that_owes_an_answer_and_only_says_that_it_is_alive",)),
    Mutation(25, "a keepalive is a sign of life before the hello", "escp/control/course.py",
             "            if isinstance(message, KeepAlive) and Hello in self._seen:\n",
             "            if isinstance(message, KeepAlive):\n",
             ("tests/control/test_course.py::test_message_out_of_turn_is_refused_by_the_initiator",)),
    # ---- 26: no end's word alone makes a copy a success
    Mutation(26, "accounts may differ", "escp/jobs/accounts.py",
             "        if n_sent != n_received:\n", "        if False:\n",
             ("tests/jobs/test_accounts.py::test_different_accounts_do_not",)),
    Mutation(26, "a name may be absent without a reason", "escp/jobs/accounts.py",
             "        n = min(max(0, self._n_absent - self._n_reasons), len(self._absent))\n", "        n = 0\n",
             ("tests/jobs/test_accounts.py::test_each_absent_name_has_a_reason_of_its_own",)),
    Mutation(26, "what never came is not missed", "escp/_fast/receive/receive.pyx",
             "    while roots_take_missing(&s.roots, name, &n):\n", "    while False:\n",
             ("tests/integration/test_accounts.py::test_file_that_never_comes_has_failed",)),
]  # fmt: skip
