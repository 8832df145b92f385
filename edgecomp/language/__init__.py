"""Language models that are taught: texts as tokens, a teacher's most probable tokens, losses on them, weights of few bits by groups, and the folders
that GenAI runtimes load. Everything here takes plain arguments; edgecomp/pipeline/language says what a recipe asks of it."""
