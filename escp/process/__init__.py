"""This process: what it inherited, environment, limits and shortages, CPUs and memory, signals."""
