"""escp: copy files between hosts over several sealed TCP streams, verified, at the machine's speed."""

__version__ = "0.1.0"
