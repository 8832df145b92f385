"""What a recipe says of measuring."""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edgecomp.config.schema import Part


class Bench(Part):
    """How much is measured. Restarts of the worker process are the statistical unit.

    Of a target that is not gated the teacher alone is measured, with `ungated_restarts`.
    """

    restarts: int = Field(5, ge=1, le=1000)  # processes, one after another
    ungated_restarts: int = Field(2, ge=1, le=1000)  # of ungated targets
    warmup: int = Field(20, ge=1)  # inferences that are not counted
    iterations: int = Field(480, ge=8)  # inferences of one example, each timed
    offline_batch: int = Field(32, ge=1)  # examples at once
    offline_batches: int = Field(16, ge=1)  # so many are timed
    stream: bool = False  # of texts: lines a second, from text to class
    timeout_s: float = Field(120.0, gt=0)  # after which a worker that says nothing is ended
    emulated_examples: int = Field(5000, ge=1)  # or the whole split, where it is smaller
    portable_examples: int = Field(
        250, ge=1
    )  # of the training split, asked as other CPUs where qemu-user plays them
    emulation_timeout_s: float = Field(1800.0, gt=0)  # likewise, of an emulated CPU

    @model_serializer(mode="wrap")
    def _as_before_there_were_streams(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `stream` where there is none, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        return {name: value for name, value in found.items() if name != "stream" or value}
