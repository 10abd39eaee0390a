"""Logins by TLS instead of ssh: certificates, the daemon, the child that logs in."""
