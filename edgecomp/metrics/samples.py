"""Names of the raw samples: what the bench writes into samples.npz, and what estimators, gate and reports read from it."""

WALL, CPU = "wall_ns", "cpu_ns"
"""What a worker answers with, one value a call; of a comparison, int64 [restarts, rounds, 2, calls]."""

COLD_START, LOAD = "cold_start_ns", "load_ns"
"""One value a restart, as are the two of memory below."""
PEAK_MEMORY, IMPORTS_PEAK = "peak_memory_bytes", "imports_peak_bytes"

WARMUP_WALL = f"warmup_{WALL}"
SINGLE_STREAM_WALL, SINGLE_STREAM_CPU = f"single_stream_{WALL}", f"single_stream_{CPU}"
OFFLINE_WALL, OFFLINE_CPU = f"offline_{WALL}", f"offline_{CPU}"
"""Of a run or a bench, int64 [restarts, calls]."""

STREAM_WALL = "stream_wall_ns"
"""Of a line of text in a stream, one value a restart."""

TOKEN_WALL, TOKEN_CPU, GENERATION_WALL = "token_wall_ns", "token_cpu_ns", "generation_wall_ns"
"""Of a language model, int64 [restarts, generations]: of a token after the first, their mean in a generation, wall and CPU time, and of all of a generation; to its first token a
prompt is an inference of the single stream."""

SCORE = "score"
"""Of answers, by the user's own function (edgecomp.models.own_code): float64 [examples], by arm `ARM.score`."""

CHOICES = "right_choices"
"""Of prompts with several answers to choose from, by arm `ARM.right_choices`: float64 [prompts], 1 where the right one is the likeliest."""

CPU_OF = {SINGLE_STREAM_WALL: SINGLE_STREAM_CPU, OFFLINE_WALL: OFFLINE_CPU}
"""The CPU time of the same calls, by the name of their wall time."""

IN_COMPARISON = {SINGLE_STREAM_WALL: WALL, SINGLE_STREAM_CPU: CPU}
"""What a comparison calls samples that a run calls otherwise."""


def of_prompt(length: int, samples: str) -> str:
    """The name of `samples` of a language model, TOKEN_WALL for one, after prompts of another `length` than the one that is judged, in tokens."""
    return f"prompt_{length}_{samples}"


def of_scenario(scenario: str, clock: str) -> str:
    """The name of a scenario's samples; scenario: as a worker is asked for it, clock: WALL or CPU."""
    return f"{scenario}_{clock}"
