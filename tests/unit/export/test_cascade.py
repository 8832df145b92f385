"""Two classifiers in one file: what it answers, in both runtimes, in batches of any size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgecomp import runtimes
from edgecomp.export.onnx.cascade import join
from edgecomp.export.onnx.qdq import export_onnx
from edgecomp.export.openvino import ir
from edgecomp.quantization.calibration import calibrate
from edgecomp.quantization.capture import capture
from edgecomp.quantization.folding import fold
from edgecomp.quantization.placement import place

ROWS = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))


def network(seed: int, classes: int, width: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(6, width), torch.nn.ReLU(), torch.nn.Linear(width, classes)
    ).eval()


def files(folder: Path, classes: int) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """An int8 one and a larger one in float, and what each answers."""
    small, large = network(0, classes, 4), network(1, classes, 32)
    quantised = place(capture(small, [ROWS[:2]], [{0: "batch"}]), "cpu-u8-narrow")
    calibrate(quantised, [{"input": ROWS.numpy()}])
    answers = [one(ROWS).detach().numpy() for one in (quantised.eval(), large)]
    export_onnx(fold(quantised), [ROWS[:2]], folder / "first.onnx")
    export_onnx(capture(large, [ROWS[:2]], [{0: "batch"}]), [ROWS[:2]], folder / "then.onnx")
    return folder / "first.onnx", folder / "then.onnx", *answers


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_second_answers_what_the_first_is_unsure_of(classes: int, share: float, tmp_path: Path) -> None:
    first, then, kept, asked = files(tmp_path, classes)
    ordered = np.sort(kept, axis=1)
    margins = np.abs(kept[:, 0]) if classes == 1 else ordered[:, -1] - ordered[:, -2]
    ranked = np.sort(margins)
    place_of = int(share * len(ranked))
    threshold = (
        -1.0 if share == 0 else 1e9 if share == 1 else float(ranked[place_of - 1 : place_of + 1].mean())
    )
    wanted = np.where((margins < threshold)[:, None], asked, kept)
    model = tmp_path / "model.onnx"
    join(first, then, threshold, model)
    (tmp_path / "ir").mkdir()
    ir.convert(model, tmp_path / "ir")
    for name, file in (("onnxruntime-cpu", model), ("openvino-cpu", tmp_path / "ir" / "model.xml")):
        session = runtimes.adapter(name).load(file, threads=1, options={})
        assert [port.shape for port in session.signature().outputs] == [(None, classes)]
        for size in (1, 50, 200):
            answers = [
                next(iter(session.run({"input": ROWS[at : at + size].numpy()}).values())).copy()
                for at in range(0, 200, size)
            ]
            wrong = np.abs(np.concatenate(answers) - wanted).max(axis=1) > 0.02 * wanted.std()
            assert wrong.sum() <= 2, (name, size)  # whose margin integers round to the other side
        session.close()
