"""The distillation loss, one file a family of terms. Which there are, and how one is added, is in `registry`."""

from edgecomp.distill.losses.registry import TERMS, Learner, Loss, Teacher, Term, build

__all__ = ["TERMS", "Learner", "Loss", "Teacher", "Term", "build"]
