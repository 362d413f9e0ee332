"""What Mastodon's events mean: those of our own publishing. Its webhooks (``mastodon.md`` 7) are not taken yet."""

from sync.platforms._targets import TARGET_HANDLERS
from sync.projection.contract import Projection

PLATFORM = Projection(version=1, handlers=TARGET_HANDLERS)
