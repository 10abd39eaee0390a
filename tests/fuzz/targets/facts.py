"""Facts from the other host: read, or refused; and what is advised because of them, which may be for root."""

from escp.doctor.advice import Situation, advise_host, advise_route, find_rates
from escp.errors import ProtocolError
from escp.facts.facts import NO_FACTS, NO_ROUTE, decode_facts, encode_facts
from escp.ui.finding import REMOTE


def test_one(data: bytes) -> None:
    """NAME=VALUE, one a line."""
    try:
        facts = decode_facts(data.decode(errors="replace").split("\n"))
    except ProtocolError:
        return
    again = decode_facts(encode_facts(facts))
    assert decode_facts(encode_facts(again)) == again
    situation = Situation("host", find_rates(facts, NO_FACTS), 4, 0.05, b"/data")
    findings = advise_host(facts, REMOTE, situation)
    findings += advise_route(NO_ROUTE, NO_FACTS, facts, is_tunnel=False)
    for finding in findings:
        texts = [text.replace("\n", "") for text in finding if isinstance(text, str)]  # lines of advice
        assert all(text.isprintable() for text in texts), finding
