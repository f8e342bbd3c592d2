"""danceflax: train OpenPose and dance classifiers on video, in JAX."""

__version__ = "0.1.0"
