"""What runs where: a job for each arrangement of the two ends; what came of it."""
