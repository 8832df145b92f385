"""Which convolutions have wrong gradients on this CPU, crash or never end: every small shape against float64.

    python benchmarks/conv_gradients.py --out found.jsonl
    python benchmarks/avx2_only python benchmarks/conv_gradients.py --out found-avx2.jsonl
    python benchmarks/conv_gradients.py --isa AVX2 --out found-avx2.jsonl      no CPUID faulting: oneDNN alone is told

Forward, and the gradients of input, weight and bias, of convolutions (plain, grouped, depthwise, transposed; one to three
axes) and linear layers, contiguous and channels-last, on one thread and two. Shapes are tried in forked processes, so that
one that dies or hangs costs a fork; what a process leaves unfinished is tried alone, and the rest go on in another. The
C library checks every block of memory for writes behind its end when it is freed, and fills new ones with 3.4e38, so that
what would only sometimes show does every time. A file of results is gone on from.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

CHECKED = "glibc.malloc.check=3:glibc.malloc.perturb=128"
CHECKER = "libc_malloc_debug.so.0"
LIMIT_S = 20.0  # for one shape; each takes a few milliseconds
CHUNK = 400
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
SHOWN = 12


class Case(NamedTuple):
    """`kind`: conv1d, conv2d, conv3d, deconv2d or linear; the network is one such layer on [batch, channels_in, size, ...]."""

    kind: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: int
    groups: int
    channels_in: int
    channels_out: int
    batch: int
    size: int
    layout: str
    dtype: str
    threads: int

    @property
    def key(self) -> str:
        return json.dumps(self)


def sweeps(quick: bool) -> Iterator[Case]:
    """All cases, the likeliest first."""
    ins = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17) if quick else tuple(range(1, 19))
    outs = (1, 6, 12, 16) if quick else (1, 2, 3, 6, 8, 12, 16, 17, 24)
    layouts, threads = ("channels_last", "contiguous"), (1, 2)
    # Images so large that a kernel takes one in parts.
    for stride, ci, co, size, workers, dtype in itertools.product(
        (2, 4), range(1, 19), (8, 12, 16), (64, 128), threads, TOLERANCE
    ):
        yield square(1, stride, 0, 1, ci, co, 16, size, "channels_last", dtype, workers)
    for kernel, stride, layout, workers in itertools.product((1, 2, 3, 5), (1, 2, 3), layouts, threads):
        for padding, ci, co, batch, size in itertools.product(
            sorted({0, kernel // 2}), ins, outs, (1, 16), (7, 12)
        ):
            grouped = [1, *([2] if ci % 2 == 0 and co % 2 == 0 else []), *([ci] if co % ci == 0 else [])]
            for groups in dict.fromkeys(grouped):
                yield square(kernel, stride, padding, groups, ci, co, batch, size, layout, "float32", workers)
    for kernel, stride, ci, co, layout, workers in itertools.product(
        (1, 3), (1, 2), ins, outs, layouts, threads
    ):
        yield square(kernel, stride, kernel // 2, 1, ci, co, 16, 12, layout, "bfloat16", workers)
    for stride, ci, co, batch, size, workers in itertools.product(
        (2, 3), ins, outs, (2, 3, 40), (6, 24), threads
    ):
        yield square(1, stride, 0, 1, ci, co, batch, size, "channels_last", "float32", workers)
    for kernel, stride, ci, co, layout, workers in itertools.product(
        (1, 3), (1, 2), (3, 8, 12), (8, 12), layouts, threads
    ):
        yield square(kernel, stride, kernel // 2, 1, ci, co, 8, 128, layout, "float32", workers)
    # Wider layers; images of one pixel, strides of one axis, padded 1×1.
    for stride, ci, co, size, workers in itertools.product(
        (1, 2, 3), (20, 23, 28, 31, 33, 41, 63, 65, 100), (3, 16, 40, 96), (1, 6, 36), threads
    ):
        yield square(1, stride, 0, 1, ci, co, 4, size, "channels_last", "float32", workers)
    for strides, ci, co, size, padding, workers in itertools.product(
        ((1, 2), (2, 1), (2, 3), (2, 2), (4, 4)), ins, (3, 8, 12, 32), (1, 5, 12, 32), (0, 1), threads
    ):
        yield Case(
            "conv2d", (1, 1), strides, padding, 1, ci, co, 4, size, "channels_last", "float32", workers
        )
    for kind, axes in (("conv1d", 1), ("conv3d", 3), ("deconv2d", 2)):
        for kernel, stride, ci, co, layout, workers in itertools.product(
            (1, 3), (1, 2), ins, (1, 3, 6, 12, 16), layouts, threads
        ):
            if kind == "conv1d" and layout == "channels_last":
                continue  # torch has no such layout for [N, C, L]
            yield Case(kind, (kernel,) * axes, (stride,) * axes, kernel // 2, 1, ci, co, 4, 9, layout,
                       "float32", workers)  # fmt: skip
    for ci, co, workers, dtype in itertools.product(ins, outs, threads, TOLERANCE):
        yield Case("linear", (), (), 0, 1, ci, co, 8, 0, "contiguous", dtype, workers)


def square(
    kernel: int, stride: int, padding: int, groups: int, ci: int, co: int, batch: int, size: int,
    layout: str, dtype: str, threads: int,
) -> Case:  # fmt: skip
    kernels, strides = (kernel, kernel), (stride, stride)
    return Case("conv2d", kernels, strides, padding, groups, ci, co, batch, size, layout, dtype, threads)


def errors(case: Case) -> dict[str, float]:
    """Relative errors (norms) of output and gradients against float64: the worse of two tries."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(case.threads)
    exact, layer = layer_of(case).double(), layer_of(case)
    exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    sizes = (case.size,) * len(case.kernel)
    x = torch.randn(case.batch, case.channels_in, *sizes)
    with torch.no_grad():
        upstream = torch.randn_like(layer(x))
    wanted = results(exact, x.double(), upstream.double())
    if case.layout == "channels_last":
        order = torch.channels_last if len(case.kernel) == 2 else torch.channels_last_3d
        layer.to(memory_format=order)  # type: ignore[call-overload]
        x, upstream = x.contiguous(memory_format=order), upstream.contiguous(memory_format=order)
    worst: Counter[str] = Counter()
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=case.dtype == "bfloat16"):
            found = results(layer, x, upstream)
        for name, value in found.items():
            error = float((value.double() - wanted[name]).norm() / wanted[name].norm().clamp_min(1e-12))
            worst[name] = max(worst[name], float("inf") if math.isnan(error) else error)
    return dict(worst)


