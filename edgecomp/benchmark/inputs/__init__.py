"""What a model file is given: examples from a file, or made up from its signature."""
