"""Parts of a recipe that are large enough for a file."""
