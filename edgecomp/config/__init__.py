"""What may be asked for: recipes, targets, policies and the job they make. Validated, and nothing is probed."""
