"""Names of the jobs that a notification of a worker names. A job carries no data: the row in PostgreSQL is the job."""

PROJECT_EVENTS = "project_events"
PUBLISH_POSTS = "publish_posts"

QUEUE = "landfall:jobs"
"""The key of arq's queue in Redis."""
