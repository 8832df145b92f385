"""Examples from a stated generator: the same for everybody, for tasks that no package brings data of."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgecomp.data.sources.examples import Examples, Source, Wanted, refuse_unused

SEED = 0
CANVASES, CANVAS, DIGITS, FIRST = (
    2000,
    20,
    (1, 2, 3),
    5,
)  # images, pixels on a side, digits on each, and of which digits: 0 to 4
USERS, ITEMS, KINDS = 3000, 120, 8  # KINDS: of taste
LOANS = 6000
SEEN, NEXT = 12, 4  # items that a user took before, and next


def canvases(wanted: Wanted, folder: Path) -> Source:
    """Images uint8 [2000, 1, 20, 20] of one to three of scikit-learn's handwritten digits 0 to 4, each 8×8, somewhere on a noisy canvas, and
    masks of which digit each pixel is: 0 is background, 1 to 5 are the digits 0 to 4.

    wanted: takes no other setting; folder: is not read. A pixel is a digit's where its ink is over a quarter; later ones cover earlier.
    """
    from sklearn.datasets import load_digits

    refuse_unused(wanted, "path", "files", "inputs", "label", "slice", "image_size", "mode")
    bundle, random = load_digits(), np.random.default_rng(SEED)
    side, usable = bundle.images.shape[1], np.flatnonzero(bundle.target < FIRST)
    images = random.integers(0, 64, (CANVASES, CANVAS, CANVAS))
    masks = np.zeros((CANVASES, CANVAS, CANVAS), np.int64)
    for image, mask in zip(images, masks, strict=True):
        for one in random.choice(usable, random.choice(DIGITS)):
            row, column = random.integers(0, CANVAS - side + 1, 2)
            place = np.s_[row : row + side, column : column + side]
            ink = bundle.images[one]
            image[place] = np.maximum(image[place], np.rint(ink * (255 / 16)))
            mask[place][ink > 4] = bundle.target[one] + 1
    names = ("background", *(str(digit) for digit in range(FIRST)))
    found: dict[str, Any] = {"train": masks}
    labels, classes = wanted.meaning.encode(found, names, wanted.source)
    return Source({"train": Examples(images.astype(np.uint8)[:, None], labels["train"])}, classes)


def catalogue(wanted: Wanted, folder: Path) -> Source:
    """What 3000 users took of 120 items, float32 [3000, 120] of 0 and 1, and what they took next, of which the same.

    wanted: takes no other setting; folder: is not read. Planted: items have a popularity and one of eight kinds, users a taste that is a
    mixture of kinds (Dirichlet, 0.3); what is taken is drawn by taste times popularity, nothing twice.
    """
    refuse_unused(wanted, "path", "files", "inputs", "label", "slice", "image_size", "mode")
    random = np.random.default_rng(SEED)
    kind, popularity = random.integers(0, KINDS, ITEMS), random.gamma(1.0, size=ITEMS) + 0.1
    tastes = random.dirichlet(np.full(KINDS, 0.3), USERS)
    likely = tastes[:, kind] * popularity + 0.002
    # Gumbel's trick: the largest of log p + noise are drawn without replacement.
    order = np.argsort(-(np.log(likely) + random.gumbel(size=likely.shape)), axis=1)
    before, after = order[:, :SEEN], order[:, SEEN : SEEN + NEXT]
    names = tuple(f"item {place} of kind {one}" for place, one in enumerate(kind))
    labels, classes = wanted.meaning.encode({"train": _marked(after).tolist()}, names, wanted.source)
    return Source({"train": Examples(_marked(before).astype(np.float32), labels["train"])}, classes, names)


def loans(wanted: Wanted, folder: Path) -> Source:
    """Whether 6000 loans were paid back, float32 [6000, 6] of what an applicant told, and where each lives: `slice` is `north` or `south`.

    wanted: takes no other setting; folder: is not read. Planted: chances of paying back follow income, debts, the years in work and earlier arrears
    alike in both parts of the country; two in five live in the south, where incomes are lower by 0.4 deviations, so that loans are paid back less often there. Nothing is
    learnt from where somebody lives but by what goes with it. Age and the loan's number say nothing.
    """
    refuse_unused(wanted, "path", "files", "inputs", "label", "slice", "image_size", "mode")
    random = np.random.default_rng(SEED)
    south = random.random(LOANS) < 0.4
    income, debts = random.normal(-0.4 * south, 1.0), random.normal(size=LOANS)
    years, arrears = random.gamma(2.0, 1.0, LOANS), random.poisson(0.4, LOANS)
    age, number = random.normal(40, 12, LOANS), random.random(LOANS)
    strain = debts - income + np.maximum(0, debts * -income)
    chance = 1 / (1 + np.exp(-4 * (1.2 - 1.2 * strain + 0.5 * (years - 2) - 1.5 * arrears)))
    paid = (random.random(LOANS) < chance).astype(int)
    rows = np.stack([income, debts, years, arrears, age, number], axis=1).astype(np.float32)
    labels, classes = wanted.meaning.encode({"train": paid.tolist()}, ("lost", "paid back"), wanted.source)
    columns = ("income", "debts", "years in work", "arrears", "age", "number")
    slices = np.where(south, "south", "north")
    return Source({"train": Examples(rows, labels["train"], slices)}, classes, columns)


def _marked(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    found = np.zeros((len(chosen), ITEMS), np.int64)
    np.put_along_axis(found, chosen, 1, axis=1)
    return found
