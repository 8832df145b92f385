"""Where a worker may run: on this machine as it is, or as another CPU."""
