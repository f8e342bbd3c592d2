"""Touching the disk, processes and the screen: one way each."""
