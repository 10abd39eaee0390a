"""Walkers: what is found, opened, asked about."""
