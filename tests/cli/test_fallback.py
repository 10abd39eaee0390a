"""`--fallback scp`: no option is left out unnoticed that changes what is copied."""

from escp.cli.fallback import _LACKING
from escp.options.options import Options

HANDED_ON = set(
    "address_family has_compression is_direct_hosts is_quiet is_recursive json json_fd keeps_attributes "
    "limit_bytes_per_s logins sources stop_s ssh_args ssh_port ssh_program target verbosity words".split()
)
# Where escp's own bytes go, how fast, what is told, and what other verbs do.
NO_MATTER = set(
    "agent_command agent_tree batch bind_address block_bytes checks checks_config cleans_agents cpumask "
    "days data_host fallback has_checksum has_numeric_ids is_direct is_doctor is_embedded "
    "is_null_separated is_logfile_configured is_reverse is_selftest is_server listens "
    "logfile logs_files makes_ca makes_certificate max_deletions metrics n_ports n_retries option_words "
    "n_streams nodemask notify partial_min port receive_engine reconnect_s resumes revokes send_engine "
    "shows_bits shows_config shows_help shows_licence shows_version stats_s tls_folder trusts_parts "
    "tunnel unreached_files".split()
)


def test_each_option_is_handed_on_or_refused_or_no_matter_to_scp():
    assert {*_LACKING, *HANDED_ON, *NO_MATTER} == set(Options._fields)
