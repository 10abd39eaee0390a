"""This host's files: names below one descriptor, attributes, owners, links, comparison, rules for names."""
