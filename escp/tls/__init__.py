"""Logins by TLS instead of ssh: certificates, the daemon that serves them, the child that logs in."""
