"""A run folder: what its steps have made, recorded with digests, and who may write there."""
