"""What the bench writes and the gate reads: raw samples, outputs and facts of one target.

Format 3: measurements.json (facts by arm, with what its export was compared to), samples.npz (`ARM.NAME`: int64, first axis the restarts) and
outputs.npz (`ARM`: logits [examples, classes]; `labels`; `ARM.score` [examples], where a recipe names a score function).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from edgecomp.arms import STUDENT_INT8
from edgecomp.errors import FileError, RunFolderError, UsageError
from edgecomp.files.array_files import read_npy, read_npz
from edgecomp.files.json_files import read_mapping, shaped
from edgecomp.files.writing import write_json
from edgecomp.metrics.comparison import BY_OUTPUT
from edgecomp.metrics.samples import CHOICES, SCORE
from edgecomp.tasks import Labels, SeveralOutputs, Task, task
from edgecomp.tasks.several import Output

FORMAT_VERSION = 3

Logits = npt.NDArray[np.float32]
"""[examples, classes]."""

# What an audit may find of a model that does, while it is timed, what it does otherwise.
MOST_TIMED_ERROR = (
    0.1  # mean difference over deviation: integer kernels round one example otherwise than a batch
)
LEAST_REPEATED = 0.7  # time of a repeated input over that of a new one: caches of the CPU give a little


@dataclass(frozen=True)
class Arm:
    """One model under one runtime. samples: name → int64 [restarts, ...]; logits: [examples, classes]."""

    samples: dict[str, npt.NDArray[np.int64]]
    logits: npt.NDArray[np.float32]
    memory: dict[str, dict[str, int]]  # phase → uss_bytes, rss_bytes, peak_bytes; medians over restarts
    file_size_bytes: int
    file_sha256: dict[str, str]
    parameter_bytes: int | None
    parity: dict[str, Any] | None = (
        None  # of the exported file with the network it is made of; None: not compared
    )
    outputs: Mapping[str, Any] = field(default_factory=dict)  # by name, every output; not kept by `save`
    scores: npt.NDArray[np.float64] | None = None  # [examples], by the user's own function
    choices: npt.NDArray[np.float64] | None = None  # [prompts], whether the right answer is the likeliest


class Death(NamedTuple):
    """A model that did not fit: `certain` where the limit is one of what is really held (a cgroup's)."""

    message: str
    phase: str
    certain: bool


@dataclass(frozen=True)
class Emulated:
    """The int8 student as another CPU executes it. test, probes: logits of the first examples of each, or None.

    reference: the fake-quant student's own logits of the probes.
    """

    facts: dict[str, Any]
    test: npt.NDArray[np.float32] | None
    probes: npt.NDArray[np.float32] | None
    reference: npt.NDArray[np.float32]

    @classmethod
    def load(cls, folder: Path, reference_file: Path) -> "Emulated":
        """What was written into `folder` of a target's emulation. reference_file: the fake-quant student's
        logits of the probes, .npy. Raises FileError."""
        facts = read_mapping(folder / "emulation.json", "run")
        test, probes = (
            read_npy(folder / f"{name}.npy") if facts["run"] else None for name in ("test", "probes")
        )
        return cls(facts, test, probes, read_npy(reference_file))

    def of(self, one: Output) -> "Emulated":
        """With the numbers of one of several outputs alone."""
        test, probes = (None if values is None else one.own(values) for values in (self.test, self.probes))
        return replace(self, test=test, probes=probes, reference=one.own(self.reference))


@dataclass(frozen=True)
class Portable:
    """The int8 file of a target of that `isa` on other CPUs than the `host`.

    why: which of its layers can saturate there, and the arithmetic; empty where it is proven that none can. executed: by CPU,
    whether it was `run` and `how`, and of how many `examples` the answer was `agreeing`.
    """

    isa: str
    host: str
    why: str
    executed: dict[str, dict[str, Any]]

    @classmethod
    def load(cls, folder: Path) -> "Portable":
        """What was written into `folder` of a target's execution on other CPUs. Raises FileError."""
        content = read_mapping(folder / "portable.json", "isa", "host", "why", "executed")
        return cls(content["isa"], content["host"], content["why"], content["executed"])


@dataclass(frozen=True)
class Health:
    """What each arm answered to the examples as they are (`clean`), attacked (`attack.NAME`), corrupted (`corruption.NAME.SEVERITY`), to
    training examples (`members`), and to key samples (`keys`).

    labels: of the examples, which are the first of the test split; member_labels, key_labels: of training examples and key samples. answers: arm → what was asked → outputs
    [examples, classes]. facts: what was declared.
    """

    facts: dict[str, Any]
    labels: Labels
    member_labels: Labels
    answers: dict[str, dict[str, Logits]]
    key_labels: Labels = field(default_factory=lambda: np.empty(0, np.int64))

    def save(self, folder: Path) -> None:
        """Writes health.json and outputs.npz into `folder`."""
        write_json(folder / "health.json", {"format": 1, **self.facts})
        asked = {
            f"{arm}/{name}": given for arm, named in self.answers.items() for name, given in named.items()
        }
        asked |= {"labels": self.labels, "member_labels": self.member_labels, "key_labels": self.key_labels}
        np.savez(folder / "outputs.npz", **cast(Any, asked))

    @classmethod
    def load(cls, folder: Path) -> "Health":
        """What was written into `folder` of a target's model health. Raises FileError."""
        facts, arrays = read_mapping(folder / "health.json", "format"), read_npz(folder / "outputs.npz")
        answers: dict[str, dict[str, Logits]] = {}
        for name, given in arrays.items():
            arm, of_an_arm, asked = name.partition("/")
            if of_an_arm:
                answers.setdefault(arm, {})[asked] = given
        return cls(facts, arrays["labels"], arrays["member_labels"], answers, arrays["key_labels"])


def _parity_of(parity: dict[str, Any] | None, output: str) -> dict[str, Any] | None:
    """Of an exported file, with what is known of one of its outputs."""
    return parity and parity | parity.get("outputs", {}).get(output, {})


@dataclass(frozen=True)
class Measurements:
    target: str
    runtime: str
    arms: dict[str, Arm]
    labels: Labels
    offline_batch: int
    facts: dict[str, Any]
    student: str = STUDENT_INT8.name  # the arm that is judged
    deaths: dict[str, Death] = field(default_factory=dict)  # arms that did not fit into the target's memory
    not_run: str = (
        ""  # why nothing was measured; of answers alone, where another runtime gave them (`stand_in`)
    )
    emulated: "Emulated | None" = None
    portable: "Portable | None" = None
    health: "Health | None" = None
    slices: npt.NDArray[Any] | None = None  # by example, the part of the data it is of

    @property
    def task(self) -> Task:
        """What outputs and labels mean."""
        return task(self.facts.get("task"), self.facts.get("classes", ()))

    @property
    def stand_in(self) -> str:
        """What gave the answers where the target's own runtime is not here, in words; empty where that gave them."""
        return str(self.facts.get("stand_in", ""))

    def of_output(self, name: str) -> "Measurements":
        """With what is known of the output `name` alone: of a network of several, with its own task; in a comparison, where all
        outputs were held against each other as numbers, with those."""
        known = {key: self.facts.get(key, {}) for key in BY_OUTPUT.values()}
        only = {key: {name: of[name]} if name in of else {} for key, of in known.items()}
        alone = replace(self, facts=self.facts | only)
        several = self.task
        if isinstance(several, SeveralOutputs) and name in several.widths and self.labels.ndim == 2:
            return alone._of(several.of(name))
        return alone

    def _of(self, one: Output) -> "Measurements":
        std = list(self.facts.get("target_std", ()))[one.labels] if one.task.are_numbers else []
        facts = self.facts | {"task": one.task.name, "classes": list(one.names), "target_std": std}
        arms = {
            name: replace(arm, logits=one.own(arm.logits), parity=_parity_of(arm.parity, one.name))
            for name, arm in self.arms.items()
        }
        return replace(
            self,
            arms=arms,
            labels=one.own_labels(self.labels),
            facts=facts,
            emulated=self.emulated and self.emulated.of(one),
        )

    def save(self, folder: Path) -> None:
        """Writes measurements.json, samples.npz and outputs.npz into `folder`."""
        samples: dict[str, Any] = {
            f"{arm}.{name}": array for arm, data in self.arms.items() for name, array in data.samples.items()
        }
        outputs: dict[str, Any] = {arm: data.logits for arm, data in self.arms.items()}
        np.savez(folder / "samples.npz", **samples)
        beside: dict[str, Any] = {"labels": self.labels} | (
            {} if self.slices is None else {"slices": self.slices}
        )
        scores: dict[str, Any] = {
            f"{arm}.{SCORE}": data.scores for arm, data in self.arms.items() if data.scores is not None
        }
        scores |= {
            f"{arm}.{CHOICES}": data.choices for arm, data in self.arms.items() if data.choices is not None
        }
        np.savez(folder / "outputs.npz", **beside, **outputs, **scores)
        write_json(
            folder / "measurements.json",
            {
                "format": FORMAT_VERSION,
                "target": self.target,
                "runtime": self.runtime,
                "offline_batch": self.offline_batch,
                "arms": {
                    arm: {
                        "file_size_bytes": data.file_size_bytes,
                        "file_sha256": data.file_sha256,
                        "parameter_bytes": data.parameter_bytes,
                        "memory": data.memory,
                        "parity": data.parity,
                    }
                    for arm, data in self.arms.items()
                },
                "student": self.student,
                "deaths": {arm: death._asdict() for arm, death in self.deaths.items()},
                "not_run": self.not_run,
                "facts": self.facts,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "Measurements":
        """What the bench wrote into `folder`. Raises UsageError where it is of another format, RunFolderError
        where it is not what the bench writes."""
        try:
            with shaped(folder, "`edgecomp bench`"):
                return cls._load(folder)
        except FileError as error:
            raise RunFolderError(
                f"{folder} does not hold what was measured ({error}): measure again with `edgecomp bench`"
            ) from error

    @classmethod
    def _load(cls, folder: Path) -> "Measurements":
        content = read_mapping(folder / "measurements.json", "format")
        if content["format"] != FORMAT_VERSION:
            raise UsageError(f"{folder} has measurements of format {content['format']}; this edgecomp reads "
                             f"{FORMAT_VERSION}: measure again with `edgecomp bench`")  # fmt: skip
        samples, outputs = read_npz(folder / "samples.npz"), read_npz(folder / "outputs.npz")
        arms = {
            arm: Arm(
                samples={
                    name.removeprefix(f"{arm}."): samples[name]
                    for name in samples
                    if name.startswith(f"{arm}.")
                },
                logits=outputs[arm],
                memory=facts["memory"],
                file_size_bytes=facts["file_size_bytes"],
                file_sha256=facts["file_sha256"],
                parameter_bytes=facts["parameter_bytes"],
                parity=facts["parity"],
                scores=outputs.get(f"{arm}.{SCORE}"),
                choices=outputs.get(f"{arm}.{CHOICES}"),
            )
            for arm, facts in content["arms"].items()
        }
        labels = outputs["labels"]
        slices = outputs.get("slices")
        return cls(
            target=content["target"],
            runtime=content["runtime"],
            arms=arms,
            labels=labels,
            slices=slices,
            offline_batch=content["offline_batch"],
            student=content["student"],
            deaths={arm: Death(**death) for arm, death in content["deaths"].items()},
            not_run=content["not_run"],
            facts=content["facts"],
        )
