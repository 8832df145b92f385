"""A batch in, soft labels out."""
