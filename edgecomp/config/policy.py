"""What may ship: acceptance thresholds, read from targets/policies/*.yaml and a recipe's own."""

import datetime
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from edgecomp.config.schema import FORMAT, Schema, find, parse, shipped
from edgecomp.errors import RecipeError, nearest
from edgecomp.files.yaml_files import read_yaml
from edgecomp.metrics.registry import METRICS, Metric
from edgecomp.metrics.units import EXAMPLES, Quantity, parse_quantity, units_of

LIMITS = ("max", "min", "margin")
DIFFERENCES = ("points", "score")  # dimensions of margins that are differences; the others are relative
Reference = Literal["teacher", "student_fp32", "baseline"]


class Threshold(Schema):
    """One check of a policy: a metric held to a threshold. Exactly one of `max`, `min` and `margin`:

    - `max: 20 ms` / `min: 85 %`: the metric itself, in its own unit (lower is better: max; higher: min);
    - `against: teacher`, `max: 0.2 x` / `min: 3 x`: as a multiple of the reference's value in the same runtime;
    - `against: teacher`, `margin: 3 pt` / `margin: 5 %` / `margin: 0.01 score`: at most that much worse than the reference, in
      percentage points, relative to it, or in the unit of a score of your own.

    `baseline` is what `edgecomp compare` holds a candidate against; such a check has a confidence of 0.99 unless it names another. A
    check of severity `warn` is judged and shown, and does not decide. A gain of more than `implausible` over the reference is
    no PASS: it is looked into (`5 pt`, or `10 x` as good).
    """

    metric: str  # its id; without one, the name of the check
    against: Reference | None = None  # what it is compared with
    max: str | None = None  # at most, with its unit
    min: str | None = None  # at least, with its unit
    margin: str | None = None  # at most so much worse than what it is compared with
    confidence: float = Field(0.95, ge=0.5, le=0.999)  # of each bound; 0.99 against a baseline
    severity: Literal["block", "warn"] = "block"  # warn: judged and shown, and does not decide
    output: str | None = None  # of several outputs this one; of each of the others a check is made
    implausible: str | None = None  # a gain beyond which it is no PASS: `5 pt`, or `10 x`

    @model_serializer(mode="wrap")
    def _as_before_outputs_had_names(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `output` where there is none, so that digests of policies stay what they were."""
        found: dict[str, Any] = dump(self)
        return found if self.output is not None else {k: v for k, v in found.items() if k != "output"}

    @model_validator(mode="before")
    @classmethod
    def _has_a_confidence(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("against") == "baseline":
            return {"confidence": 0.99} | content
        return content

    @field_validator(*LIMITS, "implausible", mode="before")
    @classmethod
    def _has_a_unit(cls, value: object) -> object:
        if value is not None:
            parse_quantity(value)
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> "Threshold":
        metric = METRICS.get(self.metric)
        if metric is None:
            hint = nearest(self.metric, METRICS) or f"; metrics are {', '.join(METRICS)}"
            raise ValueError(f"no such metric: {self.metric!r}{hint}")
        if self.output is not None and not metric.is_of_an_output:
            own = [name for name, one in METRICS.items() if one.is_of_an_output]
            raise ValueError(f"output: {metric.id} is not of an output; {', '.join(own)} are")
        self._check_implausible()
        given = [name for name in LIMITS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of max, min and margin; has {', '.join(given) or 'none'}")
        kind, limit = given[0], self.limit
        if kind == "margin":
            if self.against is None:
                raise ValueError("a margin is against something: add `against: teacher` (or student_fp32)")
            if metric.dimension == "score" and (limit.dimension != "score" or limit.value < 0):
                raise ValueError(f"margin {limit.text!r}: scores are held against each other by their difference, in a unit of their own; "
                                 "write for example '0.01 score'")  # fmt: skip
            if metric.dimension != "score" and limit.dimension not in ("points", "percent"):
                raise ValueError(f"margin {limit.text!r}: write points ('3 pt') or a relative '5 %'")
            if limit.dimension == "points" and metric.dimension != "percent":
                raise ValueError(
                    f"margin {limit.text!r}: points need a metric in per cent, {metric.id} is not"
                )
            if limit.dimension != "score" and limit.value >= 100 and metric.better == "higher":
                raise ValueError(f"margin {limit.text!r} allows anything: write less than 100")
            return self
        if self.against is not None and metric.dimension == "score":
            raise ValueError(f"nothing is a multiple of a score, whose zero is anywhere: write margin: '0.01 score' instead of "
                             f"{limit.text!r}")  # fmt: skip
        if self.against is not None and limit.value == 0:
            raise ValueError(f"{limit.text!r}: nothing is 0 times its reference")
        expected = "max" if metric.better == "lower" else "min"
        if kind != expected:
            raise ValueError(
                f"{metric.id} is better when {metric.better}: limit it with {expected}, not {kind}"
            )
        wanted = "multiple" if self.against else metric.dimension
        if limit.dimension != wanted:
            raise ValueError(f"wrong unit: {metric.id} {'against a reference ' if self.against else ''}is in {', '.join(units_of(wanted))}, and "
                             f"{limit.text!r} is of {limit.dimension}; write for example {EXAMPLES[wanted]}")  # fmt: skip
        if metric.dimension == "percent" and not self.against and limit.value > 100:
            raise ValueError(f"{limit.text!r}: {metric.id} cannot be over 100 %")
        return self

    def _check_implausible(self) -> None:
        if self.implausible is None:
            return
        gain = parse_quantity(self.implausible)
        own = parse_quantity(self.margin).dimension if self.margin else ""
        wanted = own if own in DIFFERENCES else "multiple"
        if self.against is None or gain.dimension != wanted or (wanted == "multiple" and gain.value <= 1):
            raise ValueError(f"implausible {gain.text!r}: write how much better than its reference a check cannot be, in points "
                             "('5 pt') where its margin is in points, else as a multiple over 1 ('10 x')")  # fmt: skip

    @property
    def kind(self) -> Literal["max", "min", "margin"]:
        return "max" if self.max is not None else "min" if self.min is not None else "margin"

    @property
    def limit(self) -> Quantity:
        return parse_quantity(self.max or self.min or self.margin)

    @property
    def what(self) -> Metric:
        return METRICS[self.metric]

    @property
    def needs_baseline(self) -> bool:
        """Whether only a comparison can answer it."""
        return self.against == "baseline" or self.what.compared == "pair"

    @property
    def text(self) -> str:
        """The limit as a table shows it: `≤ 20 ms`, `≥ 3 x teacher`, `≥ -3 pt vs teacher`."""
        reference = f" {self.against}" if self.against else ""
        if self.kind == "margin":
            sign, worse = ("≥", -1) if self.what.better == "higher" else ("≤", 1)
            if self.limit.dimension in DIFFERENCES:
                unit = units_of(self.limit.dimension)[0]
                return f"{sign} {worse * self.limit.value:g} {unit} vs{reference}"
            if self.against == "baseline":
                return f"{sign} {worse * self.limit.value:+g} % vs{reference}"
            return f"{sign} {1 + worse * self.limit.value / 100:g} x{reference}"
        return f"{'≤' if self.kind == 'max' else '≥'} {self.limit.text}{reference}"


BOUNDED_FROM = (0, 3)
"""The version from which a waiver without a `limit` is an error."""


class Waiver(Schema):
    """Takes a check (of every target, or of one) out of the exit code, up to and with the day it expires, while the check's whole interval
    is on the good side of `limit`, in the check's own unit; without one, whatever the check finds. It never changes the check's verdict.

    The key `row` is an alias of `check`.
    """

    model_config = ConfigDict(**Schema.model_config, populate_by_name=True, serialize_by_alias=True)

    # the name of the check
    check: str = Field(validation_alias=AliasChoices("check", "row"), serialization_alias="row")
    target: str | None = None  # of one target only
    owner: str  # who answers for it
    reason: str  # why
    expires: datetime.date  # the last day it holds
    limit: str | None = None  # up to which it holds, in the check's unit

    @field_validator("owner", "reason")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is blank: name who answers for it, and why")
        return value

    @field_validator("expires", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> object:
        written = isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)
        if not written and type(value) is not datetime.date:
            raise ValueError("is not a day: write one as 2026-12-31")
        return value

    @field_validator("limit", mode="before")
    @classmethod
    def _has_a_unit(cls, value: object) -> object:
        if value is not None:
            parse_quantity(value)
        return value

    def covers(self, target: str, check: str) -> bool:
        """Whether it is of that check on that target; one of all outputs is of each, `CHECK[OUTPUT]`."""
        named = check == self.check or check.startswith(f"{self.check}[")
        return named and self.target in (None, target)

    def has_expired(self, today: datetime.date) -> bool:
        """Whether `today` is after the last day it holds."""
        return today > self.expires

    def widened(self, check: Threshold) -> Threshold:
        """The check with this waiver's limit in place of its own. Raises ValueError where it is of another unit, or no wider."""
        if self.limit is None:
            return check
        wide, own = parse_quantity(self.limit), check.limit
        if wide.dimension != own.dimension:
            raise ValueError(
                f"limit {wide.text!r} is a {wide.dimension}, and the check's own, {own.text!r}, a {own.dimension}: write it in that"
            )
        if (wide.value <= own.value) if check.kind != "min" else (wide.value >= own.value):
            raise ValueError(
                f"limit {wide.text!r} is no wider than the check's own, {own.text!r}: it waives nothing"
            )
        return check.model_copy(update={check.kind: self.limit})


class Policy(Schema):
    """`wall: auto` lets wall time decide on a host that others use only what CPU time says as well, and in a comparison of one thread
    only advise; `required` lets it decide there too."""

    # of the file; 1 is the only one
    format: Literal[1] = FORMAT  # type: ignore[assignment]
    name: str  # shown in reports
    description: str = ""  # a line for lists and reports
    on_inconclusive: Literal["block", "warn"] = "block"  # warn: an INCONCLUSIVE ends with 0
    wall: Literal["auto", "required"] = "auto"  # whether wall time decides on a contended host
    rows: dict[str, Threshold] = Field(validation_alias=AliasChoices("checks", "rows"))  # the checks, by name
    where_asked: dict[str, Threshold] = {}  # checks of a model's health, of those that a recipe asks for
    waivers: list[Waiver] = []  # checks that may fail for a while

    @model_serializer(mode="wrap")
    def _as_before_health_was_asked(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `where_asked` where there is none, so that digests of policies stay what they were."""
        found: dict[str, Any] = dump(self)
        return found if self.where_asked else {k: v for k, v in found.items() if k != "where_asked"}

    def asked(self, metrics: Collection[str]) -> "Policy":
        """With those checks of a model's health that are of `metrics`, which a recipe asks for, among its others."""
        found = {name: row for name, row in self.where_asked.items() if row.metric in metrics}
        return self.model_copy(update={"rows": self.rows | found, "where_asked": {}})

    @model_validator(mode="before")
    @classmethod
    def _rows_are_named_by_metric(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        if {"checks", "rows"} <= set(content):
            raise ValueError("checks and rows are the same, and both are here: write checks alone")
        return content | {
            key: with_metric(content[key])
            for key in ("checks", "rows", "where_asked")
            if isinstance(content.get(key), dict)
        }

    @model_validator(mode="after")
    def _rows_do_not_contradict(self) -> "Policy":
        check_rows(self.rows | self.where_asked)
        return self


def check_rows(rows: Mapping[str, Threshold]) -> None:
    """Raises ValueError where two checks of `rows`, by name, limit the same thing in the same way, to
    different values: which is meant?"""
    seen: dict[tuple[object, ...], str] = {}
    for name, row in rows.items():
        first = seen.setdefault(_way(row), name)
        if first != name and rows[first].limit.value != row.limit.value:
            raise ValueError(f"checks {first!r} and {name!r} contradict each other: {row.metric} is limited to {rows[first].text} and to "
                             f"{row.text}; leave one out")  # fmt: skip


def _way(row: Threshold) -> tuple[object, ...]:
    """What is limited, and how: two checks that are alike in this differ in their limit and their confidence alone."""
    return row.metric, row.against, row.kind, row.limit.dimension, row.severity, row.output


def with_budget(rows: Mapping[str, Threshold], budget: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """A policy's checks, `rows`, and those of a target's `budget`, both by name, all of which hold: the
    result is never looser than either.

    Of two checks of one name that limit the same metric in the same way (the same reference, kind of limit,
    dimension and severity) the stricter limit stands, at the higher confidence. Where they differ in that
    both stand, the budget's as `budget_NAME`.
    """
    both = dict(rows)
    for name, row in budget.items():
        while name in both and _way(both[name]) != _way(row):
            name = f"budget_{name}"
        both[name] = _stricter(both[name], row) if name in both else row
    return both


def _stricter(one: Threshold, other: Threshold) -> Threshold:
    tightest = max if one.kind == "min" else min
    confidence = max(one.confidence, other.confidence)
    return tightest(one, other, key=lambda row: row.limit.value).model_copy(update={"confidence": confidence})


def with_metric(rows: Mapping[str, Any]) -> dict[str, Any]:
    """A check that names no metric is about the metric that it is named after. rows: by name, as they are written."""
    return {
        name: {"metric": name, **row} if isinstance(row, Mapping) else row for name, row in rows.items()
    }  # fmt: skip


def overridden(rows: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`rows` with a recipe's changes laid over them; a new limit replaces the old one, whatever its kind, and null takes a check out."""
    merged: dict[str, Any] = {name: dict(row) for name, row in rows.items()}
    for name, change in changes.items():
        if not isinstance(change, Mapping):
            merged[name] = change
            continue
        row = merged.get(name, {})
        if any(kind in change for kind in LIMITS):
            row = {key: value for key, value in row.items() if key not in LIMITS}
        merged[name] = row | dict(change)
    return with_metric(merged)


def load_policy(name: str) -> Policy:
    """The policy of that name or path. Raises UsageError or RecipeError."""
    path = find(name, shipped("targets") / "policies", "policy")
    content = read_yaml(path)
    refuse_newer(content, str(path))
    return parse(Policy, content, path)


def refuse_newer(content: Mapping[str, Any], where: str) -> None:
    """Raises RecipeError, which names the file `where`, if the `format` that its `content` says is newer than
    is read here."""
    version = content.get("format", FORMAT)
    if isinstance(version, int) and version > FORMAT:
        raise RecipeError(
            where, [f"format {version} is newer than this edgecomp reads ({FORMAT}): upgrade edgecomp"]
        )
