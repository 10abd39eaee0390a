"""The control channel: messages, their order, the pipe, the tunnel, what it carries."""
