"""Name what is wrong with a schedule that somebody asks for."""


class ScheduleError(Exception):
    """The schedule cannot be accepted: ``message`` says why, ``remedy`` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
