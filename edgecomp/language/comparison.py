"""An exported folder held against the student that it was made of, by what both say of texts that are given (teacher forcing)."""

from typing import Any

import numpy as np
import numpy.typing as npt

LEAST = 1e-12  # of a signal's or a noise's power


def compared(said: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> dict[str, Any]:
    """What parity.json tells of an arm: `agreeing` of `examples` places have the same likeliest token; the mean KL divergence `kl_nats` of the student, `wanted`, from
    the folder, `said`, both logits [places, vocabulary]; their SQNR; and how many different tokens are likeliest, and how often the commonest is."""
    ours, theirs = (_log_softmax(one.astype(np.float64)) for one in (wanted, said))
    likeliest = wanted.argmax(axis=1)
    counts = np.unique(likeliest, return_counts=True)[1]
    noise = float(np.square(said.astype(np.float64) - wanted).mean())
    signal = float(np.square(wanted.astype(np.float64) - wanted.mean()).mean())
    told = {
        "agreeing": int((said.argmax(axis=1) == likeliest).sum()),
        "mean_absolute_error": float(np.abs(said - wanted).mean()),
        "sqnr_db": float(10 * np.log10(max(signal, LEAST) / max(noise, LEAST))),
    }
    return told | {
        "examples": len(wanted),
        "by_shape": {"tokens of texts that are given": told},
        "kl_nats": float((np.exp(ours) * (ours - theirs)).sum(axis=1).mean()),
        "logit_deviation": float(wanted.std()),
        "classes": int(wanted.shape[1]),
        "classes_predicted": len(counts),
        "prevailing": float(counts.max() / len(likeliest)),
        "layers": [],
    }


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
