"""What the user asked for: command line, configuration, environment, checked."""
