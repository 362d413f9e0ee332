"""One module per platform; each defines ``PLATFORM``, a subclass of ``ops.sandbox.contract.Platform``."""
