"""What runs in a benchmark process: the standard library, numpy and one runtime."""
