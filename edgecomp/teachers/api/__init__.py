"""A teacher behind an API: prompts, requests that are asked once, answers that are parsed by a rule, and what they cost.

`labelling.label` asks for every example; `protocols.TABLE` has a row for each way to ask.
"""
