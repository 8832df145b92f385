"""What `edgecomp quantize` is given: a model of any kind, and inputs of any kind."""
