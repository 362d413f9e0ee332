"""Platform to log: a signed request becomes durable events, and only then an answer."""
