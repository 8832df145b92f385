"""Distillation: losses, and the stage that trains a student while it is being quantised."""
