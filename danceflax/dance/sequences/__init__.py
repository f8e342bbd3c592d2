"""Dance from keypoints alone: people followed, made alike, and read as sequences."""
