"""Who teaches: a network that is trained here, or is ready, and its soft labels, stored once.

There is one kind, an `nn.Module` with weights, because it is exported, measured and judged beside its student as well. Another kind begins in
pipeline/stages/learning.py, which asks this room for soft labels, and in pipeline/loaders.py, which loads the network.
"""
