"""The manual's reference pages, made from the code when it is built, so that the two cannot differ.

`pages()` gives each page's Markdown by its path in docs/. MkDocs calls `on_files`; the tests call `pages()` alone, without MkDocs.
A key's description is the comment beside it in the source.
"""

import ast
import inspect
import io
import tokenize
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).parents[2]


def pages() -> dict[str, str]:
    """Every generated page: path under docs/ → Markdown."""
    return {
        "reference/recipe.md": recipe(),
        "reference/target.md": target(),
        "reference/policy.md": policy(),
        "reference/metrics.md": metrics(),
        "reference/verdict.md": verdict(),
        "reference/exit-codes.md": exit_codes(),
        "reference/cli.md": command_line(),
        "reference/shipped.md": shipped_files(),
        "reference/changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }


def on_files(files: Any, config: Any) -> Any:
    """MkDocs's event: adds the pages, and the JSON Schema of verdicts, to what lies in docs/."""
    from mkdocs.structure.files import File

    from edgecomp.gate.document import SCHEMA_FILE

    schema = {f"reference/{SCHEMA_FILE.name}": SCHEMA_FILE.read_text(encoding="utf-8")}
    for path, text in (pages() | schema).items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs's event: puts the picture of the rooms where a page asks for it."""
    return markdown.replace("<!-- rooms -->", rooms()) if "<!-- rooms -->" in markdown else markdown


def rooms() -> str:
    """The rooms of the house as boxes, floor by floor, and a table of what each holds and may import."""
    allowed, ground = house()
    floors: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in floors:
            floors[room] = 1 + max((floor(below) for below in allowed[room] - ground), default=0)
        return floors[room]

    by_floor: dict[int, list[str]] = {}
    for room in allowed:
        by_floor.setdefault(floor(room), []).append(room)
    lines = ['<div class="house">']
    for names in [*(by_floor[number] for number in sorted(by_floor, reverse=True)), sorted(ground)]:
        boxes = "".join(f'<div class="room"><code>{name}</code></div>' for name in names)
        lines.append(f'<div class="floor">{boxes}</div>')
    lines.append("</div>")
    everything = set(allowed)
    rows = []
    for room in allowed:
        below, missing = allowed[room] - ground, everything - allowed[room] - {room}
        few = len(missing) < len(below)
        imports = (
            f"all but {', '.join(sorted(missing)) or 'nothing'}" if few else ", ".join(sorted(below)) or "–"
        )
        rows.append((f"`{room}`", first_line(ROOT / "edgecomp" / room / "__init__.py"), imports))
    lines += [
        "",
        f"The bottom floor are single files ({', '.join(f'`{name}`' for name in sorted(ground))}), which all rooms may import.",
        "",
    ]
    return "\n".join([*lines, table(("room", "what it holds", "may import, besides the bottom floor"), rows)])


def house() -> tuple[dict[str, set[str]], set[str]]:
    """What each room may import, and the files on the ground, as tests/unit/test_architecture.py has them."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "architecture", ROOT / "tests" / "unit" / "test_architecture.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ROOMS, module.GROUND


def first_line(file: Path) -> str:
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split())


# Keys of recipes, targets and policies.


def recipe() -> str:
    from edgecomp.config.parts.rehearsal import QUICK
    from edgecomp.config.recipe import Recipe

    quick = table(
        ("key", "at most"), ((f"`{part}.{key}`", f"`{most}`") for (part, key), most in QUICK.items())
    )
    return "\n\n".join(
        [
            "# Recipe keys",
            (
                "A recipe is one YAML file. Keys that are not listed here are refused, with the nearest that is. Any key can be "
                "overridden on the command line, `KEY=VALUE`, with dots between the parts."
            ),
            *sections(Recipe, "recipe"),
            "## What `--quick` lowers",
            "A rehearsal runs every stage with at most:",
            quick,
        ]
    )


def target() -> str:
    from edgecomp.config.target import Target
    from edgecomp.machine import ISAS
    from edgecomp.runtimes import TABLE

    runtimes = (
        (
            f"`{name}`",
            f"`{row.model_file}`",
            ", ".join(f"`{scheme}`" for scheme in row.schemes),
            "yes" if row.gpu else "no",
        )
        for name, row in TABLE.items()
        if name != "fake"
    )
    kinds = (
        (
            f"`{name}`",
            isa.machine,
            ", ".join(isa.flags) or "–",
            "wide" if isa.wide else "16 bits: may saturate",
        )
        for name, isa in ISAS.items()
    )
    return "\n\n".join(
        [
            "# Target keys",
            (
                "A target, or device profile, is one YAML file. `extends: NAME` takes another profile's settings first; `null` takes "
                "an inherited one out."
            ),
            *sections(Target, "target"),
            "## Runtimes",
            table(("`runtime`", "file", "schemes", "needs a GPU"), runtimes),
            "## Kinds of CPU",
            table(("`isa`", "machine", "flags", "sums of int8 products"), kinds),
        ]
    )


def policy() -> str:
    from edgecomp.config.policy import Policy

    return "\n\n".join(
        [
            "# Policy keys",
            "A policy is one YAML file: the checks that a model must pass. A recipe's `thresholds` change single checks of it.",
            *sections(Policy, "policy"),
        ]
    )


def sections(
    model: type[BaseModel], name: str, seen: set[type] | None = None, *, described: bool = True
) -> Iterator[str]:
    """A heading, the docstring and a table of keys, for a model and each model within it, once.

    described: whether each key has a comment; else the docstring says what they mean, and keys are as they are written.
    """
    from edgecomp.config.schema import keys_of

    seen = seen if seen is not None else set()
    seen.add(model)
    yield f"## `{name}`"
    if model.__doc__:
        yield inspect.cleandoc(model.__doc__)
    comments = comments_of(model) if described else {}
    rows, nested = [], []
    for (key, field), written in zip(model.model_fields.items(), keys_of(model), strict=True):
        shown = written if described else field.serialization_alias or key
        inner = [one for one in models_in(field.annotation) if one not in seen]
        nested += [(f"{name}.{shown}" if name != "recipe" else shown, one) for one in inner]
        meaning = [comments.get(key, "")] if described else []
        rows.append((f"`{shown}`", typed(field), default(field), *meaning))
    yield table(("key", "type", "default", *(["meaning"] if described else [])), rows)
    for path, inner in nested:
        if inner not in seen:
            yield from sections(inner, path, seen, described=described)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_origin(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from models_in(argument)


def typed(field: Any) -> str:
    """A field's type in words, with its bounds."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(bound, kind)}"
        for bound in field.metadata
        for kind, sign in signs.items()
        if hasattr(bound, kind)
    ]
    null = ["or null"] if field.is_required() and type(None) in get_args(field.annotation) else []
    return " ".join([words(field.annotation), *bounds[:1], *(f"and {bound}" for bound in bounds[1:]), *null])


