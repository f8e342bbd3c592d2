"""What JAX is told before it starts: where compiled programs stay, and how a CPU convolves."""

import importlib.metadata
import os
import pathlib
import platform
import zlib
from collections.abc import MutableMapping

SIZE = 2 << 30  # bytes; the programs unused for longest go first

# XLA's CPU backend hands convolutions to a library (YNN) that takes half as long again in a step of
# the networks here, and keeps two cores less busy. XLA ends a process by a flag it does not know.
CONVOLUTIONS = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
# It takes up to twice the memory in order that operations may run side by side, where one operation
# of these networks keeps all cores busy.
SCHEDULE = "--xla_cpu_scheduler_type=CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"
KNOWN = (0, 10), (0, 12)  # first and last jaxlib that are known to have them


def choose_convolutions(environment: MutableMapping[str, str] = os.environ) -> None:
    """Lets XLA convolve on the CPU by what is fastest there, and order operations so that little is
    held; a user's own word on either holds."""
    version = importlib.metadata.version("jaxlib").split(".")
    if not KNOWN[0] <= (int(version[0]), int(version[1])) <= KNOWN[1]:
        return
    for flag in (CONVOLUTIONS, SCHEDULE):
        own = environment.get("XLA_FLAGS", "")
        if flag.partition("=")[0] not in own:
            environment["XLA_FLAGS"] = f"{own} {flag}".strip()


def keep_programs(environment: MutableMapping[str, str] = os.environ) -> None:
    """Lets JAX, which is to be imported later, keep what it compiles in the user's cache folder.

    What the user says of it by JAX's own variables holds: JAX_COMPILATION_CACHE_DIR is another
    place, JAX_ENABLE_COMPILATION_CACHE=false turns it off. A folder that cannot be written is none.
    """
    if "JAX_COMPILATION_CACHE_DIR" in environment:
        return
    cache = environment.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    folder = pathlib.Path(cache, "danceflax", f"xla-{name_machine()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if os.access(folder, os.W_OK):
        environment["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        environment.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(SIZE))


def name_machine() -> str:
    """A name for machines whose processors can run the same programs: homes may be shared."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    features = [line for line in lines if line.startswith(("flags", "Features"))] or lines
    return f"{platform.machine()}-{zlib.crc32(features[0].encode()):08x}"
