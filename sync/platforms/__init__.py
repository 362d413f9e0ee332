"""One file per platform whose events mean something to the CRM; each defines ``PLATFORM``, a ``Projection``."""
