"""What `make bench-gpu` would run can be lowered for GPUs and TPUs here."""

import functools
import pathlib

from danceflax.models.openpose import OpenPoseBody25


def test_a_step_and_a_forward_pass_lower_for_accelerators(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    import bench_gpu

    small = functools.partial(OpenPoseBody25, 38, 19, 1, 1, width=0.1)
    for function, shapes in bench_gpu.make_programs(small, (2, 2), (64, 64, 3)).values():
        program = bench_gpu.lower(function, shapes, ("cuda", "tpu")).as_text()
        assert "bf16" in program and "stablehlo.convolution" in program
