"""What `make bench-gpu` would run can be lowered for GPUs and TPUs here."""

import pathlib


def test_a_step_and_a_forward_pass_lower_for_accelerators(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    import bench_gpu

    for function, shapes in bench_gpu.make_programs("demo", (2, 2), (64, 64, 3)).values():
        program = bench_gpu.lower(function, shapes, ("cuda", "tpu")).as_text()
        assert "bf16" in program and "stablehlo.convolution" in program
