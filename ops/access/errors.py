"""Errors that several modules of access raise."""


class ValidationError(Exception):
    """Raised where input is not valid. The text says why, as a phrase without a full stop."""


class RoleChangedError(Exception):
    """Raised where whoever asks has another role by now, or none."""
