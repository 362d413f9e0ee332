"""Who may come in: tenants, users, sessions, second factors, API keys, and the note of what each did."""
