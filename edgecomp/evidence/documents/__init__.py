"""What a pack says of a run in the forms of others: statements, ML-BOM, model card, the headings of regulations. Each follows from its verdict."""
