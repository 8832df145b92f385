"""Terms of the distillation loss: one file a family."""
