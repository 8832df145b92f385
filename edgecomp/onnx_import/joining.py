"""What an exporter took apart, put together again, by onnxscript's rules: an activation that is one operator to a runtime is fused into the layer before
it and rounded once; in parts it is several passes over memory, each rounded by itself."""

import math
from collections.abc import Collection
from typing import Any, ClassVar

import onnx_ir as ir
from onnxscript import optimizer, rewriter
from onnxscript.rewriter import MatchResult, RewriteRuleClassBase, RewriteRuleSet
from onnxscript.rewriter._ir_utils import is_singleton_value
from onnxscript.rewriter.rules import common


class _Biased(RewriteRuleClassBase):  # type: ignore[misc]  # it has no types
    """A convolution without a bias, and a constant for each of its channels that is added: its bias."""

    kind: ClassVar[str] = "Conv"

    def pattern(self, op: Any, x: ir.Value, weight: ir.Value, bias: ir.Value) -> Any:
        made = getattr(op, self.kind)(x, weight, _allow_other_attributes=True, _outputs=["made"])
        return made + bias

    def check(
        self, context: Any, x: ir.Value, weight: ir.Value, bias: ir.Value, made: ir.Value
    ) -> MatchResult:
        node = made.producer()
        assert node is not None
        if weight.const_value is None or bias.const_value is None:
            return MatchResult().fail("weight and bias have to be constants")
        known, shape = weight.const_value.numpy().shape, bias.const_value.numpy().shape
        rank, groups = len(known), node.attributes.get_int("group", 1)
        channels = known[0] if self.kind == "Conv" else known[1] * groups
        if len(shape) > rank or (1,) * (rank - len(shape)) + shape != (1, channels, *(1,) * (rank - 2)):
            return MatchResult().fail("the bias has to be a number for each channel")
        return MatchResult()

    def rewrite(self, op: Any, x: ir.Value, weight: ir.Value, bias: ir.Value, made: ir.Value) -> ir.Value:
        node = made.producer()
        assert node is not None
        assert bias.const_value is not None
        own = op.initializer(ir.tensor(bias.const_value.numpy().reshape(-1)), f"{bias.name}{OFFSET}")
        found: ir.Value = getattr(op, self.kind)(x, weight, own, **node.attributes)
        return found


class _BiasedTransposed(_Biased):
    """The same of a transposed convolution."""

    kind: ClassVar[str] = "ConvTranspose"


class _ErfGelu(RewriteRuleClassBase):  # type: ignore[misc]  # it has no types
    """A GELU by the error function: x · (1 + erf(x / √2)) / 2, halved at last (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

    def pattern(self, op: Any, x: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> Any:
        return x * (op.Erf(x / root) + one) * half

    def check(self, context: Any, x: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> MatchResult:
        known = ((root, math.sqrt(2)), (one, 1.0), (half, 0.5))
        if all(is_singleton_value(value, number, rtol=1e-4) for value, number in known):
            return MatchResult()
        return MatchResult().fail("other numbers make another function")

    def rewrite(self, op: Any, x: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> Any:
        return op.Gelu(x)


class _ErfGeluHalved(_ErfGelu):
    """The same, the sum halved first."""

    def pattern(self, op: Any, x: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> Any:
        return x * ((op.Erf(x / root) + one) * half)


class _ErfGeluOfHalf(_ErfGelu):
    """The same, x halved first."""

    def pattern(self, op: Any, x: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> Any:
        return (x * half) * (op.Erf(x / root) + one)


OFFSET = "_offset"
RULES = [
    *common.fuse_hardswish_rules(),  # of files older than opset 14, which had no such operator
    *RewriteRuleSet(
        [_ErfGelu.rule(), _ErfGeluHalved.rule(), _ErfGeluOfHalf.rule()], commute=True
    ),  # before opset 20
    *RewriteRuleSet([_Biased.rule(), _BiasedTransposed.rule()], commute=True),
    # A number that a convolution's channels are all multiplied by, and one that is added (PP-LCNet's learnable affine block): its weights.
    *RewriteRuleSet([common.conv_affine_fusion_rule, common.affine_conv_fusion_rule], commute=True),
]
SUFFIXES = ("_scaled", OFFSET)  # of the weights that the rules make


def join(model: ir.Model, kept: Collection[str]) -> None:
    """Joins what `RULES` say in `model`, in place. kept: names of values that stay what they are, for somebody asks for them."""
    outputs = model.graph.outputs
    known = {value.name for value in outputs}
    asked = [
        value
        for node in model.graph
        for value in node.outputs
        if value.name in kept and value.name not in known
    ]
    outputs.extend(asked)  # which no rule swallows
    rewriter.rewrite(model, RULES)
    for value in asked:
        outputs.remove(value)
    optimizer.remove_unused_nodes(model)
    _named_as_before(model)


def _named_as_before(model: ir.Model) -> None:
    """Weights keep the names that the file gave them, by which layers are called, where those they replace are gone."""
    for value in list(model.graph.initializers.values()):
        name = before = str(value.name)
        while before.endswith(SUFFIXES):
            before = before.removesuffix(SUFFIXES[0]).removesuffix(SUFFIXES[1])
        if before != name and before not in model.graph.initializers:
            model.graph.initializers.pop(name)
            value.name = before
            model.graph.initializers[before] = value
