"""Optical flow on the device."""
