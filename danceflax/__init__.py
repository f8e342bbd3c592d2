"""danceflax: train OpenPose and dance classifiers on video, in JAX."""

__version__ = "0.2.0"
__all__ = ["create_model", "load_checkpoint", "load_predictor"]


def __getattr__(name):
    # Imported on first use: `import danceflax.errors` must not pull in jax.
    if name in __all__:
        from danceflax import api

        return getattr(api, name)
    raise AttributeError(f"module 'danceflax' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
