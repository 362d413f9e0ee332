"""One file per platform that sends webhooks; each defines ``PLATFORM``, a ``Webhook``."""
