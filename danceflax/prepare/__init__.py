"""Making data sets ready: one module a command of prepare_data.py."""
