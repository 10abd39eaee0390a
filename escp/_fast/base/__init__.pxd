"""Error codes and limits, C and the kernel's calls, threads, counters, the queue to Python."""
