"""The other host's escp: started by ssh, reached, sent along (push/)."""
