"""Prompts from Jinja templates: sandboxed, for a template is data, and strict, for a field that is not there is a mistake."""

from collections.abc import Mapping, Sequence

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edgecomp.errors import DataError, UsageError, nearest

LONGEST = 200_000  # characters of a prompt


class Prompts:
    """templates: texts; fields: what they may name. Raises UsageError where one is no template, or names something else."""

    def __init__(self, templates: Sequence[str], fields: Sequence[str]) -> None:
        if not templates:
            raise UsageError(
                "prompts: none is given, and the teacher must be asked something: write a template with {{ text }}"
            )
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        self._templates = []
        self.named: list[set[str]] = []  # of each template, the fields that it names
        for number, text in enumerate(templates):
            where = f"prompts[{number}]"
            try:
                named = meta.find_undeclared_variables(environment.parse(text))
                self._templates.append(environment.from_string(text))
            except TemplateSyntaxError as error:
                raise UsageError(f"{where}, line {error.lineno}: no template: {error.message}") from None
            if unknown := sorted(named - set(fields)):
                raise UsageError(
                    f"{where}: unknown field {unknown[0]!r}{nearest(unknown[0], fields)}; there are {', '.join(fields)}"
                )
            self.named.append(named)
            if not named - {"classes"}:
                raise UsageError(
                    f"{where}: names nothing of the example, so that every example would be asked the same: use {{{{ {fields[0]} }}}}"
                )

    def __len__(self) -> int:
        return len(self._templates)

    def of(self, example: Mapping[str, object]) -> list[str]:
        """A prompt of each template for an `example`, its fields by name. Raises DataError where it cannot be made."""
        found = []
        for number, template in enumerate(self._templates):
            try:
                prompt = template.render(example)
            except (
                TemplateError,
                TypeError,
                ValueError,
                ArithmeticError,
                LookupError,
                AttributeError,
            ) as error:
                raise DataError(
                    f"prompts[{number}]: cannot be made of an example: {type(error).__name__}: {error}"
                ) from None
            if not prompt.strip() or len(prompt) > LONGEST:
                said = (
                    "is empty"
                    if not prompt.strip()
                    else f"has {len(prompt):,} characters; the most is {LONGEST:,}"
                )
                raise DataError(f"prompts[{number}]: {said}")
            found.append(prompt)
        return found
