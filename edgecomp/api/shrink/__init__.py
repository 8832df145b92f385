"""`edgecomp search`: the student that fits."""
