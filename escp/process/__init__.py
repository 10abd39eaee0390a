"""This process: environment, limits, CPUs and memory, signals, the one file's life."""
