"""From raw samples to figures: the functions that rows of the registry name, one file a kind of metric."""
