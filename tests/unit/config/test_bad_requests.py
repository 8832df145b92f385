"""Each bad request gives one clear message and exit code 2, before any work is done."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import Cli, command, environment

from edgecomp.cli import app as command_line
from edgecomp.config.job import load_job, read_job
from edgecomp.errors import EdgecompError, RecipeError, RunFolderError, UsageError


def refusal(recipe: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_job(recipe, list(overrides))
    assert caught.value.exit_code == 2
    return str(caught.value)


def recipe_file(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_shipped_recipe_is_valid() -> None:
    job = load_job("digits", [])
    assert [target.name for target in job.targets] == ["onnxruntime-cpu", "openvino-cpu"]
    assert "latency_p99_ms" in job.rows["openvino-cpu"]


def test_an_override_changes_one_value_and_may_set_one_the_file_does_not_have() -> None:
    job = load_job(
        "digits", ["distill.temperature=2", "distill.weight_decay=0.001", "targets=[openvino-cpu]"]
    )
    assert job.recipe.distill.temperature == 2
    assert job.recipe.distill.weight_decay == 0.001
    assert list(job.rows) == ["openvino-cpu"]


def test_a_threshold_of_a_recipe_replaces_the_limit_of_the_policy_and_null_takes_a_row_out() -> None:
    job = load_job("digits", ["thresholds.macro_f1_pct.margin=1 pt", "thresholds.latency_p99_ms=null"])
    rows = job.rows["openvino-cpu"]
    assert rows["macro_f1_pct"].text == "≥ -1 pt vs teacher"
    assert "latency_p99_ms" not in rows


def test_an_unknown_recipe_names_the_nearest() -> None:
    assert "no such recipe: 'digitz'; did you mean 'digits'?" in refusal("digitz")
    assert "no such recipe: nowhere/x.yaml is not a file" in refusal("nowhere/x.yaml")


def test_a_file_or_folder_that_is_not_there_names_the_nearest_that_is(tmp_path: Path) -> None:
    recipe_file(tmp_path, "defaults: [digits, _self_]\n", "reviews.yaml")
    said = refusal(str(tmp_path / "review.yaml"))
    assert said.endswith("review.yaml is not a file; did you mean 'reviews.yaml'?")
    (tmp_path / "customers").mkdir()
    with pytest.raises(RunFolderError, match=r"no such run folder: .*customer; did you mean 'customers'"):
        read_job(tmp_path / "customer")


def test_a_word_that_is_none_of_those_allowed_is_said_with_the_nearest() -> None:
    said = refusal("digits", "data.source=image")
    assert "data.source: 'image' is none of 'digits', " in said
    assert said.endswith("; did you mean 'images'?")


def test_invalid_yaml_is_placed_by_line_and_column(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, "name: mine\ndata: [1,\nteacher: }\n")
    assert "line 3, column 10: invalid YAML" in refusal(path)


def test_a_yaml_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    assert "holds list, not a mapping" in refusal(recipe_file(tmp_path, "- a\n"))


def test_a_recipe_that_hydra_would_take_another_file_for_is_refused(tmp_path: Path) -> None:
    recipe_file(tmp_path, "defaults: [digits, _self_]\nname: other\n", "mine.yaml")
    path = recipe_file(tmp_path, "defaults: [digits, _self_]\nname: mine\n", "mine.yml")
    assert f"{path}: a recipe ends in .yaml, not in .yml: rename it to mine.yaml" in refusal(path)


def test_every_problem_is_reported_at_once() -> None:
    message = refusal(
        "digits",
        "distil.temperature=4",
        "quantize.epoch=3",
        "targets=[openvino-gpu]",
        "thresholds.latency_p50_ms.max=20 MiB",
        "thresholds.f2_pct.min=3 %",
        "teacher.network=no_such_package.models:build",
        "student.network=resnett",
        "bench.restarts=0",
        "policy=industrail",
    )
    for part in (
        "distil: unknown key; did you mean 'distill'?",
        "quantize.epoch: unknown key; did you mean 'epochs'?",
        "no such target: 'openvino-gpu'; did you mean 'openvino-cpu'",
        "teacher.network: factory 'no_such_package.models:build' cannot be imported",
        "no such network: 'resnett'; did you mean 'resnet'",
        "bench.restarts: input should be greater than or equal to 1 (got 0)",
        "no such policy: 'industrail'; did you mean 'industrial'?",
    ):
        assert part in message
    assert "problems" in message.splitlines()[0]


def test_a_wrong_unit_and_an_unknown_metric_say_what_to_write() -> None:
    message = refusal("digits", "thresholds.latency_p50_ms.max=20 MiB", "thresholds.f2_pct.min=3 %")
    assert (
        "wrong unit: latency_p50_ms is in us, ms, s, and '20 MiB' is of bytes; write for example '20 ms'"
        in message
    )
    assert "no such metric: 'f2_pct'" in message
    assert "has no unit" in refusal("digits", "thresholds.latency_p50_ms.max=20")


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("thresholds.latency_p50_ms.min=20 ms", "is better when lower: limit it with max, not min"),
        ("thresholds.macro_f1_pct.margin=3 ms", "write points ('3 pt') or a relative '5 %'"),
        ("thresholds.macro_f1_pct.margin=100 pt", "allows anything"),
        ("thresholds.latency_p50_ms.margin=5 %", "a margin is against something"),
        (
            "thresholds.parameter_bytes.max=20 MiB",
            "wrong unit: parameter_bytes against a reference is in x",
        ),
        ("thresholds.latency_p50_ms.confidence=1.5", "less than or equal to 0.999"),
        ("thresholds.macro_f1_pct.against=student", "'teacher', 'student_fp32' or 'baseline'"),
        (
            "thresholds.macro_f1_pct.against=baseline",
            "a run has no baseline; `edgecomp compare` holds two models",
        ),
        ("+thresholds.flips={metric: negative_flips_pct, max: 2 %}", "a run has no baseline"),
        ("+thresholds.again={metric: latency_p50_ms, max: 3 ms}", "contradict each other"),
        ("thresholds.macro_f1_pct.severity=shout", "'block' or 'warn'"),
        ("thresholds.macro_f1_pct.implausible=3 x", "write how much better"),
        ("distill.temperature=hot", "valid number"),
        ("distill.temperature=1,2", "cannot be composed"),
        ("nonsense", "is not KEY=VALUE"),
        ("targets=[openvino-cpu,openvino-cpu]", "'openvino-cpu' is named twice"),
        ("targets=[pytorch-cpu]", "none of them has a quantisation scheme: add one that has"),
        ("targets=[torchscript-cpu]", "which nothing is deployed for: name it under `ungated_targets`"),
        ("name=../escape", "should match pattern"),
        ("data.test_fraction=0.9", "leave less than a tenth"),
    ],
)
def test_a_value_out_of_place_is_refused(override: str, complaint: str) -> None:
    assert complaint in refusal("digits", override)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (
            ["quantize.weight_bits=4"],
            "onnxruntime-cpu executes weights of 8 bits beside 8-bit activations, not of 4",
        ),
        (["quantize.weight_bits=4"], "quantize.simulate=true"),
        (["quantize.weight_bits=3"], "quantize.weight_bits"),
        (["quantize.method=ptq-ort", "quantize.weight_bits=4"], "ptq-ort quantises to 8 bits, not 4"),
        (["quantize.method=ptq-nncf", "quantize.calibration=mse"], "ptq-nncf has no mse calibration"),
        (["quantize.method=none", "quantize.max_drop=1 pt"], "max_drop chooses layers of a student in int8"),
        (["quantize.max_drop=1"], "has no unit"),
        (["quantize.max_drop=1 %"], "not in percentage points"),
        (["quantize.method=none", "quantize.float_layers={head: why}"], "every layer is in float"),
        (["quantize.method=ptq-ort", "quantize.baselines=[ptq-ort]"], "ptq-ort is the method itself"),
        (
            ["quantize.method=qat"],
            "'qad', 'ptq-ort', 'ptq-nncf', 'ptq-dynamic', 'ptq-best', 'best' or 'none'",
        ),
        (["distill.hidden=[{student: a}]"], "distill.hidden"),
    ],
    ids=str,
)
def test_quantisation_settings_that_do_not_go_together_are_refused(
    overrides: list[str], complaint: str
) -> None:
    assert complaint in refusal("digits", *overrides)


def test_a_scheme_that_the_runtime_does_not_execute_is_refused(tmp_path: Path) -> None:
    target = recipe_file(tmp_path, "name: t\nruntime: openvino-cpu\nscheme: gpu-s8\n", "t.yaml")
    complaint = refusal("digits", f"targets=[{target}]")
    assert "'gpu-s8' does not go together with openvino-cpu" in complaint
    assert "cpu-u8 or cpu-u8-narrow" in complaint


@pytest.mark.parametrize("isa", ["host", "x86-64-avx2", "x86-64-avx512", "x86-64"])
def test_a_scheme_that_saturates_on_the_targets_cpu_is_refused_with_the_arithmetic(
    tmp_path: Path, isa: str
) -> None:
    text = f"extends: onnxruntime-cpu\nname: wide\nisa: {isa}\nscheme: cpu-u8\n"
    complaint = refusal("digits", f"targets=[{recipe_file(tmp_path, text, 'wide.yaml')}]")
    assert "scheme cpu-u8 saturates" in complaint
    assert "255 · 127 + 255 · 127 = 64,770 is more than 32,767" in complaint
    assert "cpu-u8-narrow" in complaint
    assert "x86-64-avx512-vnni" in complaint


@pytest.mark.parametrize(
    "isa", ["x86-64-avx512-vnni", "x86-64-avx-vnni", "x86-64-amx", "armv8-a", "armv8.2-dotprod"]
)
def test_a_target_that_names_a_cpu_with_wide_products_may_have_the_whole_range(
    tmp_path: Path, isa: str
) -> None:
    text = f"extends: onnxruntime-cpu\nname: wide\nisa: {isa}\nscheme: cpu-u8\n"
    job = load_job("digits", [f"targets=[{recipe_file(tmp_path, text, 'wide.yaml')}]"])
    assert job.targets[0].scheme == "cpu-u8"
    assert "portable_agreement_pct" not in job.rows["wide"], "its device is the one it names"


def test_an_unknown_isa_names_the_nearest(tmp_path: Path) -> None:
    text = "extends: onnxruntime-cpu\nname: mine\nisa: x86-64-avx3\n"
    complaint = refusal("digits", f"targets=[{recipe_file(tmp_path, text, 'mine.yaml')}]")
    assert "no such isa: 'x86-64-avx3'; did you mean 'x86-64-avx2'" in complaint


def test_rows_that_cannot_be_judged_of_a_method_are_taken_out() -> None:
    def rows(method: str) -> set[str]:
        return set(load_job("digits", [f"quantize.method={method}"]).rows["openvino-cpu"])

    assert rows("qad") - rows("ptq-ort") == {"export_block_sqnr_db"}
    of_integers = {"export_block_sqnr_db", "portable_agreement_pct", "int8_share_pct", "int8_over_fp32"}
    assert rows("qad") - rows("none") == of_integers


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    assert "format 2 is newer than this edgecomp reads (1): upgrade" in refusal(
        recipe_file(tmp_path, "format: 2\nname: mine\nnovelty: 1\n")
    )


def test_the_environment_cannot_be_read_from_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    message = refusal(recipe_file(tmp_path, "name: mine\ndescription: ${oc.env:SECRET}\n"))
    assert "Unsupported interpolation type oc.env" in message
    assert "hunter2" not in message


def test_a_factory_may_live_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "my_networks.py").write_text(
        "def build(channels, classes, blocks, width): ...\n", encoding="utf-8"
    )
    text = Path(load_job_path()).read_text(encoding="utf-8")
    path = recipe_file(tmp_path, text.replace("network: resnet", "network: my_networks:build"))
    message = refusal(path, "teacher.network=my_networks:built")
    assert "my_networks has no function 'built'; did you mean 'build'?" in message
    assert load_job(path, []).recipe.student.network == "my_networks:build"


def load_job_path() -> Path:
    from edgecomp.config.schema import shipped

    return shipped("recipes") / "digits.yaml"


def test_a_folder_of_another_recipe_is_refused(cli: Cli, tmp_path: Path) -> None:
    manifest = {"format": 1, "edgecomp": "0.1.0", "recipe": "other", "steps": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    done = cli("run", "digits", "--out", str(tmp_path))
    assert done.code == 2
    assert "belongs to recipe 'other', not 'digits'" in done.err


def test_a_folder_of_a_newer_format_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 99, "recipe": "digits"}), encoding="utf-8")
    done = cli("run", "digits", "--out", str(tmp_path))
    assert done.code == 2
    assert "format version 99, newer than this edgecomp reads (1)" in done.err


def test_a_folder_that_holds_something_else_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious", encoding="utf-8")
    done = cli("run", "digits", "--out", str(tmp_path))
    assert done.code == 2
    assert "holds 'thesis.tex' and no manifest.json" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_writer_is_refused_with_the_first_ones_process_and_start(cli: Cli, tmp_path: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from edgecomp.artifacts.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        done = cli("run", "digits", "--out", str(tmp_path))
        first.communicate()
    assert done.code == 2
    assert f"is being written by process {first.pid}, started 20" in done.err


def test_a_stage_alone_needs_a_run_folder(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", str(tmp_path), "--only", "gate")
    assert done.code == 2
    assert "has no job.json: it is not a run folder" in done.err


@pytest.mark.parametrize("content", [b"{", b"\xff{}", b"[]", b"{}"])
def test_a_job_that_cannot_be_read_is_a_bad_request(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(
        RunFolderError, match=r"job\.json cannot be read .*: `edgecomp run RECIPE` writes it again"
    ):
        read_job(tmp_path)


@pytest.mark.parametrize("option", ["--restarts", "--max-time", "--minutes", "--clients", "--out", "--store"])
def test_what_the_bench_of_a_run_folder_cannot_honour_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("EDGECOMP_HISTORY", str(tmp_path / "h"))  # which is no request
    with pytest.raises(UsageError, match=f"^{option}: without -t, --inputs, -s or --profile .* --target"):
        command_line.app(["bench", str(tmp_path), option, "3"], standalone_mode=False)
    with pytest.raises(UsageError, match=r"has no job\.json"):
        command_line.app(["bench", str(tmp_path)], standalone_mode=False)


@pytest.mark.parametrize("asked", [["compare", "a.onnx", "b.onnx"], ["selftest"]], ids=str)
def test_a_negative_seed_is_a_bad_request(cli: Cli, asked: list[str]) -> None:
    done = cli(*asked, "-t", "onnxruntime-cpu", "--seed", "-1")
    assert done.code == 2
    assert "Invalid value for '--seed': Input should be greater than or equal to 0" in done.err


@pytest.mark.parametrize("arguments", [["run"], ["run", "digits", "--otu", "x"], ["rnu"], ["run", "digitz"]])
def test_a_slip_of_the_keyboard_is_exit_code_2_without_a_traceback(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.err.strip()


def test_debug_shows_the_traceback_and_changes_nothing_else(cli: Cli) -> None:
    plain, debug = cli("run", "digitz", "--json"), cli("run", "digitz", "--json", "--debug")
    assert "Traceback" in debug.err
    assert debug.code == plain.code == 2
    assert debug.json == plain.json
    assert "no such recipe: 'digitz'" in debug.json["error"]


def test_debug_shows_where_an_internal_error_was_and_leaves_with_its_code() -> None:
    script = "from edgecomp.cli import app as cli\ncli.app = lambda **_: 1 / 0\ncli.main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--debug", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 70
    assert "Traceback" in done.stderr
    assert "internal error: ZeroDivisionError" in done.stderr


def test_every_error_of_ours_has_an_exit_code() -> None:
    def tree(kind: type[EdgecompError]) -> set[type[EdgecompError]]:
        return {kind}.union(*(tree(child) for child in kind.__subclasses__()))

    assert {kind.exit_code for kind in tree(EdgecompError)} == {1, 2, 3, 4, 70}
    assert RecipeError.exit_code == 2


def test_the_docstring_draws_the_whole_error_tree() -> None:
    from edgecomp import errors

    for kind in (kind for kind in vars(errors).values() if isinstance(kind, type)):
        if issubclass(kind, EdgecompError):
            assert kind.__name__ in str(errors.__doc__)


FACTORIES = """
import sys
from torch import nn
class Wrong(nn.Module):
    def __init__(self, channels, classes, how):
        super().__init__()
        self.how, self.layer = how, nn.Linear(channels * 64, 7 if how == "classes" else classes)
    def forward(self, x):
        if self.how == "raises": raise ValueError("bad forward")
        if self.how == "exits": sys.exit(0)
        y = self.layer(x.flatten(1))
        return (y,) if self.how == "tuple" else y