def words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words(arguments[0])
    if origin is Literal:
        return " · ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(words(one) for one in arguments if one is not type(None))
    if origin in (list, tuple):
        return f"list of {words(arguments[0])}"
    if origin is dict:
        return f"map of {words(arguments[0])} to {words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys, below"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " · ".join(f"`{member.value}`" for member in annotation)
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def default(field: Any) -> str:
    if field.default_factory is not None:
        return f"`{field.default_factory()}`"
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        return "its own defaults"
    if field.default is None:
        return "–"
    shown = (
        {True: "true", False: "false", "": '""'}.get(field.default)
        if isinstance(field.default, bool | str)
        else None
    )
    return f"`{shown or field.default}`"


def comments_of(model: type[BaseModel]) -> dict[str, str]:
    """A key's comment in the source: the lines of comment above it, and the one beside it."""
    found: dict[str, str] = {}
    for owner in reversed(
        [one for one in model.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]
    ):
        source = inspect.cleandoc("\n" + inspect.getsource(owner))
        lines = source.splitlines()
        by_line = {
            token.start[0]: token.string.removeprefix("#").strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT and not token.string.startswith(("# type:", "# fmt:", "# noqa"))
        }
        (body,) = ast.parse(source).body
        for node in getattr(body, "body", ()):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            above, line = [], node.lineno - 1
            while line in by_line and lines[line - 1].lstrip().startswith("#"):
                above.insert(0, by_line[line])
                line -= 1
            beside = [
                by_line[line]
                for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
                if line in by_line
            ]
            if above or beside:
                found[node.target.id] = " ".join((*above, *beside))
    return found


# Metrics, exit codes, commands.


def metrics() -> str:
    from edgecomp.metrics.registry import METRICS

    rows = ((f"`{one.id}`", one.title, one.dimension, one.better) for one in METRICS.values())
    return "\n\n".join(
        [
            "# Metrics",
            (
                "A metric has one id, `name_stat_unit`. A check in a policy, a `thresholds` key of a recipe and a target's `budget` name "
                "a metric by it. A limit is written with its unit: `20 ms`, `200 MiB`, `98.5 %`, `3 pt` (percentage points), `3 x`."
            ),
            table(("id", "what it is", "unit", "better"), rows),
        ]
    )


def verdict() -> str:
    from edgecomp.gate.document import SCHEMA_FILE, VerdictDocument

    return "\n\n".join(
        [
            "# Verdict document",
            (
                "`edgecomp run` writes `gate/verdict.json`, `edgecomp compare` writes `verdict.json`, both in this form; its version is "
                f"`format`. [JSON Schema]({SCHEMA_FILE.name}), which the package holds as well (`edgecomp/gate/{SCHEMA_FILE.name}`)."
            ),
            *sections(VerdictDocument, "verdict.json", described=False),
        ]
    )


