"""Fake-quant modules, where a scheme puts them, calibration, and the exact fold of batch normalisation."""
