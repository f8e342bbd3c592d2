"""Training: parameter groups, the step, devices, checkpoints, the loop and its reports.

Nothing here knows what is trained: models, losses and data come in as functions.
"""
