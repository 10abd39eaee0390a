"""The doors for Python: send, receive, both in one process, relay."""
