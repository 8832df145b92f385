"""ONNX Runtime GenAI on CPUs."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime_genai as og

from edgecomp.errors import InferenceError, ModelFileError
from edgecomp.runtimes.base import Array, Model, Options, Runtime, Signature, check_options, reason_of
from edgecomp.runtimes.genai.base import SIGNATURE, TOKEN, Generated, folder_of, prompts

OPTIONS: dict[str, tuple[str | int | float | bool, ...]] = {"spinning": (True, False)}
SPINNING = "session.intra_op.allow_spinning"


class OnnxRuntimeGenAiSession:
    concurrent = False

    def __init__(self, folder: Path, threads: int, options: Options) -> None:
        config = og.Config(str(folder))
        told: dict[str, Any] = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        if "spinning" in options:
            told[SPINNING] = str(int(bool(options["spinning"])))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": told}}}))
        self._model = og.Model(config)

    def signature(self) -> Signature:
        return SIGNATURE

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        return {TOKEN: np.asarray([self.generate(one, 1).tokens for one in prompts(batch)], np.int64)}

    def generate(self, prompt: npt.NDArray[np.int64], count: int) -> Generated:
        begin, cpu_begin = time.perf_counter_ns(), time.process_time_ns()
        try:
            generator = self._generator(len(prompt) + count, least=len(prompt) + count)
            generator.append_tokens(prompt.astype(np.int32))
            tokens, at, cpu = [], [], []
            for _ in range(count):
                generator.generate_next_token()
                tokens.append(int(generator.get_next_tokens()[0]))
                at.append(time.perf_counter_ns() - begin)
                cpu.append(time.process_time_ns() - cpu_begin)
        except (RuntimeError, ValueError, TypeError) as error:
            raise InferenceError(f"ONNX Runtime GenAI: {reason_of(error)}") from error
        return Generated(tokens, at, cpu)

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        try:
            generator = self._generator(len(tokens) + 1)
            generator.append_tokens(tokens.astype(np.int32))
            found = np.asarray(generator.get_output("logits"), np.float32)
        except (RuntimeError, ValueError, TypeError) as error:
            raise InferenceError(f"ONNX Runtime GenAI: {reason_of(error)}") from error
        return found.reshape(len(tokens), -1)

    def _generator(self, most: int, least: int = 0) -> Any:
        asked = og.GeneratorParams(self._model)
        asked.set_search_options(max_length=most, min_length=least, do_sample=False)
        return og.Generator(self._model, asked)

    def close(self) -> None:
        del self._model


class OnnxRuntimeGenAi:
    name = "onnxruntime-genai"

    def load(
        self, model: Model, *, threads: int, device: str = "cpu", options: Options
    ) -> OnnxRuntimeGenAiSession:
        check_options("onnxruntime-genai", options, OPTIONS)
        assert isinstance(model, Path)  # by its row it takes no other
        folder = folder_of(model, "genai_config.json")
        try:
            return OnnxRuntimeGenAiSession(folder, threads, options)
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(
                f"{folder}: ONNX Runtime GenAI cannot load it: {reason_of(error)}"
            ) from error

    def versions(self) -> dict[str, str]:
        return {"onnxruntime-genai": str(og.__version__)}


RUNTIME: Runtime = OnnxRuntimeGenAi()
