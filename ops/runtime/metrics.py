"""Define every metric. Labels come from closed sets (platform names, stages, reasons), never from ids."""

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


@cache
def of(metric: Metric, *labels: str) -> Metric:
    """Return the series of ``metric`` with these labels, cached: ``metric.labels()`` takes longer than counting."""
    return metric.labels(*labels)


_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

deliveries = Counter(
    "landfall_ingest_deliveries_total", "Webhook requests, by how they were answered", ["platform", "outcome"]
)
refusals = Counter("landfall_ingest_refusals_total", "Webhook requests refused, by reason", ["platform", "reason"])
events = Counter("landfall_ingest_events_total", "Events in accepted deliveries", ["platform", "outcome"])
secret_matches = Counter(
    "landfall_ingest_secret_matches_total",
    "Which configured secret a signature matched",
    ["platform", "secret"],
)
ingest_seconds = Histogram(
    "landfall_ingest_seconds", "From request to answer, for accepted deliveries", ["platform"], buckets=_FAST
)
commit_batch = Histogram(
    "landfall_ingest_commit_deliveries", "Deliveries that shared a commit", buckets=(1, 2, 4, 8, 16, 32, 64)
)
commit_seconds = Histogram("landfall_ingest_commit_seconds", "One commit of the log", buckets=_FAST)
commit_failures = Counter("landfall_ingest_commit_failures_total", "Commits that failed", ["reason"])
ingest_waiting = Gauge("landfall_ingest_waiting_deliveries", "Deliveries that wait for a commit")
ingest_waiting_bytes = Gauge("landfall_ingest_waiting_bytes", "Bytes of bodies held in memory")

spool_deliveries = Gauge("landfall_spool_deliveries", "Deliveries in the spool that are not in PostgreSQL yet")
spool_bytes = Gauge("landfall_spool_bytes", "Bytes of files that the spool takes, those set aside included")
spool_limit_bytes = Gauge("landfall_spool_limit_bytes", "Bytes that the spool may take; 0 where there is none")
spool_oldest_seconds = Gauge("landfall_spool_oldest_seconds", "Age of the oldest delivery in the spool")
spool_files_aside = Gauge(
    "landfall_spool_files_aside", "Files of the spool that were kept for a person, by why", ["reason"]
)
spool_appended = Counter("landfall_spool_appended_total", "Deliveries written to the spool")
spool_drained = Counter("landfall_spool_drained_total", "Deliveries of the spool that are in PostgreSQL")
spool_failures = Counter("landfall_spool_failures_total", "Writes that the spool did not take", ["reason"])
spool_append_seconds = Histogram("landfall_spool_append_seconds", "One write to the spool and its fsync", buckets=_FAST)

split_deliveries = Counter(
    "landfall_split_deliveries_total", "Deliveries split into events, by what they were", ["platform", "verdict"]
)
split_batch = Histogram(
    "landfall_split_batch_deliveries", "Deliveries split in one transaction", buckets=(1, 10, 25, 50, 100, 250)
)
split_seconds = Histogram("landfall_split_batch_seconds", "One transaction of the splitter", buckets=_FAST)
split_backlog = Gauge("landfall_split_backlog_deliveries", "Deliveries that wait to be split")
split_oldest_seconds = Gauge(
    "landfall_split_backlog_oldest_seconds", "Age of the oldest delivery that waits to be split"
)

projected = Counter("landfall_sync_events_total", "Events taken off the queue", ["platform", "outcome"])
rows_written = Counter("landfall_sync_rows_total", "CRM rows offered to PostgreSQL", ["table"])
project_batch = Histogram(
    "landfall_sync_batch_events",
    "Events projected in one transaction",
    buckets=(1, 10, 50, 100, 250, 500, 1000),
)
project_seconds = Histogram("landfall_sync_batch_seconds", "One projection transaction", buckets=_FAST)
wait_seconds = Histogram(
    "landfall_sync_wait_seconds",
    "From when events were received to the start of their projection, once for each commit that received some",
    ["platform"],
    buckets=_SLOW,
)
end_to_end_seconds = Histogram(
    "landfall_webhook_processing_seconds",
    "From when events were received to their CRM rows, once for each commit that received some",
    ["platform"],
    buckets=_SLOW,
)
sweep_failures = Counter("landfall_sync_sweep_failures_total", "Rounds of the worker that raised", ["reason"])
notifications = Counter("landfall_worker_notifications_total", "Notifications of a worker through Redis", ["outcome"])
notifier_restarts = Counter(
    "landfall_worker_notifier_restarts_total", "Times the listener for notifications was rebuilt after it failed"
)

