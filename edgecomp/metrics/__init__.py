"""What is measured: metrics, their units, and the raw samples they are estimated from."""
