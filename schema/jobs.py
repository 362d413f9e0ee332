"""Names of the jobs a doorbell may ring for. A job carries no data: the row in PostgreSQL is the job."""

PROJECT_EVENTS = "project_events"
