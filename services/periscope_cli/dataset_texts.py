"""Data sets, findings and differences as text. On plain values."""

from __future__ import annotations

from typing import Any

from periscope_cli.console import size_text, table

Document = dict[str, Any]


def ingest_errors(ingest: Document) -> str:
    """Why an archive was refused, file by file."""
    errors = ingest.get("errors") or []
    count = ingest.get("error_count") or len(errors)
    return "\n".join(
        [f"the archive was refused; nothing was stored. {count} error(s):", *_findings(errors, count)]
    )


def ingest_warnings(ingest: Document) -> str:
    """What was odd about an archive."""
    warnings = ingest.get("warnings") or []
    count = ingest.get("warning_count") or len(warnings)
    return "\n".join([f"{count} warning(s):", *_findings(warnings, count)])


def lint_text(found: list[Document]) -> str:
    """What the lint says of the data set as a whole; errors keep training jobs from the version."""
    lines = [f"lint of the dataset, {len(found)} finding(s):"]
    for finding in found:
        lines += [
            f"  {finding['severity']} {finding['code']}: {finding['message']}",
            f"      {finding['why']} {finding['advice']}",
        ]
    if any(finding["severity"] == "error" for finding in found):
        lines.append("training is refused until these errors are mended, or named by --allow-finding")
    return "\n".join(lines)


def _findings(found: list[Document], count: int) -> list[str]:
    """One line each with its place, and one with its advice; the service sends the first ones only."""
    lines = []
    for entry in found:
        place = ":".join(str(part) for part in (entry.get("file"), entry.get("line")) if part is not None)
        lines.append(f"  {place or 'archive'}: {entry.get('message', '')}")
        if entry.get("advice"):
            lines.append(f"      {entry['advice']}")
    return lines + ([f"  and {count - len(found)} more"] if count > len(found) else [])


def dataset_text(dataset: Document, versions: list[Document], manifest: Document | None) -> str:
    """A data set and one of its versions."""
    lines = [f"{dataset['name']}  ({dataset['id']}, created {dataset['created_at']})"]
    if manifest is None:
        return "\n".join([*lines, "no version yet"])
    lines.append(f"{len(versions)} version(s); version {manifest['version']} of {manifest['created_at']}:")
    source = manifest["source"]
    lines.append(f"  source   {source['filename']}, {size_text(source['size_bytes'])}")
    lines.append(f"  classes  {', '.join(manifest['classes'])}")
    for split, told in manifest["splits"].items():
        lines.append(f"  {split:<7}  {told['images']} images, {told['boxes']} boxes")
    sizes = [f"{size['width']}x{size['height']} ({size['images']})" for size in manifest["image_sizes"][:5]]
    lines.append(f"  sizes    {', '.join(sizes)}")
    return "\n".join(lines)


def diff_text(items: list[Document]) -> str:
    """What changed, picture by picture."""
    if not items:
        return "nothing changed"
    rows = [
        (
            f"{item['split']}/{item['key']}", item["change"],
            f"+{item['boxes_added']} -{item['boxes_removed']} ~{item['boxes_changed']}",
        )
        for item in items
    ]  # fmt: skip
    return table(("PICTURE", "CHANGE", "BOXES"), rows)
