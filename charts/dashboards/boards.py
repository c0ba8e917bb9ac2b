"""What is on each dashboard. Every metric stands in docs/metrics.md."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from charts.dashboards.panels import (
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    WHOLE,
    Query,
    against,
    board,
    choice,
    curves,
    number,
    rows,
)

NAMED = 'on (run) group_left (name) periscope_run_info{run=~"$run"}'
ALL_NAMED = "on (run) group_left (name) periscope_run_info"
FIGURES = {
    "precision": "Hits among detections at IoU 0.7",
    "recall": "Hits among objects at IoU 0.7",
    "digits_map": "DIGITS's mAP: precision x recall, mean over batches of 6",
    "pooled_map": "The same over the whole validation set",
}
ASKED = ',route!~"/livez|/readyz|/metrics"'
"""What people, programs and robots ask; not what Kubernetes and Prometheus do every few seconds."""
STATES = ("RUNNING", "QUEUED", "PENDING", "SUCCEEDED", "FAILED", "CANCELLED")


def training() -> dashboard.Dashboard:
    """Curves of the chosen runs, those that have ended among them."""
    page = board(
        "periscope-training",
        "Periscope: training curves",
        "Losses, figures and learning rate of the runs that you choose; a run stays selectable after its end.",
        [choice("run", "Run", "label_values(periscope_run_info, run)")],
    )
    newest = [
        Query(f'last_over_time({metric}{{run=~"$run"}}[$__range])', legend)
        for metric, legend in (
            ("periscope_run_info", ""),
            ("periscope_train_epoch", "epoch"),
            ("periscope_train_epochs", "of epochs"),
            ("periscope_train_progress_ratio", "progress"),
            ("periscope_train_attempts", "attempts"),
        )
    ]
    losses = [
        curves(
            f"loss_{part}",
            "Before its weight; training against validation",
            COUNT,
            [_of_run(f"periscope_train_loss_{part}", "train"), _of_run(f"periscope_val_loss_{part}", "val")],
        )
        for part in ("bbox", "coverage")
    ]
    figures = [
        curves(name, told, RATIO, [_of_run(f"periscope_val_{name}_ratio", "{{class}}")])
        for name, told in FIGURES.items()
    ]
    epoch = Query('periscope_train_epoch{run=~"$run"}', "epoch")
    return _with(
        page,
        [
            rows("Runs", "Newest figures of each chosen run", newest),
            *losses,
            *figures,
            curves(
                "Learning rate", "Of the newest step", "sci", [_of_run("periscope_train_learning_rate", "")]
            ),
            curves(
                "Epoch", "Fractions of an epoch among them", COUNT, [_of_run("periscope_train_epoch", "")]
            ),
            against(
                "loss_coverage against the epoch",
                "Of validation; one run at a time reads best",
                epoch,
                Query('periscope_val_loss_coverage{run=~"$run"}', "loss_coverage"),
            ),
            against(
                "digits_map against the epoch",
                "Mean over the classes",
                epoch,
                Query('avg by (run) (periscope_val_digits_map_ratio{run=~"$run"})', "digits_map"),
            ),
        ],
    )


def jobs() -> dashboard.Dashboard:
    """What runs, what waits and for what."""
    told = "What runs, what waits, for how long and why."
    numbers = [
        number(state, f"Jobs in {state}", COUNT, f'sum(periscope_jobs{{state="{state}"}}) or vector(0)')
        for state in STATES
    ]
    waits = "How long the oldest job of a state waits"
    silence = "Since the newest sign of life; an alert comes beyond half an hour"
    panels = {
        ("Jobs by state", "Of the leader", COUNT): Query("sum by (state) (periscope_jobs)", "{{state}}"),
        ("Pending, by cause", "What PENDING jobs wait for", COUNT): Query(
            "sum by (cause) (periscope_jobs_pending)", "{{cause}}"
        ),
        ("Longest wait", waits, SECONDS): Query(
            "max by (state) (periscope_job_oldest_wait_seconds)", "{{state}}"
        ),
        ("Speed", "Images trained a second", COUNT): Query(
            f"periscope_train_images_per_second * {ALL_NAMED}", "{{name}}"
        ),
        ("Time left", "As expected now", SECONDS): Query(
            f"periscope_train_eta_seconds * {ALL_NAMED}", "{{name}}"
        ),
        ("Silence", silence, SECONDS): Query(
            f"(time() - periscope_train_last_event_timestamp_seconds) * {ALL_NAMED}", "{{name}}"
        ),
        ("Attempts", "Starts of the training program", COUNT): Query(
            f"periscope_train_attempts * {ALL_NAMED}", "{{name}}"
        ),
        ("Leaders", "Exactly one replica leads", COUNT): Query("sum(periscope_training_leader)", "leaders"),
    }
    page = board("periscope-jobs", "Periscope: jobs and queue", told, [])
    return _with(page, [*numbers, *(curves(*about, [query]) for about, query in panels.items())])


def services() -> dashboard.Dashboard:
    """Rate, errors and duration of each service, and of the store as each sees it."""
    page = board(
        "periscope-services",
        "Periscope: services",
        "Requests, errors and durations; the store as the services see it.",
        [choice("service", "Service", "label_values(periscope_http_requests_total, service)")],
    )
    requests, failed = (
        _rate("http_requests_total", "service", ASKED),
        _rate("http_requests_total", "service", f'{ASKED},status=~"5.."'),
    )
    calls = _rate("store_requests_total", "service")
    lost = _rate("store_requests_total", "service", ',outcome="unavailable"')
    answer, store = "http_request_duration_seconds", "store_request_duration_seconds"
    none = "Calls whose outcome is not known"
    return _with(
        page,
        [
            curves("Requests", "By service", PER_SECOND, [Query(requests, "{{service}}")]),
            curves(
                "Errors",
                "Share of answers with 5xx",
                RATIO,
                [Query(f"({failed} or 0 * {requests}) / {requests}", "{{service}}")],
            ),
            curves(
                "Duration",
                "95 of 100 answers are faster",
                SECONDS,
                [Query(_slow(answer, "service", ASKED), "{{service}}")],
            ),
            curves(
                "Slowest routes",
                "95 of 100 answers are faster",
                SECONDS,
                [Query(f"topk(5, {_slow(answer, 'service, route', ASKED)})", "{{service}} {{route}}")],
            ),
            curves(
                "Store: calls",
                "By operation",
                PER_SECOND,
                [Query(_rate("store_requests_total", "operation"), "{{operation}}")],
            ),
            curves(
                "Store: duration",
                "95 of 100 calls are faster",
                SECONDS,
                [Query(_slow(store, "operation"), "{{operation}}")],
            ),
            curves(
                "Store: no answer", none, PER_SECOND, [Query(f"{lost} or 0 * {calls}", "{{service}}")], WHOLE
            ),
        ],
    )


def fleet() -> dashboard.Dashboard:
    """Which version is on which robot, who is silent, and how rollouts stand."""
    page = board(
        "periscope-fleet",
        "Periscope: fleet",
        "Which version runs on which robot, who is silent or behind, and how rollouts stand.",
        [choice("group", "Group", "label_values(periscope_device_wanted_version, group)")],
    )
    runs, wanted = _of_devices("version", "model"), _of_devices("wanted_version", "model")
    silent = f"time() - {_of_devices('last_contact_timestamp_seconds')}"
    since_rollback = f"time() - {_of_devices('last_rollback_timestamp_seconds')}"
    behind = f"{_of_devices('version')} != bool {_of_devices('wanted_version')}"
    current = f"{_of_devices('version')} == bool {_of_devices('wanted_version')}"
    paused = 'max by (group) (periscope_rollout_state{state="PAUSED",group=~"$group"})'
    numbers = {
        ("Robots", "That should run something"): f"count({wanted})",
        ("Up to date", "Run the version that they should"): f"sum({current})",
        ("Behind", "Run another version than they should"): f"sum({behind})",
        ("Silent for a day", "Not heard of for 24 hours"): f"count({silent} > 86400)",
        (
            "Rolled back today",
            "Went back to another version within 24 hours",
        ): f"count({since_rollback} < 86400)",
        ("Rollouts paused", "By themselves or by hand"): f"sum({paused})",
    }
    table = [
        Query(runs, "runs"),
        Query(wanted, "should run"),
        Query(silent, "seconds since contact"),
        Query(since_rollback, "seconds since rollback"),
    ]
    versions = Query(f'count_values by (model) ("version", {runs})', "{{model}} version {{version}}")
    longest = Query(f"topk(10, {silent})", "{{device}}")
    state = Query(
        'max by (group, model, version, state) (periscope_rollout_state{group=~"$group"})',
        "{{group}}: {{model}} version {{version}} {{state}}",
    )
    fared = Query(
        'max by (group, outcome) (periscope_rollout_devices{group=~"$group"})', "{{group}} {{outcome}}"
    )
    return _with(
        page,
        [
            *(number(*about, COUNT, f"{expr} or vector(0)") for about, expr in numbers.items()),
            rows("Which version on which robot", "By each robot's own word", table),
            curves("Versions in use", "Robots that run a version", COUNT, [versions]),
            curves("Behind", "Robots that run another version than they should", COUNT,
                   [Query(f"sum by (group) ({behind})", "{{group}}")]),
            curves("Rollouts", "1 while a group's newest rollout is in a state", COUNT, [state]),
            curves("Rollouts: robots", "How those fared that should have the version", COUNT, [fared]),
            curves("Silence", "The ten that have been silent for longest", SECONDS, [longest], WHOLE),
        ],
    )  # fmt: skip


BOARDS = {"training": training, "jobs": jobs, "services": services, "fleet": fleet}


def _of_devices(what: str, *labels: str) -> str:
    """A figure of each device; every replica of the registry tells the same."""
    by = ", ".join(("device", "group", *labels))
    return f'max by ({by}) (periscope_device_{what}{{group=~"$group"}})'


def _of_run(metric: str, legend: str) -> Query:
    """A run's metric under the job's name."""
    return Query(f'{metric}{{run=~"$run"}} * {NAMED}', f"{{{{name}}}} {legend}".strip())


def _rate(metric: str, by: str, more: str = "") -> str:
    return f'sum by ({by}) (rate(periscope_{metric}{{service=~"$service"{more}}}[$__rate_interval]))'


def _slow(metric: str, by: str, more: str = "") -> str:
    return f"histogram_quantile(0.95, {_rate(f'{metric}_bucket', f'{by}, le', more)})"


def _with(page: dashboard.Dashboard, panels: list[Builder[Panel]]) -> dashboard.Dashboard:
    for panel in panels:
        page = page.with_panel(panel)
    return page
