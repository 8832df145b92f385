"""A run of a language model (task: causal-lm): the steps of the main job, by what edgecomp/language does in them."""
