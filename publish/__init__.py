"""User to platform: OAuth, the token vault, and the publishing state machines."""
