"""Write logs as JSON lines: an event with fields, never a payload, never a secret."""

import logging
import re
import sys
import traceback

import structlog
from structlog.typing import EventDict, Processor

# The last line of defence: fields that name a secret, and URLs that carry one. The first is not to log them.
_SECRET_FIELD = re.compile(r"secret|token|password|authorization|signature|cookie|dsn|api_?key", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")


def _redact(_: object, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if _SECRET_FIELD.search(key) and key != "secret_used":
            event[key] = "[redacted]"
        elif isinstance(value, str) and "://" in value:
            event[key] = _URL_PASSWORD.sub(r"\1[redacted]@", value)
    return event


def _trace(_: object, __: str, event: EventDict) -> EventDict:
    """Add the traceback of an error and of its causes.

    Of a database error only the kind and the SQLSTATE are written: its text repeats the values that it is about.
    """
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else sys.exc_info()[1] if given is True else given
    parts = []
    while isinstance(error, BaseException):
        database = type(error).__module__.partition(".")[0] == "asyncpg"
        text = getattr(error, "sqlstate", None) if database else str(error)
        last = f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__
        parts.append("Traceback (most recent call last):\n" + "".join(traceback.format_tb(error.__traceback__)) + last)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if parts:
        event["exception"] = "\n\n".join(reversed(parts))
    return event


def configure(level: str = "info") -> None:
    """Send structlog's and the standard library's lines to standard error, one JSON object each."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace,
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # Malformed HTTP is answered 400 by the parser; a stack trace for each would let anybody fill the disk. Our own
    # handlers log what goes wrong in them.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
