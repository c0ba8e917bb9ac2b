"""Jobs, publications and predictions as text. On plain values."""

from __future__ import annotations

from typing import Any

from periscope_cli.console import duration_text, percent, table

SHOWN = ("recipe", "epochs", "batch_size", "learning_rate", "seed")

Document = dict[str, Any]


def publication_text(publication: Document) -> str:
    """One line on a finished publication."""
    aliases = ", ".join(publication["aliases"])
    return f"{publication['model']} version {publication['version']} ({aliases})"


def job_failure(job: Document) -> str:
    """Why a job did not succeed, with the advice that there is."""
    error = job.get("error") or {}
    told = error.get("error") or job["reason"]
    text = f"the job {job['name']} ({job['id']}) {job['state'].lower()}: {told}"
    return f"{text}\n  {error['advice']}" if error.get("advice") else text


def best_text(job: Document) -> str:
    """How a job ended, with its best epoch."""
    best = job.get("best_epoch")
    if best is None:
        return job["state"].lower()  # type: ignore[no-any-return] # a string of the service's answer
    val = best["metrics"]["val"]
    classes = ", ".join(f"{name} {percent(told['digits_map'])}" for name, told in val["classes"].items())
    return (
        f"{job['state'].lower()}, best epoch {best['epoch']:g}: mAP {percent(val['digits_map'])} ({classes})"
    )


def job_text(job: Document) -> str:
    """A job on several lines."""
    network, training = job["network"], job["training"]
    lines = [
        f"{job['name']}  ({job['id']})",
        f"  state    {job['state']}  {job.get('reason') or ''}".rstrip(),
        f"  dataset  {job['dataset']['name']} version {job['dataset']['version']}",
        f"  network  {network['width']}x{network['height']}, {', '.join(network['classes'])}",
        f"  recipe   {', '.join(f'{name} {training[name]}' for name in SHOWN if name in training)}",
    ]
    progress = job.get("progress")
    if progress:
        lines.append(
            f"  progress {percent(progress['ratio'])}, epoch {progress['epoch']:.2f}, "
            f"ETA {duration_text(progress.get('eta_s'))}"
        )
    lines.append(f"  result   {best_text(job)}")
    if job["state"] == "FAILED":
        lines.append(job_failure(job))
    return "\n".join(lines)


def jobs_table(items: list[Document]) -> str:
    """Jobs, a line each."""
    rows = [
        (job["name"], job["state"], f"{job['dataset']['name']} v{job['dataset']['version']}",
         job["training"].get("epochs"), job["created_at"], job["id"])
        for job in items
    ]  # fmt: skip
    return table(("NAME", "STATE", "DATASET", "EPOCHS", "CREATED", "ID"), rows)


def plan_text(plan: Document) -> str:
    """What a job would be."""
    memory = ", ".join(f"{name} {value / 1e9:.2f} GB" for name, value in plan["memory"].items())
    steps = ", ".join(f"{name} {value}" for name, value in plan["steps"].items())
    lines = [f"steps: {steps}", f"memory: {memory}"]
    lines += [f"warning: {warning}" for warning in plan["warnings"]]
    return "\n".join([*lines, "nothing was made"])


def prediction_text(image: str, prediction: Document, written: str) -> str:
    """The boxes of one picture, and where they are drawn."""
    rows = [
        (box["label"], f"{box['confidence']:.3f}", *(f"{side:.1f}" for side in box["xyxy"]))
        for box in prediction["boxes"]
    ]
    surest = ", ".join(f"{name} {value:.2f}" for name, value in prediction["max_coverage"].items())
    found = table(("CLASS", "CONFIDENCE", "LEFT", "TOP", "RIGHT", "BOTTOM"), rows) if rows else "no object"
    return f"{image}: {len(rows)} object(s), surest cells {surest}; {written}\n{found}"
