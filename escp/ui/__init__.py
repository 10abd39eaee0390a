"""All that is told: terminal, JSON lines, log; how names and numbers look."""
