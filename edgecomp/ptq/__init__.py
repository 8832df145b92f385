"""Post-training quantisation: what distillation has to beat."""
