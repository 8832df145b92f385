import json
import time

from running import Cli

from edgecomp import __version__


def test_help_answers_at_once_and_names_every_command(cli: Cli) -> None:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        done = cli("--help")
        times.append(time.perf_counter() - begin)
    assert done.code == 0
    for name in (
        "run",
        "distill",
        "export",
        "bench",
        "gate",
        "report",
        "targets",
        "doctor",
        "prepare-emulator",
    ):
        assert name in done.out
    assert min(times) < 0.4


def test_the_version_is_the_packages(cli: Cli) -> None:
    assert cli("--version").out == f"edgecomp {__version__}\n"


def test_targets_are_listed_with_their_budgets(cli: Cli) -> None:
    done = cli("targets")
    assert done.code == 0
    for part in ("openvino-cpu", "onnxruntime-cpu", "pytorch-cpu", "≤ 50 ms", "≤ 200 MiB"):
        assert part in done.out
    profiles = {profile["name"]: profile for profile in json.loads(cli("targets", "--json").out)}
    assert profiles["openvino-cpu"]["options"] == {"inference_precision": "f32"}


def test_doctor_says_what_this_machine_can_do(cli: Cli) -> None:
    done = cli("doctor")
    assert done.code == 0
    for part in (
        "runtime openvino-cpu",
        "runtime onnxruntime-cpu",
        "AVX2",
        "AVX-512",
        "VNNI",
        "BF16",
        "cgroup",
        "GPU",
    ):
        assert part in done.out
    findings = json.loads(cli("doctor", "--json").out)
    assert findings["runtime onnxruntime-cpu"]["available"] is True


def test_a_plan_runs_nothing(cli: Cli, tmp_path: object) -> None:
    done = cli("run", "digits", "--plan", "--out", f"{tmp_path}/none")
    assert done.code == 0
    assert "16 of 16 steps would run" in " ".join(done.out.split())
    assert "data" in done.out