def layer_of(case: Case):  # type: ignore[no-untyped-def]  # torch is imported late
    from torch import nn

    if case.kind == "linear":
        return nn.Linear(case.channels_in, case.channels_out)
    kinds = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d, "deconv2d": nn.ConvTranspose2d}
    return kinds[case.kind](
        case.channels_in,
        case.channels_out,
        case.kernel,
        case.stride,
        case.padding,
        groups=case.groups,
    )


def results(layer, x, upstream):  # type: ignore[no-untyped-def]
    layer.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    y = layer(x)
    y.backward(upstream.to(y.dtype))
    return {
        "output": y.detach(),
        "input": x.grad,
        "weight": layer.weight.grad.detach().clone(),
        "bias": layer.bias.grad,
    }


def work(cases: Sequence[Case], pipe: Connection) -> None:
    """In a fork: says of each case what came out, up to the first that is wrong: what follows that one proves nothing."""
    for case in cases:
        found = errors(case)
        wrong = {name: error for name, error in found.items() if error > TOLERANCE[case.dtype]}
        pipe.send(("wrong", wrong) if wrong else ("right", {}))
        if wrong:
            break
    pipe.close()
    os._exit(0)


def attempt(cases: Sequence[Case]) -> Iterator[tuple[Case, str, dict[str, float]]]:
    """What comes out of the first of `cases`, in one fork; at the last one yielded it may have died or hung."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        os.close(2)  # "free(): invalid size", over and over
        work(cases, theirs)
    theirs.close()
    for case in cases:
        if not ours.poll(LIMIT_S):
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            yield case, "hangs", {}
            return
        try:
            yield case, *ours.recv()
        except EOFError:
            status = os.waitpid(pid, 0)[1]
            if status:
                yield case, f"signal {os.WTERMSIG(status)}", {}
            return
    os.waitpid(pid, 0)


def tried(cases: Sequence[Case]) -> Iterator[tuple[Case, str, dict[str, float]]]:
    """Every case once; one that a process died at or hung in once more, alone: another may have spoilt its memory."""
    left = list(cases)
    while left:
        done = list(attempt(left))
        left = left[len(done) :]
        for case, how, wrong in done:
            if how in ("right", "wrong"):
                yield case, how, wrong
            else:
                [again] = attempt([case])
                yield case, f"{how}, alone {again[1]}", again[2]


def summary(rows: Iterable[tuple[Case, str]]) -> str:
    """By kind, layout and precision: which kernels, strides and channels came out wrong."""
    bad: dict[tuple[str, ...], list[tuple[Case, str]]] = {}
    for case, how in rows:
        if how != "right":
            group = (case.kind, case.layout, case.dtype, f"kernel {case.kernel}", f"stride {case.stride}")
            bad.setdefault((*group, f"padding {case.padding}"), []).append((case, how))
    lines = []
    for group, found in bad.items():
        lines.append(f"{', '.join(group)}: {len(found)} cases")
        for name in ("groups", "channels_in", "channels_out", "batch", "size", "threads"):
            lines.append(f"    {name}: {sorted({getattr(case, name) for case, _ in found})}")
        lines.append(f"    {dict(Counter(how for _, how in found).most_common(SHOWN))}")
    return "\n".join(lines) or "every case is right"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="results; gone on from")
    parser.add_argument("--isa", help="oneDNN's ONEDNN_MAX_CPU_ISA: SSE41, AVX, AVX2, AVX2_VNNI, ...")
    parser.add_argument("--quick", action="store_true", help="fewer channels")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth case; a prime number")
    parser.add_argument("--only", default="", help="cases whose kind is this")
    arguments = parser.parse_args()
    if os.environ.get("GLIBC_TUNABLES") != CHECKED:
        os.environ["GLIBC_TUNABLES"] = CHECKED
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["LD_PRELOAD"] = f"{os.environ.get('LD_PRELOAD', '')} {CHECKER}".strip()
        if arguments.isa:
            os.environ["ONEDNN_MAX_CPU_ISA"] = arguments.isa
        os.execv(sys.executable, [sys.executable, *sys.argv])
    import torch  # once, before the forks

    known = {}
    if arguments.out.exists():
        for line in arguments.out.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            known[json.dumps(row["case"])] = row
    cases = [case for case in dict.fromkeys(sweeps(arguments.quick)) if case.kind.startswith(arguments.only)]
    cases = cases[:: arguments.every]
    left = [case for case in cases if case.key not in known]
    with arguments.out.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), CHUNK):
            for case, how, wrong in tried(left[start : start + CHUNK]):
                row = {"case": case, "how": how, "errors": wrong}
                known[case.key] = row
                file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"\r{start + CHUNK} of {len(left)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rows = [(case, known[case.key]["how"]) for case in cases]
    print(f"{len(rows)} cases, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    print(summary(rows))


if __name__ == "__main__":
    main()
