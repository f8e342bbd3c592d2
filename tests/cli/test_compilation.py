"""Where compiled programs stay, and how a CPU convolves."""

import os
import subprocess
import sys

from danceflax.cli.compilation import (
    CONVOLUTIONS,
    SCHEDULE,
    choose_convolutions,
    keep_programs,
    name_machine,
)


def test_the_users_own_settings_hold(tmp_path):
    own = {"JAX_COMPILATION_CACHE_DIR": "elsewhere", "XDG_CACHE_HOME": str(tmp_path)}
    before = dict(own)
    keep_programs(own)
    assert own == before and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_none(tmp_path):
    (tmp_path / "danceflax").write_text("a file in its place")
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    keep_programs(environment)
    assert environment == {"XDG_CACHE_HOME": str(tmp_path)}


def test_what_a_process_compiled_the_next_reads(tmp_path):
    program = (
        "from danceflax.cli.compilation import keep_programs; keep_programs(); import jax\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        "from jax._src import monitoring\n"
        "monitoring.register_event_listener(lambda event, **_: print(event))\n"
        "jax.jit(lambda x: x * 2 + 1)(3.0)"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    command = [sys.executable, "-c", program]
    said = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert "cache_misses" in said[0] and "cache_hits" not in said[0]
    assert "cache_hits" in said[1] and "cache_misses" not in said[1]
    assert list((tmp_path / "danceflax" / f"xla-{name_machine()}").glob("*-cache"))


def test_the_choice_of_convolutions_leaves_the_users_flags():
    own = {"XLA_FLAGS": "--xla_dump_to=x --xla_cpu_experimental_ynn_fusion_type=dot"}
    before = own["XLA_FLAGS"]
    choose_convolutions(own)
    assert own["XLA_FLAGS"] == f"{before} {SCHEDULE}"
    other = {"XLA_FLAGS": "--xla_dump_to=x"}
    choose_convolutions(other)
    assert other["XLA_FLAGS"].split() == ["--xla_dump_to=x", CONVOLUTIONS, SCHEDULE]
    before = dict(other)
    choose_convolutions(other)
    assert other == before


def test_xla_knows_the_flags():
    program = (
        "from danceflax.cli.compilation import choose_convolutions; choose_convolutions()\n"
        "import jax; print(jax.jit(lambda x: x + 1)(1))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
