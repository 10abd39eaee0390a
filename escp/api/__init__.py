"""Copies called for by another program: what the command does, without its terminal and its exit."""
