"""OpenVINO GenAI on CPUs.

Its pipeline generates; it hands out no logits, which OpenVINO itself gives of the same file, compiled with the same settings, when they are asked for.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino_genai as og

from edgecomp.errors import InferenceError, ModelFileError
from edgecomp.runtimes.base import Array, Model, Options, Runtime, Signature, check_options, reason_of
from edgecomp.runtimes.genai.base import SIGNATURE, TOKEN, Generated, folder_of, prompts

OPTIONS: dict[str, tuple[str | int | float | bool, ...]] = {
    "inference_precision": ("f32", "bf16", "f16"),
    "dynamic_group": (0, 32, 64, 128),  # of inputs that are rounded to 8 bits together; 0: they stay in float
    "kv_cache": ("f32", "f16", "bf16", "u8"),  # what keys and values are kept in
}
IN_FLOAT: Options = {"inference_precision": "f32", "dynamic_group": 0, "kv_cache": "f32"}
"""What holds where a target says nothing: weights alone are in integers."""


class OpenVinoGenAiSession:
    concurrent = False

    def __init__(self, folder: Path, threads: int, options: Options) -> None:
        told = {**IN_FLOAT, **options}
        self._properties: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": told["inference_precision"],
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": told["dynamic_group"],
            "KV_CACHE_PRECISION": told["kv_cache"],
            "NUM_STREAMS": 1,
        }
        self._folder = folder
        self._pipeline = og.LLMPipeline(str(folder), "CPU", ATTENTION_BACKEND="SDPA", **self._properties)
        self._forced: Any = None

    def signature(self) -> Signature:
        return SIGNATURE

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {TOKEN: np.asarray([self.generate(one, 1).tokens for one in prompts(batch)], np.int64)}

    def generate(self, prompt: npt.NDArray[np.int64], count: int) -> Generated:
        settings = og.GenerationConfig()
        settings.max_new_tokens, settings.ignore_eos, settings.do_sample = count, True, False
        tokens: list[int] = []
        at: list[int] = []
        cpu: list[int] = []

        def came(ids: Any) -> Any:
            now, spent = time.perf_counter_ns() - begin, time.process_time_ns() - cpu_begin
            for one in np.atleast_1d(np.asarray(ids)).tolist():
                tokens.append(int(one))
                at.append(now)
                cpu.append(spent)
            return og.StreamingStatus.RUNNING

        asked = og.TokenizedInputs(ov.Tensor(prompt[None]), ov.Tensor(np.ones((1, len(prompt)), np.int64)))
        begin, cpu_begin = time.perf_counter_ns(), time.process_time_ns()
        try:
            self._pipeline.generate(asked, settings, Told(came))
        except RuntimeError as error:
            raise InferenceError(f"OpenVINO GenAI: {reason_of(error)}") from error
        return Generated(tokens, at, cpu)

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        try:
            if self._forced is None:
                model = ov.Core().compile_model(
                    str(self._folder / "openvino_model.xml"), "CPU", self._properties
                )
                self._forced = model.create_infer_request()
            self._forced.reset_state()
            places = np.arange(len(tokens), dtype=np.int64)[None]
            given = {
                "input_ids": tokens[None],
                "attention_mask": np.ones_like(places),
                "position_ids": places,
                "beam_idx": np.zeros(1, np.int32),
            }
            self._forced.infer(given)
            found = np.array(self._forced.get_tensor("logits").data, np.float32)
        except RuntimeError as error:
            raise InferenceError(f"OpenVINO GenAI: {reason_of(error)}") from error
        return found.reshape(len(tokens), -1)

    def close(self) -> None:
        del self._pipeline, self._forced


class Told(og.StreamerBase):  # type: ignore[misc]  # it has no types
    """A streamer that hands on tokens as they come. came: takes one, or several."""

    def __init__(self, came: Any) -> None:
        super().__init__()
        self._came = came

    def write(self, token: Any) -> Any:
        """Whether it goes on. token: one, or a list of them."""
        return self._came(token)

    def end(self) -> None:
        """Nothing is left."""


class OpenVinoGenAi:
    name = "openvino-genai"

    def load(
        self, model: Model, *, threads: int, device: str = "cpu", options: Options
    ) -> OpenVinoGenAiSession:
        check_options("openvino-genai", options, OPTIONS)
        assert isinstance(model, Path)  # by its row it takes no other
        folder = folder_of(model, "openvino_model.bin", "openvino_tokenizer.xml", "openvino_detokenizer.xml")
        try:
            return OpenVinoGenAiSession(folder, threads, options)
        except RuntimeError as error:
            raise ModelFileError(f"{folder}: OpenVINO GenAI cannot load it: {reason_of(error)}") from error

    def versions(self) -> dict[str, str]:
        return {"openvino": ov.__version__, "openvino-genai": og.__version__}


RUNTIME: Runtime = OpenVinoGenAi()