backlog = Gauge("landfall_backlog_events", "Events that wait, due or not")
oldest_due_seconds = Gauge("landfall_backlog_oldest_due_seconds", "Age of the oldest event that is due")
unsettled = Gauge("landfall_unsettled_events", "Events that wait for a person", ["state"])
backlog_updated = Gauge("landfall_backlog_updated_timestamp_seconds", "When the backlog was last counted")

partition_months_ahead = Gauge("landfall_partition_months_ahead", "Months to come for which the log has partitions")
misplaced_rows = Gauge(
    "landfall_partition_misplaced_rows", "1 while rows of the log stand outside of the partition of their month"
)

drifted_rows = Gauge("landfall_crm_drifted_rows", "CRM rows that were not what the log says, when last verified")
verified_at = Gauge("landfall_crm_verified_timestamp_seconds", "When `landfall verify` last ended")

pool_size = Gauge("landfall_pool_max_connections", "Connections the pool may hold", ["pool"])
pool_in_use = Gauge("landfall_pool_in_use_connections", "Connections in use", ["pool"])
pool_waiting = Gauge("landfall_pool_waiting", "Tasks that wait for a connection", ["pool"])
pool_timeouts = Counter("landfall_pool_timeouts_total", "Waits for a connection that were given up", ["pool"])
database_conflicts = Counter(
    "landfall_database_conflicts_total",
    "Transactions that PostgreSQL ended because of what another one held; they are tried again",
    ["pool", "kind"],
)
http_connections = Gauge("landfall_http_connections", "Open connections of clients to the public port")
http_connections_limit = Gauge(
    "landfall_http_connections_limit", "Connections beyond which the least useful one is closed"
)
http_connections_closed = Counter(
    "landfall_http_connections_closed_total", "Connections closed because there were too many", ["reason"]
)
loop_lag_seconds = Gauge("landfall_event_loop_lag_seconds", "How late the event loop ran its last timer")

access_refusals = Counter("landfall_access_refusals_total", "Credentials that were refused, by reason", ["reason"])
rate_limit_hits = Counter("landfall_rate_limit_hits_total", "Requests told to wait, by endpoint", ["endpoint"])
oauth_flows = Counter("landfall_oauth_flows_total", "Attempts to connect an account", ["platform", "outcome"])
subscriptions = Gauge(
    "landfall_subscriptions",
    "Connections whose events are subscribed to, by what the platform shows",
    ["platform", "state"],
)
subscription_checks = Counter(
    "landfall_subscription_checks_total", "Looks at subscriptions, by what came of them", ["platform", "outcome"]
)
accounts_heard = Gauge(
    "landfall_accounts_heard",
    "Accounts with a history of webhooks, by whether they are heard or silent",
    ["platform", "state"],
)
webhooks_lost_seconds = Gauge(
    "landfall_webhooks_lost_seconds",
    "How much of the outages of the last week a platform's repetitions missed",
    ["platform"],
)
token_refreshes = Counter("landfall_token_refreshes_total", "Refreshes of tokens", ["platform", "outcome"])
targets = Counter(
    "landfall_posts_total", "Targets of posts that came to an end, or to a person, by state", ["platform", "state"]
)
target_steps = Counter(
    "landfall_post_steps_total", "Steps of targets, by what their requests came to", ["platform", "verdict"]
)
step_seconds = Histogram(
    "landfall_post_step_seconds", "One request for a target, with its file", ["platform"], buckets=_SLOW
)
post_unknown_errors = Counter(
    "landfall_post_unknown_errors_total", "Errors of platforms that are in no catalogue", ["platform"]
)
posts_unconfirmed = Gauge("landfall_posts_unconfirmed", "Targets whose outcome nothing tells", ["platform"])
posts_overdue = Gauge(
    "landfall_posts_overdue", "Targets due more than 5 minutes ago that nobody works on", ["platform"]
)
post_quota_left = Gauge(
    "landfall_post_quota_left", "Posts left to the account that has published the most in its window", ["platform"]
)
post_quota_limit = Gauge("landfall_post_quota_limit", "Posts that this quota allows in its window", ["platform"])
occurrences = Counter(
    "landfall_occurrences_total", "Occurrences of posts that repeat, by what became of them", ["outcome"]
)
mails = Counter("landfall_mails_total", "Mails about notices, one for each person", ["outcome"])
platform_seconds = Histogram(
    "landfall_platform_seconds", "One conversation with a platform", ["platform"], buckets=_SLOW
)
platform_clock_skew = Gauge(
    "landfall_platform_clock_skew_seconds", "How far the clock of a platform is ahead, as last heard", ["platform"]
)
rate_limit_used = Gauge(
    "landfall_platform_budget_used_ratio", "The fullest budget that was lately heard of or is spent", ["platform"]
)
connections = Gauge("landfall_connections", "Connected accounts, by state", ["platform", "state"])
connections_ending = Gauge(
    "landfall_connections_ending", "Active accounts whose access ends within so many days", ["platform", "days"]
)