def exit_codes() -> str:
    from edgecomp import errors
    from edgecomp.gate.verdict import EXIT_CODES, Reason

    codes = [(f"`{code}`", verdict.value, MEANING[verdict.value]) for verdict, code in EXIT_CODES.items()]
    others = [("`2`", "", "the request cannot be carried out: usage, a recipe, or a file that cannot be read"),
              ("`70`", "", "internal error, or something failed that should not have"),
              ("`130`, `143`", "", "interrupted (SIGINT), terminated (SIGTERM)")]  # fmt: skip
    tree = inspect.cleandoc(errors.__doc__ or "")
    return "\n\n".join(
        [
            "# Exit codes",
            "Every command that gives a verdict ends with it.",
            table(("exit code", "verdict", "meaning"), [*codes, *others]),
            (
                "A policy with `on_inconclusive: warn` ends an INCONCLUSIVE with 0. A check with a valid waiver, or of `severity: warn`, does "
                "not count."
            ),
            "## Reasons",
            "Each check has a `reason`, in `verdict.json` and in the report.",
            table(
                ("reason", "verdict and meaning"),
                ((f"`{one.value}`", why) for one, why in commented(Reason).items()),
            ),
            "## Errors",
            "The Python API raises these; the command line prints the message and ends with the code.",
            f"```text\n{tree}\n```",
        ]
    )


MEANING = {
    "PASS": "every check's whole confidence interval is on the good side of its threshold",
    "FAIL": "a check's whole confidence interval is on the bad side",
    "INCONCLUSIVE": "a threshold lies inside the confidence interval, there are too few samples, or something was not run",
    "INVALID": "what was measured cannot be believed: a NaN, an impossible figure, evidence that was altered",
}


def commented(enum: Any) -> dict[Any, str]:
    """An enumeration's members, with the comment beside each."""
    beside = {}
    for line in inspect.getsource(enum).splitlines():
        name, has, comment = line.strip().partition("  # ")
        if has and " = " in name:
            beside[name.partition(" = ")[0]] = comment
    return {member: beside.get(name, "") for name, member in enum.__members__.items()}


def command_line() -> str:
    import typer

    from edgecomp.cli.app import app

    found = ["# Command line", ("`edgecomp COMMAND --help` says the same in the terminal. `--json` ends with one line of JSON on standard "
             "output; what is said while it runs goes to standard error.")]  # fmt: skip
    for name, command in commands(typer.main.get_command(app)):
        if getattr(command, "hidden", False):
            continue
        arguments = [one for one in command.params if not one.opts[0].startswith("-")]
        shown = " ".join(map(name_of, arguments))
        found += [
            f"## edgecomp {name}",
            (command.help or "").strip(),
            f"```text\nedgecomp {name} [OPTIONS] {shown}".rstrip() + "\n```",
        ]
        if command.deprecated:
            found.append("Deprecated: it goes away with the next version.")
        rows = [
            (option(one), one.help or "", initial(one))
            for one in command.params
            if not getattr(one, "hidden", False)
        ]
        found.append(table(("option", "meaning", "default"), rows))
        if command.epilog:
            said = [line for line in command.epilog.splitlines() if line.strip()]
            found.append(
                "Examples:\n\n```sh\n" + "\n".join(line.replace("\\[", "[") for line in said[1:]) + "\n```"
            )
    return "\n\n".join(found)


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of a group and of the groups in it, by its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def option(parameter: Any) -> str:
    if not parameter.opts[0].startswith("-"):
        return code(name_of(parameter))
    value = "" if getattr(parameter, "is_flag", False) else f" {parameter.metavar or kind(parameter)}"
    return ", ".join(code(f"{name}{value if name.startswith('--') else ''}") for name in parameter.opts)


def name_of(argument: Any) -> str:
    """As the command line's help shows it: in brackets where it may be left out."""
    name = argument.metavar or argument.name.upper()
    return str(name if argument.required or name.startswith("[") else f"[{name}]")


def code(text: str) -> str:
    """Code in a table's cell: a vertical bar in backticks would end it."""
    return f"`{text}`" if "|" not in text else f"<code>{text.replace('|', '&#124;')}</code>"


def kind(parameter: Any) -> str:
    annotation = str(getattr(parameter.type_descriptor, "annotation", ""))
    return "PATH" if "Path" in annotation else "N" if "int" in annotation or "float" in annotation else "TEXT"


def initial(parameter: Any) -> str:
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if parameter.required:
        return "required"
    if parameter.default in (None, False) or parameter.default == []:
        return "–"
    return f"`{parameter.default}`"


# What is shipped.


def shipped_files() -> str:
    found = ["# Shipped recipes, targets and policies", ("They come with the package and are found by name; `extends` and `defaults` take "
             "them as a start.")]  # fmt: skip
    for title, folder in (
        ("Recipes", ROOT / "benchmarks" / "recipes"),
        ("Targets", ROOT / "targets"),
        ("Policies", ROOT / "targets" / "policies"),
    ):
        found.append(f"## {title}")
        for file in sorted(folder.glob("*.yaml")):
            found += [f"### {file.stem}", f"```yaml\n{file.read_text(encoding='utf-8').rstrip()}\n```"]
    return "\n\n".join(found)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(header), *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    for path, text in pages().items():
        print(f"<!-- {path} -->\n{text}\n")
