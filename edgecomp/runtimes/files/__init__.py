"""What a model file holds, read without executing it."""
