"""The distillation loss: one file a family of terms; the table of them is terms.py."""
