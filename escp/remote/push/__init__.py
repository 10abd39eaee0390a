"""escp sent along to a host that has none: found, sent, compared, removed."""
