"""Federated distillation by Flower: clients answer public examples, and no data of theirs leaves them. `client`, `server` and `voting` are copied into a
Flower app, and need Flower and numpy alone; `privacy` and `writing` make the app."""
