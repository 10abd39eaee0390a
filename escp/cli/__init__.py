"""Verbs and exit status."""
