"""Infrastructure without business terms: settings, logs, metrics, connections, worker notifier, embedded servers."""
