"""Each stage, told from a job: settings become plain arguments here, and nowhere else.

A stage reads the run folder and writes into `out`; a long one keeps what it needs to resume in `checkpoints`.
Heavy libraries are imported where a stage begins its work, so that a run with nothing to do takes no time.
"""
