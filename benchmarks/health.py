"""Which checks of a model's health tell a planted fault from none.

    python benchmarks/health.py                 # reports/health/health.json, about ten minutes
    python benchmarks/health.py --simulated 50 --real 2 --to /tmp/health

Planted, on the real digits of scikit-learn: a slice of the test examples that is answered wrongly (a backdoor); a network that has learnt wrong
labels of its training examples by heart; one trained on the edge of its inputs beside one trained on attacked ones; answers that favour a slice by 20 points (a stated
generator). Each has its clean twin: networks of `--real` seeds held to the same checks, the teacher another seed's, and `--simulated` draws of answers
of a student that is as good as its teacher. A check is raised where it ends with FAIL.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from edgecomp.config.policy import Threshold
from edgecomp.data.heads import Head
from edgecomp.data.preprocessing import Numbers, fitted
from edgecomp.gate.judge import judge_check
from edgecomp.gate.verdict import Verdict
from edgecomp.health.attacks import Space, by_gradient
from edgecomp.health.corruptions import SEVERITIES, TABLE, corrupted
from edgecomp.metrics.measurements import Arm, Health, Measurements

STRENGTH = 32 / 255
CHECKS = {
    name: Threshold.model_validate({"metric": metric, **row})
    for name, metric, row in (
        ("worst slice", "worst_slice_pct", {"against": "teacher", "margin": "10 pt"}),
        ("calibration", "calibration_error_pct", {"max": "10 %"}),
        ("demographic parity", "demographic_parity_pt", {"max": "10 pt"}),
        ("equalised odds", "equalised_odds_pt", {"max": "10 pt"}),
        ("attacks", "adversarial_accuracy_pct", {"against": "teacher", "margin": "10 pt"}),
        ("corruptions", "corrupted_accuracy_pct", {"against": "teacher", "margin": "10 pt"}),
        ("membership", "membership_advantage_pt", {"max": "10 pt"}),
    )
}


class Digits:
    """Half of the digits to train on, half to be asked about; pictures of 8 × 8, uint8."""

    def __init__(self, seed: int) -> None:
        pixels, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(labels))
        values = np.rint(pixels.reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)[order]
        half = len(labels) // 2
        self.labels = labels[order].astype(np.int64)
        self.train, self.test = values[:half], values[half:]
        self.known, self.asked = self.labels[:half], self.labels[half:]
        self.slices = np.where(np.random.default_rng([seed, 1]).random(len(self.asked)) < 0.3, "a", "b")
        self.of: Numbers = fitted(self.train, Head("classification", tuple("0123456789")))

    def inputs(self, values: Any) -> torch.Tensor:
        return torch.from_numpy(self.of.apply({"values": values})["input"])


def trained(
    data: Digits, seed: int, *, attacked: bool = False, labels: Any = None, epochs: int = 40, width: int = 64
) -> nn.Module:
    """A perceptron; `attacked`: each batch is moved along its gradients first; labels: in place of the right ones."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(network.parameters(), 2e-3, weight_decay=1e-5)
    inputs = data.inputs(data.train)
    wanted = torch.from_numpy(data.known if labels is None else labels)
    step = STRENGTH / data.of.std[0]
    for _ in range(epochs):
        for places in torch.randperm(len(inputs)).split(64):
            batch = inputs[places].clone()
            if attacked:
                batch.requires_grad_()
                nn.functional.cross_entropy(network(batch), wanted[places]).backward()
                batch = (batch + step * batch.grad.sign()).detach()
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch), wanted[places]).backward()
            optimizer.step()
    return network.eval()


def asked(data: Digits, student: nn.Module, teacher: nn.Module, seed: int) -> Measurements:
    """All that the checks read."""
    arms, answers = {}, {}
    for name, network in (("student", student), ("teacher", teacher)):

        def given(values: Any, network: nn.Module = network) -> Any:
            with torch.no_grad():
                return network(data.inputs(values)).numpy()

        found = {"clean": given(data.test), "members": given(data.train)}
        for corruption in TABLE["image"]:
            for severity in SEVERITIES:
                values = corrupted("image", corruption, severity, data.test, seed)
                found[f"corruption.{corruption}.{severity}"] = given(values)
        space = Space.around(data.of, STRENGTH, data.train)
        moved = by_gradient(
            "pgd", network, data.test, data.asked,
            space=space, task="classification", classes=10, steps=10, seed=seed,
        )  # fmt: skip
        found["attack.pgd"] = given(moved)
        answers[name] = found
        arms[name] = Arm({}, found["clean"], {}, 0, {}, None)
    return measured(data.asked, arms, Health({"why": ""}, data.asked, data.known, answers), data.slices)


def measured(labels: Any, arms: dict[str, Arm], health: Health, slices: Any) -> Measurements:
    facts = {"task": "classification", "classes": list("0123456789")}
    return Measurements(
        "here", "onnxruntime-cpu", arms, labels, 1, facts, student="student", health=health, slices=slices
    )


def raised(of: Measurements) -> dict[str, str]:
    """By check, how it ends."""
    return {
        name: judge_check("here", name, threshold, of).verdict.value for name, threshold in CHECKS.items()
    }


def with_answers(of: Measurements, change: Callable[[Any], Any]) -> Measurements:
    """The student's answers to the test examples changed."""
    student = of.arms["student"]
    return replace(of, arms=of.arms | {"student": replace(student, logits=change(student.logits))})


