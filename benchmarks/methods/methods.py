"""The methods, by name: each a literal part of a recipe. Weights are those of the authors' code, or one guess that was made before anything
was run; none was tuned. What two methods differ in is all that their cells differ in."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Part = Mapping[str, Any]


class Method(NamedTuple):
    """says: what it is, in words; terms: of the loss; more: of `distill`, beside; student: what a term's `student` is, by data set, where it is not
    what the table says; data: that it can be had on, all where nothing is said."""

    says: str
    terms: tuple[Part, ...]
    more: Part = {}
    data: tuple[str, ...] = ("cifar10", "sst2", "logs")


# Of the last hidden layer, by data set: what the head reads.
LAST = {
    "cifar10": ("pool", "pool"),
    "sst2": ("network.bert.encoder.layer.2", "network.bert.encoder.layer.5"),
    "logs": ("norm", "norm"),
}
TEMPERATURE = {"cifar10": 4, "sst2": 2, "logs": 2}
"""Of soft labels, as the shipped recipes have it; written T in the terms below."""

SOFT: Part = {"loss": "soft-labels", "weight": 0.9, "arguments": {"temperature": "T"}}
HARD: Part = {"loss": "hard-labels", "weight": 0.1}
KD = (SOFT, HARD)
WHOLE: Part = {"loss": "hard-labels", "weight": 1.0}


def hidden(loss: str, weight: float, student: str = "LAST", teacher: str = "LAST", **arguments: Any) -> Part:
    term = {"loss": loss, "weight": weight, "student": student, "teacher": teacher}
    return term | ({"arguments": arguments} if arguments else {})


DIST = ({"loss": "dist", "arguments": {"temperature": "T", "beta": 2, "gamma": 2}}, WHOLE)
ATTENTION = (
    hidden("attention-transfer", 1000, "layers.1", "layers.0"),
    hidden("attention-transfer", 1000, "layers.2", "layers.1"),
)
SGD: Part = {"loop": {"optimizer": "sgd"}, "learning_rate": 0.1}
IMAGES = ("cifar10",)
PLAIN = "kd"
METHODS: dict[str, Method] = {
    "hard-labels": Method("no teacher: cross-entropy with the labels alone", (WHOLE,)),
    PLAIN: Method("plain KD: soft labels 0.9, hard labels 0.1 (Hinton et al. 2015)", KD),
    "dkd": Method(
        "decoupled KD, α 1, β 8 (Zhao et al. 2022)",
        ({"loss": "dkd", "arguments": {"temperature": "T", "alpha": 1, "beta": 8}}, WHOLE),
    ),
    "dist": Method("DIST, β = γ = 2 (Huang et al. 2022)", DIST),
    "logits-mse": Method("squared differences of logits (Ba & Caruana 2014)", ({"loss": "logits-mse"}, HARD)),
    "wsld": Method("WSLD, weight 2.5, T 2 (Zhou et al. 2021)", ({"loss": "wsld", "weight": 2.5}, WHOLE)),
    "standardised": Method(
        "soft labels with a temperature by example, weight 9, T 2 (Sun et al. 2024)",
        ({"loss": "standardised-soft-labels", "weight": 9, "arguments": {"temperature": 2}}, HARD),
    ),
    "schedules": Method(
        "temperature 5 → 1, soft 0.7 → 0.3, hard 0.3 → 0.7",
        (
            {
                "loss": "soft-labels",
                "weight": {"start": 0.7, "end": 0.3},
                "arguments": {"temperature": {"start": 5, "end": 1}},
            },
            {"loss": "hard-labels", "weight": {"start": 0.3, "end": 0.7}},
        ),
    ),
    "noise": Method(
        "plain KD, noise of 0.1 on the teacher's numbers of half the examples (Sau & Balasubramanian 2016)",
        (SOFT | {"noise": {"sigma": 0.1, "share": 0.5}}, HARD),
    ),
    "snapshot": Method(
        "plain KD and 0.3 of what the student said an epoch ago (Yang et al. 2019)",
        (
            *KD,
            {
                "loss": "soft-labels",
                "of": "snapshot",
                "every": 1,
                "weight": 0.3,
                "arguments": {"temperature": "T"},
            },
        ),
    ),
    "average": Method(
        "plain KD and 0 → 0.3 of what the average of its weights says (Tarvainen & Valpola 2017)",
        (
            *KD,
            {
                "loss": "soft-labels",
                "of": "average",
                "decay": 0.99,
                "weight": {"start": 0, "end": 0.3},
                "arguments": {"temperature": "T"},
            },
        ),
    ),
    "features-mse": Method(
        "plain KD and the last hidden layer, squared differences (Romero et al. 2015)",
        (*KD, hidden("features-mse", 1)),
    ),
    "features-cosine": Method(
        "plain KD and the last hidden layer's cosines (Sanh et al. 2019)", (*KD, hidden("features-cosine", 1))
    ),
    "contrastive": Method(
        "plain KD and InfoNCE of the last hidden layer, 0.5 (van den Oord et al. 2018)",
        (*KD, hidden("contrastive", 0.5)),
    ),
    "crd": Method(
        "plain KD and CRD, 0.8, a memory of 4,096 (Tian et al. 2020)",
        (*KD, hidden("crd", 0.8, memory=4096)),
        data=IMAGES,  # of texts its width would change with their length
    ),
    "attention-transfer": Method(
        "plain KD and attention maps of two layers, 1,000 (Zagoruyko & Komodakis 2017)",
        (*KD, *ATTENTION),
        data=IMAGES,
    ),
    "relations": Method(
        "plain KD and RKD of the last hidden layer, distances 25, angles 50 (Park et al. 2019)",
        (*KD, hidden("relational-distance", 25), hidden("relational-angle", 50)),
        data=IMAGES,
    ),
    "similarity": Method(
        "plain KD and similarities of the last block, 3,000 (Tung & Mori 2019)",
        (*KD, hidden("similarity", 3000, "layers.2", "layers.2")),
        data=IMAGES,
    ),
    "exits": Method(
        "plain KD and two early exits, 0.3 each (Zhang et al. 2019)",
        KD,
        {"exits": {"layers": ["layers.0", "layers.1"], "weight": 0.3}},
        data=IMAGES,
    ),
    "stages": Method(
        "the last hidden layer first, for a sixth of the epochs, then plain KD",
        (hidden("features-mse", 1), *KD),
        {"stages": [{"share": 1 / 6, "terms": [0], "frozen": ["head"]}, {"share": 5 / 6, "terms": [1, 2]}]},
        data=("cifar10", "logs"),
    ),
    "token-relations": Method(
        "plain KD and relations of the last layer's values (MiniLMv2, Wang et al. 2021)",
        (*KD, hidden("token-relations", 1, "LAST_VALUE", "LAST_VALUE", heads=4)),
        data=("sst2", "logs"),
    ),
    "balance": Method(
        "plain KD, examples weighed by the effective number of their class, β 0.99 (Cui et al. 2019)",
        KD,
        {"balance": {"by": "effective-number", "beta": 0.99}},
        data=("logs",),
    ),
    "sgd": Method(
        "plain KD by SGD with Nesterov's momentum, rate 0.1",
        KD,
        SGD,
        data=IMAGES,
    ),
    "nadam": Method("plain KD by NAdam", KD, {"loop": {"optimizer": "nadam"}}, data=IMAGES),
    "radam": Method("plain KD by RAdam", KD, {"loop": {"optimizer": "radam"}}, data=IMAGES),
    "muon": Method("plain KD by Muon", KD, {"loop": {"optimizer": "muon"}}),
    "dist+attention-transfer": Method(
        "DIST and attention maps of two layers, 1,000: the best two of the screen",
        (*DIST, *ATTENTION),
        data=IMAGES,
    ),
    "dist+sgd": Method("DIST by SGD with Nesterov's momentum, rate 0.1", DIST, SGD, data=IMAGES),
    "cosine": Method(
        "plain KD, the rate a cosine without warm-up", KD, {"loop": {"schedule": "cosine"}}, data=IMAGES
    ),
}

LAST_VALUE = {
    "sst2": (
        "network.bert.encoder.layer.2.attention.self.value",
        "network.bert.encoder.layer.5.attention.self.value",
    ),
    "logs": ("layers.0.value", "layers.2.value"),
}


class Budget(NamedTuple):
    """epochs: of fp32 distillation; settings: of the recipe, beside."""

    epochs: int
    settings: tuple[str, ...] = ()


BUDGETS: dict[str, dict[str, Budget]] = {
    "screen": {
        "cifar10": Budget(6, ("data.limit=10000", "data.views=6", "distill.batch_size=128")),
        "logs": Budget(2),  # after six epochs nearly all methods give the same answers
    },
    "seeds": {"cifar10": Budget(8), "sst2": Budget(2), "logs": Budget(6)},
}
"""By stage and data set. The test split is read of the students of `seeds`."""


def overrides(method: str, data: str, stage: str) -> list[str]:
    """What a recipe's command line says for a cell. Raises ValueError where that method cannot be had on those data."""
    one, budget = METHODS[method], BUDGETS[stage][data]
    if data not in one.data:
        raise ValueError(f"{method} is not of {data}")
    said = {"terms": [_placed(term, data) for term in one.terms]} | dict(one.more)
    if "stages" in said:
        said["stages"] = _stages(said["stages"], budget.epochs)
    return [
        f"distill.epochs={budget.epochs}",
        *budget.settings,
        *(f"distill.{key}={flow(value)}" for key, value in said.items()),
    ]


def _placed(term: Part, data: str) -> Part:
    """A term with the names and numbers of a data set."""
    found = dict(term)
    for place, key in enumerate(("student", "teacher")):
        for word, names in (("LAST", LAST), ("LAST_VALUE", LAST_VALUE)):
            if found.get(key) == word:
                found[key] = names[data][place]
    if found.get("arguments", {}).get("temperature") == "T":
        found["arguments"] = found["arguments"] | {"temperature": TEMPERATURE[data]}
    return found


def _stages(stages: list[dict[str, Any]], epochs: int) -> list[dict[str, Any]]:
    """Two of them, in whole epochs."""
    first = max(1, round(stages[0]["share"] * epochs))
    lengths = (first, epochs - first)
    return [
        {"epochs": length} | {key: value for key, value in stage.items() if key != "share"}
        for length, stage in zip(lengths, stages, strict=True)
    ]


def flow(value: Any) -> str:
    """As Hydra's grammar has it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(flow, value)) + "]"
    return str(value)
