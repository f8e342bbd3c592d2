"""Evaluations as one HTML file that needs no network; see docs/reports.md."""
