"""Errors of this application that a user can do something about, so that they need no traceback."""


class TrainingError(RuntimeError):
    """The loss or its gradient is NaN or infinite; the message names the epoch, the step and the clips."""


class NotFiniteError(ValueError):
    """A parser's weights, or what it makes of some clips, are NaN or infinite."""
