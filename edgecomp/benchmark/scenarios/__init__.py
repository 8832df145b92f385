"""What is timed, and how: the load scenarios."""
