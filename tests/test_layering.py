"""Imports run one way (docs/architecture.md)."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "danceflax"
LEAVES = {"config_checks", "errors", "external", "people", "skeleton"}

# What each room of the package may import of the package, besides itself and the leaves.
ALLOWED = {
    "io": set(),
    "flow": set(),
    "data": {"flow", "io"},  # of the loader, where it is asked for
    "prepare": {"api", "data", "io", "pose"},  # keypoints runs a network
    "models": set(),
    "weights": {"io"},
    "training": {"data", "io", "models"},
    "pose": {"data", "io", "models", "training"},
    "dance": {"data", "io", "models", "pose", "training"},
    "report": {"dance", "data", "io", "pose", "training"},
    "export": {"dance", "io", "models", "pose"},
    "api": {"cli", "dance", "io", "models", "pose", "training"},
    "study": {"io", "prepare", "training"},  # runs the scripts; looks at checkpoints
    "__main__": {"__version__", "cli", "io"},
    "app": {"api", "dance", "io", "pose", "training"},
    "cli": {"io"},
    "scripts": {
        "__version__", "api", "app", "cli", "configs", "dance", "data", "export", "io", "models",
        "pose", "report", "study", "training", "weights",
    },
}  # fmt: skip
# Packages that a part must not import.
FORBIDDEN = {
    "flow": {"cv2", "flax"},
    "models": {"cv2", "optax", "orbax", "pandas", "grain"},
    "io": {"jax", "flax", "optax"},
    "data": {"jax", "flax", "optax"},
    "prepare": {"jax", "flax", "optax"},
    "study": {"jax", "flax", "optax", "orbax"},
    "weights": {"jax", "flax", "cv2", "pandas", "torch", "orbax"},
    "skeleton": {"jax", "flax", "cv2"},
    "errors": {"jax", "numpy"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if node.module == "danceflax":
                yield from (f"danceflax.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    allowed = LEAVES | {part} | ALLOWED.get(part, set())
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "danceflax":
            assert rest.split(".")[0] in allowed, f"{part} must not import {name}"
        assert package not in FORBIDDEN.get(part, ()), f"{part} must not import {package}"
