"""Pose estimation: augmentation, targets, losses, decoding, evaluation, drawing."""
