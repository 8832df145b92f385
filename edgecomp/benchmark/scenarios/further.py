"""The scenarios of a bench beside those that are always measured, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp import inputs
from edgecomp.artifacts.places import check_duration
from edgecomp.benchmark import result
from edgecomp.benchmark.hosts.process import Place
from edgecomp.benchmark.inputs.prompts import of_length
from edgecomp.benchmark.scenarios import endurance, generation, served, streaming
from edgecomp.benchmark.scenarios import server as open_loop
from edgecomp.benchmark.scenarios.alternated import Effort, measure
from edgecomp.benchmark.stage import described
from edgecomp.benchmark.texts import Texts
from edgecomp.errors import BudgetExceededError, InferenceError, UsageError, WorkerError
from edgecomp.metrics.registry import BATCHED_SERVER, MULTI_STREAM_P99, SERVER, STREAM
from edgecomp.metrics.samples import GENERATION_WALL, OFFLINE_WALL, TOKEN_CPU, TOKEN_WALL, WALL, of_prompt
from edgecomp.progress import Track
from edgecomp.runtimes import TABLE
from edgecomp.stats.figure import Figure
from edgecomp.stats.order_statistics import samples_needed

STREAMS = 8  # examples in a query of MLPerf's multi stream
MOST = 8  # requests answered at once by dynamic batching
WARMUP = 20
STREAMED, GENERATE = "stream", "generate"
LENGTHS = (32, 128, 512)  # of prompts, tokens
TOKENS, GENERATIONS, PROMPTS = (
    16,
    4,
    4,
)  # that each generation has; in a restart, of each length; that they take in turn


@dataclass(frozen=True)
class Options:
    """What is wanted of a bench, besides single stream, offline and cold start."""

    scenarios: Sequence[str] = ()
    restarts: int = 7
    max_time_s: float = 60.0
    minutes: float = 10.0  # of each endurance scenario
    clients: int = 4
    profile: bool = False
    timeout_s: float = 120.0
    trust: Sequence[str] = ()  # files that may run code
    shape: Sequence[str] = ()  # NAME=LENGTH of inputs that are made up
    range: Sequence[str] = ()  # NAME=LOW:HIGH
    rate: float | None = None  # lines a second that arrive in a stream; None: half of what it can

    def __post_init__(self) -> None:
        check_duration(self.max_time_s, "--max-time")
        check_duration(60 * self.minutes, "--minutes", 60)


@dataclass(frozen=True)
class Setting:
    """What every further scenario needs."""

    place: Place
    model: Path
    inputs: Path
    rows: int
    fixed: bool  # the file takes no other number at once
    options: Options
    alone_ms: float  # median latency of one
    limit_ms: float
    scratch: Path
    track: Track
    texts: Texts | None = None

    @property
    def common(self) -> dict[str, Any]:
        return {"model": self.model, "inputs": self.inputs, "rows": self.rows, "track": self.track}


GIVE = "--inputs FILE.npz"
FIXED = "the file takes batches of {} and no others"

Found = tuple[dict[str, Any], dict[str, npt.NDArray[Any]], dict[str, Figure]]


def multi_stream(at: Setting) -> Found:
    """Queries of eight examples, one after another, of the model in `at`."""
    if at.fixed:
        return {"not_run": FIXED.format(at.rows)}, {}, {}
    room = at.options.max_time_s / at.options.restarts / (STREAMS * at.alone_ms / 1e3)
    queries = int(min(samples_needed(99), max(8, room)))
    effort = Effort(
        at.options.restarts, WARMUP, 8, STREAMS, queries, most_s=at.options.max_time_s, rows=at.rows
    )
    arms, told, _ = measure(
        {"model": described(at.model, 0)},
        place=at.place,
        inputs=at.inputs,
        effort=effort,
        scratch=at.scratch,
        track=at.track,
    )
    if "batch_failed" in told:
        return {"not_run": told["batch_failed"]}, {}, {}
    walls = arms["model"].samples[OFFLINE_WALL]
    p50 = result.figure(np.median(walls, axis=1) / 1e6, "time", walls.shape[1])
    facts: dict[str, Any] = {"streams": STREAMS, "queries": walls.shape[1], "p50_ms": result.as_json(p50)}
    if walls.shape[1] < samples_needed(99):
        return facts | {"p99": f"{walls.shape[1]} queries a restart cannot show it"}, {WALL: walls}, {}
    p99 = result.figure(np.percentile(walls, 99, axis=1) / 1e6, "time", walls.shape[1])
    return facts, {WALL: walls}, {MULTI_STREAM_P99: p99}


def server(at: Setting) -> Found:
    """Requests to the model in `at` that come when they come, each answered alone; of a server as that has it."""
    if TABLE[at.place.runtime].remote:
        rates, facts, samples = served.highest_rate(
            at.place, **at.common, restarts=at.options.restarts, limit_ms=at.limit_ms, scratch=at.scratch
        )
        return facts, {"rate_per_s": rates} | samples, {SERVER: result.figure(rates, "rate")}
    return _served(at, most=1, delay_ms=0.0, metric=SERVER)


def dynamic_batching(at: Setting) -> Found:
    """As `server`, but what waits is answered together; a batch waits a tenth of the limit in `at` to fill."""
    if TABLE[at.place.runtime].remote:
        return {"not_run": served.ITS_OWN_BATCHES}, {}, {}
    if at.fixed:
        return {"not_run": FIXED.format(at.rows)}, {}, {}
    return _served(at, most=MOST, delay_ms=at.limit_ms / 10, metric=BATCHED_SERVER)


def _served(at: Setting, most: int, delay_ms: float, metric: str) -> Found:
    rates, facts = open_loop.highest_rate(
        at.place,
        **at.common,
        restarts=at.options.restarts,
        limit_ms=at.limit_ms,
        most=most,
        delay_ms=delay_ms,
        scratch=at.scratch,
    )
    return facts, {"rate_per_s": rates}, {metric: result.figure(rates, "rate")}


def sustained(at: Setting) -> Found:
    """Single stream for the minutes that `at` has."""
    return *endurance.sustained(at.place, **at.common, minutes=at.options.minutes), {}


def stress(at: Setting) -> Found:
    """More and more clients at once, up to as many as `at` has."""
    return *endurance.stress(
        at.place, **at.common, clients=at.options.clients, minutes=at.options.minutes, scratch=at.scratch
    ), {}


def stream(at: Setting) -> Found:
    """Lines of text to the model in `at`, from the text to its class."""
    if at.texts is None:
        raise UsageError("a stream is of lines of text: --inputs LINES.txt")
    if at.fixed:
        return {"not_run": FIXED.format(at.rows)}, {}, {}
    rates, facts = streaming.fastest(
        at.place, **at.common, texts=at.texts, restarts=at.options.restarts, rate_per_s=at.options.rate, scratch=at.scratch
    )  # fmt: skip
    return facts, {"lines_per_s": rates}, {STREAM: result.figure(rates, "rate")}


def generate(at: Setting) -> Found:
    """Texts that the language model in `at` generates, after prompts of several lengths, as long as it reads; figures are of the shortest."""
    if not TABLE[at.place.runtime].generates:
        raise UsageError(f"texts are generated by language models, and {at.place.runtime} runs others")
    given, said = inputs.load(at.inputs), list[int]()
    own: dict[str, npt.NDArray[Any]] = {}
    facts: dict[str, Any] = {}
    for length in LENGTHS:
        folder = at.scratch / f"prompts_{length}"
        inputs.save(of_length(given, length, PROMPTS), folder)
        try:
            samples, texts = generation.generated(
                {"model": described(at.model, 0)},
                place=at.place,
                prompts={length: folder},
                tokens=TOKENS,
                count=GENERATIONS,
                restarts=at.options.restarts,
                track=at.track,
            )
        except (InferenceError, WorkerError, BudgetExceededError) as error:
            if not own:
                raise
            facts["longer"] = f"prompts of {length} tokens and more were not read: {error}"
            break
        own, said = samples["model"] | own, said or texts["model"]
    read = [length for length in LENGTHS if of_prompt(length, TOKEN_WALL) in own]
    facts |= {
        "new_tokens": TOKENS,
        "generations": GENERATIONS,
        "by_prompt_length": generation.by_length({"model": own}, read, TOKENS)["model"],
        "said": said,
    }
    seconds = np.median(own[GENERATION_WALL], axis=1) / 1e9
    figures = {
        "tpot_cpu_p50_ms": result.figure(np.median(own[TOKEN_CPU], axis=1) / 1e6, "time", GENERATIONS),
        "tpot_p50_ms": result.figure(np.median(own[TOKEN_WALL], axis=1) / 1e6, "time", GENERATIONS),
        "token_throughput_p50_per_s": result.figure(TOKENS / seconds, "rate", GENERATIONS),
    }
    return facts, dict(own), figures


RUN: dict[str, Callable[[Setting], Found]] = {
    "multi-stream": multi_stream,
    "server": server,
    "dynamic-batching": dynamic_batching,
    "stream": stream,
    GENERATE: generate,
    "sustained": sustained,
    "stress": stress,
}
