"""Measuring: worker processes, scenarios and memory, blind to what a model computes."""
