"""The student that fits: spaces of students, what a budget allows, the search, its front; structured pruning."""
