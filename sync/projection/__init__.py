"""From the log to the CRM tables: facts of events, the worker that projects them, and the SQL that writes them."""