def build(channels, classes, how):
    if how == "factory": raise RuntimeError("boom in factory")
    if how == "leaves": sys.exit(0)
    return 42 if how == "module" else Wrong(channels, classes, how)
"""


@pytest.mark.parametrize(
    ("how", "code", "complaint"),
    [
        (
            "classes",
            2,
            "returns shape (2, 7) for a batch of 2; with these data it must be (2, 10): 10 classes",
        ),
        (
            "raises",
            70,
            "cannot take a batch of input [2, 1, 8, 8]: ValueError: bad forward (your own code, {}, line 9)",
        ),
        (
            "exits",
            70,
            "cannot take a batch of input [2, 1, 8, 8]: SystemExit: 0 (your own code, {}, line 10)",
        ),
        ("tuple", 2, "returns tuple, not a tensor of logits"),
        ("factory", 70, "cannot be built: RuntimeError: boom in factory (your own code, {}, line 14)"),
        ("leaves", 70, "cannot be built: SystemExit: 0 (your own code, {}, line 15)"),
        ("module", 2, "the factory returned int, not a torch.nn.Module"),
    ],
)
def test_a_network_that_cannot_serve_is_refused_before_the_teacher_is_trained(
    cli: Cli, tmp_path: Path, how: str, code: int, complaint: str
) -> None:
    complaint = complaint.format(tmp_path / "wrong.py")
    (tmp_path / "mine.yaml").write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    (tmp_path / "wrong.py").write_text(FACTORIES, encoding="utf-8")
    student = ["student.network=wrong:build", "~student.arguments", f"+student.arguments={{how:{how}}}"]
    done = cli(
        "run",
        str(tmp_path / "mine.yaml"),
        *student,
        "data.image_size=8",
        "--out",
        str(tmp_path / "run"),
        "--json",
    )
    assert done.code == code, done.err
    assert complaint in done.err
    assert complaint in done.json["error"]
    assert "Traceback" not in done.err
    assert not (tmp_path / "run" / "teacher").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nraise RuntimeError('boom')", "RuntimeError: boom (your own code, {}, line 2)"),
        ("def build(:", "SyntaxError: invalid syntax (broken.py, line 1) (your own code, {}, line 1)"),
        ("import sys; sys.exit(0)", "SystemExit: 0 (your own code, {}, line 1)"),
        ("class Own(BaseException): pass\nraise Own", "Own (your own code, {}, line 2)"),
        (
            "import nothing_there",
            "ModuleNotFoundError: No module named 'nothing_there' (your own code, {}, line 1)",
        ),
    ],
)
def test_a_factory_whose_module_raises_is_told_as_the_user_s_own(
    cli: Cli, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text(text, encoding="utf-8")
    done = cli("run", "mine.yaml", "student.network=broken:build", "--json", cwd=tmp_path)
    assert done.code == 70
    assert f"factory 'broken:build' cannot be imported: {words.format(tmp_path / 'broken.py')}" in done.err
    assert done.json["exit_code"] == 70
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "network", ["builtins:eval", "builtins:exit", "os:system", "subprocess:run", "posix:_exit", "sys:exit"]
)
def test_python_s_own_functions_are_no_networks(network: str) -> None:
    assert f"factory '{network}': {network.partition(':')[0]} is Python's own" in refusal(
        "digits", f"student.network={network}"
    )


def test_a_function_of_python_s_own_by_another_name_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    (tmp_path / "aliases.py").write_text(
        "from os import system\nfrom shutil import rmtree\n", encoding="utf-8"
    )
    path = str(tmp_path / "mine.yaml")
    assert "is posix.system, Python's own" in refusal(path, "student.network=aliases:system")
    assert "is shutil.rmtree, Python's own" in refusal(path, "student.network=aliases:rmtree")


def test_a_file_with_a_name_that_python_has_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    (tmp_path / "types.py").write_text("def build(channels, classes): ...\n", encoding="utf-8")
    message = refusal(str(tmp_path / "mine.yaml"), "student.network=types:build")
    assert f"{tmp_path}/types.py has a name that Python has taken: rename it" in message


@pytest.mark.parametrize("network", ["a b:c", ".x:y", "a..b:c", "x:y.z", "x:y z", ":", "a:"])
def test_what_can_be_no_factory_is_refused(network: str) -> None:
    assert "is no factory: write package.module:function" in refusal("digits", f"student.network='{network}'")


def test_an_exit_in_the_midst_of_training_is_told_as_the_user_s_own(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [digits, _self_]\nname: mine\n", encoding="utf-8")
    (tmp_path / "later.py").write_text(
        "import sys\nfrom torch import nn\n"
        "class Later(nn.Module):\n"
        "    def __init__(self, channels, classes):\n"
        "        super().__init__()\n"
        "        self.layer, self.calls = nn.Linear(channels * 64, classes), 0\n"
        "    def forward(self, x):\n"
        "        self.calls += self.training\n"
        "        if self.calls > 2: sys.exit(0)\n"
        "        return self.layer(x.flatten(1))\n",
        encoding="utf-8",
    )
    asked = [
        "teacher.network=later:Later",
        "teacher.arguments=null",
        "data.image_size=8",
        "student.arguments={width: 4}",
    ]
    done = cli("run", "mine.yaml", *asked, "--json", cwd=tmp_path)
    assert done.code == 70, done.err
    assert f"your own code, {tmp_path}/later.py, line 9, raised SystemExit: 0" in done.err
    assert done.json["verdict"] is None


def test_more_threads_than_cores_are_refused(cli: Cli, tmp_path: Path) -> None:
    profile = "name: wide\nruntime: openvino-cpu\nthreads: 200\n"
    (tmp_path / "wide.yaml").write_text(profile, encoding="utf-8")
    done = cli("run", "digits", f"targets=[{tmp_path}/wide.yaml]", "--out", str(tmp_path / "run"))
    assert done.code == 2
    assert "target wide has 200 threads, this machine" in done.err


def test_a_folder_that_cannot_be_written_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = cli("run", "digits", "--out", str(tmp_path / "file" / "run"))
    assert done.code == 2
    assert "cannot be written: Not a directory" in done.err


@pytest.mark.parametrize(("signal_sent", "code", "word"), [(2, 130, "interrupted"), (15, 143, "terminated")])
def test_an_interrupt_says_that_nothing_is_lost(
    tmp_path: Path, signal_sent: int, code: int, word: str
) -> None:
    process = subprocess.Popen(
        command("run", "digits", "--out", str(tmp_path / "run")),
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if " teacher (" in line:
            break
    time.sleep(1.5)
    process.send_signal(signal_sent)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == code
    assert f"edgecomp: {word}; what was finished is kept" in rest
    assert "Traceback" not in rest