pull_calls = Counter("landfall_pull_calls_total", "Requests sent to read accounts, by task", ["platform", "task"])
pull_pages = Counter("landfall_pull_pages_total", "Pages that were read and stored, by task", ["platform", "task"])
pull_objects = Counter(
    "landfall_pull_objects_total",
    "Objects that were read, by what came of it: appended, unchanged, or gone",
    ["platform", "outcome"],
)
pull_skipped = Counter(
    "landfall_pull_skipped_total", "Tasks that are not carried out, by the word of the reason", ["platform", "reason"]
)
pull_problems = Counter(
    "landfall_pull_problems_total", "Pages that failed, by kind of the problem", ["platform", "kind"]
)
pull_page_seconds = Histogram(
    "landfall_pull_page_seconds", "One page, from the first request to the commit", ["platform"], buckets=_SLOW
)
drift_rows = Gauge(
    "landfall_drift_rows",
    "Rows that were not what the platform said when each account was last compared",
    ["platform", "finding"],
)
drift_checked_at = Gauge(
    "landfall_drift_checked_timestamp_seconds", "When the account was compared that was so longest ago", ["platform"]
)
pull_due = Gauge(
    "landfall_pull_due_tasks", "Due tasks of connected accounts, by their priority", ["platform", "priority"]
)
pull_oldest_due = Gauge(
    "landfall_pull_oldest_due_seconds",
    "How long the oldest of them has been due, by their priority",
    ["platform", "priority"],
)

exports = Counter(
    "landfall_exports_total", "Exports over HTTP, by view and by how they ended: whole or cut_off", ["view", "outcome"]
)
media_bytes = Counter(
    "landfall_media_uploaded_bytes_total", "Bytes of files that were taken, by how they came", ["way"]
)
media_refusals = Counter("landfall_media_refusals_total", "Files, or parts of files, that were refused", ["reason"])
media_storage_failures = Counter(
    "landfall_media_storage_failures_total", "What the storage of files did not do", ["operation", "reason"]
)

MEASURED: Mapping[str, tuple[Counter | Gauge | Histogram, ...]] = MappingProxyType(
    {
        "web": (
            *(deliveries, refusals, secret_matches, ingest_seconds, commit_batch, commit_seconds),
            *(commit_failures, ingest_waiting, ingest_waiting_bytes, notifications),
            *(http_connections, http_connections_limit, http_connections_closed),
            *(access_refusals, rate_limit_hits, oauth_flows),
            *(spool_deliveries, spool_bytes, spool_limit_bytes, spool_oldest_seconds, spool_files_aside),
            *(spool_appended, spool_drained, spool_failures, spool_append_seconds),
            *(media_bytes, media_refusals, exports),
        ),
        "worker": (
            *(events, split_deliveries, split_batch, split_seconds, split_backlog, split_oldest_seconds),
            *(projected, rows_written, project_batch, project_seconds, wait_seconds, end_to_end_seconds),
            *(sweep_failures, notifier_restarts, backlog, oldest_due_seconds, unsettled, backlog_updated),
            *(partition_months_ahead, misplaced_rows),
            *(drifted_rows, verified_at, mails, rate_limit_used, connections, connections_ending),
            *(subscriptions, subscription_checks, accounts_heard, webhooks_lost_seconds),
            *(targets, target_steps, step_seconds, posts_unconfirmed, posts_overdue, post_quota_left),
            *(post_quota_limit, occurrences, post_unknown_errors),
            *(pull_calls, pull_pages, pull_objects, pull_skipped, pull_problems, pull_page_seconds),
            *(pull_due, pull_oldest_due, drift_rows, drift_checked_at),
        ),
    }
)
"""What only one kind of process measures. Every process measures the others."""


class _Measured(Collector):
    """The metrics of one kind of process: in another one a gauge would stand at 0, as if that had been measured."""

    def __init__(self, process: str) -> None:
        others = (metric for kind, metrics in MEASURED.items() if kind != process for metric in metrics)
        self._hidden = {family.name for metric in others for family in metric.describe()}

    def collect(self) -> Iterator[Family]:
        return (family for family in REGISTRY.collect() if family.name not in self._hidden)


def exposition(process: str) -> bytes:
    """Return the content of `/metrics` in Prometheus' text format. ``process`` is a key of ``MEASURED``."""
    return generate_latest(_Measured(process))
