"""Log to CRM tables: pure functions of events, applied in one transaction with the progress mark."""
