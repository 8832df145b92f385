"""Runtimes of language models, whose model is a folder: adapters are given the file in it that holds the graph."""
