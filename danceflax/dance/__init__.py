"""Dance classifiers: where clips, networks and pose maps meet; the scripts share it."""
