"""What the table is made of: cells, each one run of a recipe with some settings changed."""

import os
from pathlib import Path
from typing import NamedTuple

SEEDS = (0, 1, 2)
# The students were trained in bf16, for CPUs with VNNI and the whole range of weights; benchmarks/portable has the others.
_HERE = Path(__file__).parent
_WIDE = ",".join(os.path.relpath(_HERE / f"wide-{name}.yaml") for name in ("onnxruntime", "openvino"))
WIDE = (f"targets=[{_WIDE}]", "precision=bf16")
RIVALS = "quantize.baselines=[control,ptq-ort,ptq-nncf,ptq-best]"
BEST = "quantize.baselines=[ptq-best]"


class Cell(NamedTuple):
    """`kind` names what varies; `seed` is the student's."""

    kind: str
    seed: int
    recipe: str
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.kind} seed {self.seed}"


def timed(kind: str, seed: int) -> bool:
    """Whether that cell says how fast a model is.

    What is simulated, executed by an emulator or trained on hard labels has no time of its own, and a network's seeds have
    the same one: of these the answers alone are measured.
    """
    return kind in ("int8", "depthwise, int8") and seed == 0


UNTIMED = ("bench.restarts=1", "bench.iterations=8", "bench.offline_batches=1")


def _cells(recipe: str, kinds: dict[str, tuple[str, ...]]) -> tuple[Cell, ...]:
    """All kinds of one seed, then of the next: what a sitting has finished is a table."""
    return tuple(
        Cell(
            kind,
            seed,
            recipe,
            (
                *(() if overrides == NO_VNNI else WIDE),
                *overrides,
                *(() if timed(kind, seed) else UNTIMED),
                f"student.seed={seed}",
            ),
        )
        for seed in SEEDS
        for kind, overrides in kinds.items()
    )


# The scales of fewer levels have further to go: the rate was chosen on the validation split.
FEWER = ("quantize.simulate=true", "quantize.scale_learning_rate=1e-2", BEST)
W4 = ("quantize.weight_bits=4", *FEWER)
W4A4 = ("quantize.weight_bits=4", "quantize.activation_bits=4", *FEWER)
TERNARY = ("quantize.weight_bits=2", *FEWER)
HARD = ("distill.hard_label_weight=1", "quantize.method=none")
NO_VNNI = ("targets=[onnxruntime-avx2]", "precision=bf16")
# Weights of the ordinary range on that CPU, where they saturate: edgecomp has come to refuse that, and the cells stay as they were.
ORDINARY = "no VNNI, the ordinary scheme"
DEPTHWISE = ("student.network=mobilenet", "~student.arguments", RIVALS)

CELLS = {
    "cifar10": _cells(
        "cifar10",
        {
            "int8": (RIVALS,),
            "4-bit weights": W4,
            "4-bit weights and activations": W4A4,
            "ternary weights": TERNARY,
            "no VNNI, its own scheme": NO_VNNI,
            ORDINARY: NO_VNNI,
            "hard labels": HARD,
            "depthwise, int8": DEPTHWISE,
        },
    ),
    "sst2": _cells(
        "sst2",
        {
            "int8": (RIVALS,),
            "4-bit weights": W4,
            "4-bit weights and activations": W4A4,
            "ternary weights": TERNARY,
            "hard labels": HARD,
        },
    ),
}
