"""What a recipe says of its data."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgecomp.config.parts.augment import Augment, Synthesis
from edgecomp.config.parts.cleaning import Clean
from edgecomp.config.schema import Part


class Data(Part):
    """Where examples come from, and how they are split.

    `path`, `files`, `inputs` and `label` say where in a source of files (edgecomp.data.sources) they are. A split that the
    source does not have is carved out of its training examples, in fractions of them. Images vary: `views` shifted and
    mirrored copies of every training image share one set of soft labels, and so do those of all that `augment` varies. Texts need the tokenizer that the teacher has.
    """

    # where examples come from, a row of edgecomp.data.sources.TABLE
    source: Literal[
        "digits",
        "iris",
        "wine",
        "breast_cancer",
        "diabetes",
        "canvases",
        "catalogue",
        "loans",
        "huggingface",
        "images",
        "numpy",
    ]
    # a file, a folder, or a data set's name on the hub; beside the recipe, in $EDGECOMP_DATA or here
    path: str | None = None
    files: dict[str, str] = {}  # split → file name, where the names do not say which split they are
    inputs: str | list[str] | None = None  # a list: columns of numbers
    label: str | list[str] | None = (
        None  # the column, or the array, of labels; columns of a task with several labels an example
    )
    slice: str | None = (
        None  # a column that says which part of the data an example is of: judged apart, and never learnt from
    )
    # pixels; images are resized to it, bilinear; without it they must all be of one size
    image_size: int | None = Field(None, ge=8, le=1024)
    mode: Literal["L", "RGB"] | None = None  # L: grey, RGB: colour; without it as they are, and all alike
    # of texts: `package:PACKAGE/FOLDER`, a folder, or a name on the hub; the teacher's own
    tokenizer: str | None = None
    max_length: int = Field(128, ge=4, le=8192)  # of texts, in tokens; what is longer is cut
    # of texts: the student reads the first so many bytes, in place of tokens; without a tokenizer the teacher does as well
    max_bytes: int | None = Field(None, ge=8, le=8192)
    # of the training examples, where the source has no test split
    test_fraction: float = Field(0.25, gt=0, lt=1)
    validation_fraction: float = Field(0.15, gt=0, lt=1)  # likewise; everything is chosen on this split
    # of the training examples; nothing is trained on them
    calibration_fraction: float = Field(0.05, gt=0, lt=1)
    # what a network takes, by name, as it is: `float32[3, 32, 32]`, `int64[?]`, in place of `inputs`; arrays of an .npz, or columns
    tensors: dict[str, str] = {}
    # by channel or feature, or one for all: (x - mean) / std, of pixels from 0 to 1; those of the training split where they are not given
    mean: list[float] | None = Field(None, min_length=1)
    std: list[float] | None = Field(None, min_length=1)  # likewise
    limit: int | None = Field(None, ge=20)  # of training examples, and half as many of the others
    shift: int = Field(0, ge=0, le=16)  # pixels that a training image is shifted by, at most
    flip: bool = False  # whether training images are mirrored as well
    # of its different training examples: a class of fewer is left out, which is noted; without it that is refused
    fewest: int | None = Field(None, ge=10)
    augment: Augment | None = None  # how else training examples vary
    synthesis: Synthesis | None = None  # examples that a teacher writes
    views: int = Field(8, ge=1, le=256)  # copies of each training example that share one set of soft labels
    clean: Clean | None = None  # what is left out and replaced before the data are split

    @model_serializer(mode="wrap")
    def _as_before_there_were_slices(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later where it says nothing, so that digests of recipes stay what they were."""
        found: dict[str, Any] = dump(self)
        later: dict[str, Any] = {
            "slice": None,
            "tensors": {},
            "mean": None,
            "std": None,
            "fewest": None,
            "max_bytes": None,
            "clean": None,
            "augment": None,
            "synthesis": None,
        }
        return {k: v for k, v in found.items() if k not in later or v != later[k]}

    @model_validator(mode="after")
    def _they_go_together(self) -> "Data":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both, or neither")
        if self.std is not None and not all(value > 0 for value in self.std):
            raise ValueError(f"std: {self.std} divides, and must be more than 0")
        if self.tensors and self.inputs is not None:
            raise ValueError("tensors names the network's inputs: leave out inputs")
        return self

    @property
    def varies(self) -> bool:
        """Whether one view of a training example differs from another."""
        return bool(self.shift or self.flip or self.augment)

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "Data":
        if self.test_fraction + self.validation_fraction + self.calibration_fraction >= 0.9:
            raise ValueError(
                "test_fraction + validation_fraction + calibration_fraction leave less than a tenth for training"
            )
        return self
