"""Where examples come from, how they are split, and the store of soft labels."""
