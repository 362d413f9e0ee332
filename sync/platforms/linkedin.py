"""What LinkedIn's events mean: those of our own publishing. Its webhooks (``linkedin.md`` 2) are not taken yet."""

from sync.platforms._targets import TARGET_HANDLERS
from sync.projection.contract import Projection

PLATFORM = Projection(version=1, handlers=TARGET_HANDLERS)
