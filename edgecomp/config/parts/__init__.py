"""Parts of a recipe: how networks are trained, and what a rehearsal has at most."""