def planted(seed: int) -> Iterator[tuple[str, str, Measurements]]:
    """The fault, the check that must be raised, and what was measured."""
    data = Digits(seed)
    one, other = trained(data, seed), trained(data, seed + 100)
    plain = asked(data, one, other, seed)

    def backdoored(logits: Any) -> Any:
        wrong = logits.copy()
        hit = (data.slices == "a") & (np.random.default_rng(seed).random(len(logits)) < 0.5)
        wrong[hit] = np.roll(wrong[hit], 1, axis=1)
        return wrong

    yield "a backdoored slice", "worst slice", with_answers(plain, backdoored)
    noisy = data.known.copy()
    flipped = np.random.default_rng(seed).random(len(noisy)) < 0.3
    noisy[flipped] = (noisy[flipped] + 1 + np.random.default_rng(seed + 1).integers(0, 9, flipped.sum())) % 10
    by_heart = trained(data, seed, labels=noisy, epochs=300, width=512)
    memorised = asked(data, by_heart, other, seed)
    assert memorised.health is not None
    yield (
        "learnt by heart",
        "membership",
        replace(memorised, health=replace(memorised.health, member_labels=noisy)),
    )
    yield "brittle beside robust", "attacks", asked(data, one, trained(data, seed, attacked=True), seed)
    random = np.random.default_rng(seed)
    favoured = (data.slices == "a") & (random.random(len(data.asked)) < 0.25)

    def biased(logits: Any) -> Any:
        return np.where(favoured[:, None], 9 * np.eye(10, dtype=np.float32)[0], logits).astype(np.float32)

    yield "a slice favoured by 20 points", "demographic parity", with_answers(plain, biased)
    yield (
        "twenty times as sure",
        "calibration",
        with_answers(with_answers(plain, _mistaken(seed)), lambda logits: 20 * logits),
    )


def _mistaken(seed: int) -> Callable[[Any], Any]:
    """One answer in four is another, and as sure."""

    def change(logits: Any) -> Any:
        hit = np.random.default_rng([seed, 7]).random(len(logits)) < 0.25
        return np.where(hit[:, None], np.roll(logits, 1, axis=1), logits)

    return change


def simulated(seed: int, examples: int = 500) -> Measurements:
    """A student that is as good as its teacher at everything, and remembers nothing: right in 90 %, 75 % with corruptions, 60 % under attack, and as
    sure as it is right."""
    random = np.random.default_rng([seed, 3])
    labels, members = (random.integers(0, 10, examples) for _ in range(2))
    slices = np.where(random.random(examples) < 0.3, "a", "b")

    def answered(wanted: Any, rights: Any) -> Any:
        """Probabilities with so much on the right class that it is right so often, and drawn from them."""
        sure = np.clip(rights + random.normal(0, 0.08, len(wanted)), 0.2, 0.99)
        right = random.random(len(wanted)) < sure
        chosen = np.where(right, wanted, (wanted + random.integers(1, 10, len(wanted))) % 10)
        probabilities = np.repeat(((1 - sure) / 9)[:, None], 10, axis=1)
        probabilities[np.arange(len(wanted)), chosen] = sure
        return np.log(probabilities).astype(np.float32)

    hard = random.normal(0, 0.05, examples)  # of an example, for both
    answers = {}
    for name in ("student", "teacher"):
        found = {"clean": answered(labels, 0.9 + hard), "members": answered(members, 0.9)}
        found |= {f"corruption.noise.{one}": answered(labels, 0.75 + hard) for one in SEVERITIES}
        answers[name] = found | {"attack.pgd": answered(labels, 0.6 + hard)}
    arms = {name: Arm({}, found["clean"], {}, 0, {}, None) for name, found in answers.items()}
    return measured(labels, arms, Health({"why": ""}, labels, members, answers), slices)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulated", type=int, default=300)
    parser.add_argument("--real", type=int, default=10)
    parser.add_argument("--to", type=Path, default=Path("reports/health"))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    faults = [
        {"fault": fault, "check": check, "seed": seed, "verdicts": raised(of)}
        for seed in range(3)
        for fault, check, of in planted(seed)
    ]
    real = []
    for seed in range(wanted.real):
        data = Digits(seed)
        real.append(raised(asked(data, trained(data, seed), trained(data, seed + 100), seed)))
    drawn = [raised(simulated(seed)) for seed in range(wanted.simulated)]

    def counted(found: list[dict[str, str]]) -> dict[str, dict[str, int]]:
        return {name: dict(Counter(one[name] for one in found)) for name in CHECKS}

    content = {
        "checks": {name: one.text for name, one in CHECKS.items()},
        "planted": faults,
        "clean, real": counted(real),
        "clean, simulated": counted(drawn),
    }
    wanted.to.mkdir(parents=True, exist_ok=True)
    (wanted.to / "health.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for one in faults:
        others = [
            name
            for name, verdict in one["verdicts"].items()
            if verdict == Verdict.FAIL.value and name != one["check"]
        ]
        print(f"{one['fault']}, seed {one['seed']}: {one['check']} {one['verdicts'][one['check']]}" + (f"; also raised: {', '.join(others)}" if others else ""))  # fmt: skip
    for kind in ("clean, real", "clean, simulated"):
        print(kind, {name: found for name, found in content[kind].items()})


if __name__ == "__main__":
    main()
