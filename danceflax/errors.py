"""The two exceptions that mean "the input is at fault": shown to a person as one line, never as a
traceback."""


class UserError(Exception):
    """A mistake in what the user gave: the message says what, where, what was expected and what to
    do."""


class BadSampleError(UserError):
    """One sample of a data set cannot be read; a loader may skip it, count it and report it."""
