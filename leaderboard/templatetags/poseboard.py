"""The filters and tags with which templates write numbers, times and marks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.forms import BooleanField
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

import evaluator
from evaluator.dataset import unit_name
from leaderboard.access import accounts
from leaderboard.drawing import graticule, marks, numbers, skeleton
from leaderboard.drawing.svg import el
from leaderboard.models import BaselineRun, Benchmark, Phase
from leaderboard.operations import baseline_runs

register = template.Library()

register.filter("ordinal", numbers.ordinal)
register.simple_tag(marks.mark, name="mark")


@register.simple_tag
def glyph(kind: str, label: str = "") -> SafeString:
    """The mark alone; its word must be next to it, or be given as the label."""
    return marks.glyph(kind, label=label or None)


@register.filter
def printed(cell: Any) -> str:
    """The value of anything with `value` and `unit`: `73.6` for a fraction of 0.7364."""
    return numbers.number(cell.value, cell.unit) if cell else numbers.MISSING


@register.filter
def with_unit(cell: Any) -> str:
    """The same where nothing else says what is counted: `45.3 mm`, and `73.6` for percent."""
    return numbers.with_unit(printed(cell), cell.unit) if cell else printed(cell)


@register.filter
def interval(cell: Any) -> str:
    """`72.1–75.0` of anything with `low`, `high` and `unit`."""
    return numbers.interval(cell.low, cell.high, cell.unit) if cell else ""


@register.filter
def interval_in_words(cell: Any) -> str:
    return numbers.interval_in_words(cell.low, cell.high, cell.unit) if cell else ""


@register.filter
def bar(cell: Any) -> SafeString:
    return graticule.bar(cell.value, unit=cell.unit)


register.filter("sign", numbers.sign)
register.filter("unit_name", unit_name)
register.filter("percent", numbers.number)


@register.filter
def when(moment: datetime | None) -> SafeString | str:
    """A moment, in UTC until the page's script writes it in the reader's zone with UTC in the title."""
    if moment is None:
        return ""
    utc = moment.astimezone(UTC)
    text = f"{utc:%-d %b %Y, %H:%M}"
    return format_html('<time datetime="{}" title="{} UTC">{} UTC</time>', f"{utc:%Y-%m-%dT%H:%M:%SZ}", text, text)


@register.filter
def day(moment: datetime | None) -> SafeString | str:
    """A moment as its day in UTC."""
    if moment is None:
        return ""
    utc = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-day title="{} UTC">{}</time>',
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%-d %b %Y, %H:%M}",
        f"{utc:%-d %b %Y}",
    )


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """How long since: `2 min ago`, `3 h ago`, `yesterday`, then the day."""
    if moment is None:
        return ""
    seconds = (timezone.now() - moment).total_seconds()
    utc = moment.astimezone(UTC)
    if seconds < 60:
        text = "just now"
    elif seconds < 3600:
        text = f"{seconds // 60:.0f} min ago"
    elif seconds < 86_400:
        text = f"{seconds // 3600:.0f} h ago"
    elif seconds < 172_800:
        text = "yesterday"
    else:
        text = f"{utc:%-d %b %Y}"
    return format_html(
        '<time datetime="{}" data-ago title="{} UTC">{}</time>',
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%-d %b %Y, %H:%M}",
        text,
    )


@register.filter
def until(moment: datetime | None) -> str:
    """How long from now: `7 h 41 min`."""
    if moment is None:
        return ""
    minutes = max(0, int((moment - timezone.now()).total_seconds() // 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


@register.filter
def deadline(moment: datetime | None) -> SafeString | str:
    """A moment on which something depends: always in UTC, to which the page's script adds the reader's time."""
    if moment is None:
        return ""
    utc = moment.astimezone(UTC)
    text = f"{utc:%-d %B %Y, %H:%M} UTC"
    return format_html('<time datetime="{}" data-deadline>{}</time>', f"{utc:%Y-%m-%dT%H:%M:%SZ}", text)


@register.filter
def phase(benchmark: Benchmark, now: datetime) -> str:
    """`open`, `closed`, `not_open` or `no_annotations`, at a moment of the database's clock."""
    return benchmark.phase(now)


@register.filter
def opening(benchmark: Benchmark, now: datetime) -> SafeString | str:
    """Whether a benchmark accepts submissions, with its dates, as text."""
    at = benchmark.phase(now)
    if at == Phase.CLOSED:
        return format_html("Closed on {}.", deadline(benchmark.closes_at))
    until = format_html(" until {}", deadline(benchmark.closes_at)) if benchmark.closes_at else ""
    if at == Phase.NO_ANNOTATIONS:
        return "No annotations yet: submissions open once they are imported."
    if at == Phase.NOT_OPEN:
        return format_html("Opens on {}{}.", deadline(benchmark.opens_at), until)
    return format_html("Open{}.", until) if until else "Open. No closing date."


@register.filter
def opening_day(benchmark: Benchmark, now: datetime) -> SafeString | str:
    """The same in short for a card; empty while it is open."""
    at = benchmark.phase(now)
    if at == Phase.CLOSED:
        return format_html("Closed {}", day(benchmark.closes_at))
    if at == Phase.NOT_OPEN:
        return format_html("Opens {}", day(benchmark.opens_at))
    return ""


@register.filter
def size(count: int | None) -> str:
    """Bytes as `214 kB`, `1.60 MB`."""
    if count is None:
        return numbers.MISSING
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1e6:.2f} MB"


@register.filter
def seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


@register.filter
def millions(value: float | None) -> str:
    return numbers.MISSING if not value else f"{value / 1e6:.1f}" if value >= 1e5 else f"{value / 1e6:.2g}"


@register.filter
def run_title(run: BaselineRun) -> str:
    """The model of a run, by the name that its method gets."""
    return baseline_runs.titled(run)


@register.filter
def rounded(value: float | None) -> str:
    """A cost or a speed: with one decimal, below 1 with two digits."""
    return numbers.MISSING if value is None else f"{value:,.1f}" if value >= 1 else f"{value:.2g}"


@register.filter
def thousands(value: int | None) -> str:
    return numbers.MISSING if value is None else f"{value:,}"


@register.filter
def digest(value: str) -> str:
    """The beginning and end of a sha256."""
    return f"{value[:8]}…{value[-4:]}" if value else numbers.MISSING


@register.filter
def before_colon(text: str) -> str:
    """`000001.jpg` of `000001.jpg: why it could not be read`: the reason is the operator's."""
    return str(text).partition(":")[0]


@register.filter
def initials(user: Any) -> str:
    words = str(user).replace("_", " ").replace("-", " ").split()
    return "".join(word[0] for word in words[:2]).upper() or "?"


@register.filter
def https(url: str) -> str:
    """The address if it is https, otherwise nothing: no other scheme ever becomes a link."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ""
    return url if parts.scheme == "https" and parts.hostname else ""


@register.filter
def words(name: str) -> str:
    """`upper_leg` as `Upper leg`."""
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]


_ABBREVIATED = {
    "Shoulder": "Sho", "Elbow": "Elb", "Wrist": "Wri", "Ankle": "Ank",
    "Upper leg": "U leg", "Lower leg": "L leg", "Upper arm": "U arm", "Forearm": "F arm",
}  # fmt: skip


@register.filter
def abbreviated(label: str) -> str:
    """A column's label in the field's short form."""
    return _ABBREVIATED.get(label, label)


@register.filter
def field_class(bound: Any) -> str:
    """The look of a form field, by its widget."""
    kind = bound.field.widget.__class__.__name__
    looks = {"CheckboxInput": "check", "Textarea": "input area"}
    bare = ("RadioSelect", "CheckboxSelectMultiple", "FileInput")
    return "" if kind in bare else looks.get(kind, "input")


@register.simple_tag
def field(bound: Any, label: str = "") -> SafeString:
    """A form field with its label, hint and errors, tied together for assistive technology."""
    describers = [f"{bound.auto_id}_hint" if bound.help_text else "", f"{bound.auto_id}_error" if bound.errors else ""]
    attributes: dict[str, str] = {"class": field_class(bound)}
    if described := " ".join(each for each in describers if each):
        attributes["aria-describedby"] = described
    if bound.errors:
        attributes["aria-invalid"] = "true"
    widget = bound.as_widget(attrs=attributes)
    if bound.field.show_hidden_initial:
        widget += bound.as_hidden(only_initial=True)
    name = el(
        "label",
        label or bound.label,
        *([] if bound.field.required or isinstance(bound.field, BooleanField) else [_optional()]),
        for_=bound.id_for_label,
    )
    hint = el("p", bound.help_text, class_="hint", id=f"{bound.auto_id}_hint") if bound.help_text else ""
    errors = el("p", " ".join(bound.errors), class_="wrong", id=f"{bound.auto_id}_error") if bound.errors else ""
    if attributes["class"] == "check":
        return el("div", el("span", widget, name, class_="checkline"), hint, errors, class_="field")
    return el("div", name, widget, hint, errors, class_="field")


def _optional() -> SafeString:
    return el("span", " optional", class_="optional")


register.simple_tag(accounts.sends_mail, name="sends_mail")


@register.simple_tag
def evaluator_version() -> str:
    return evaluator.__version__


_ICONS = {
    "export": "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
    "cite": "M3 4h4v4.5c0 2-1 3-3 3.5M10 4h4v4.5c0 2-1 3-3 3.5",
    "share": (
        "M6.5 9.5a3 3 0 0 0 4.2 0l2.4-2.4a3 3 0 0 0-4.2-4.2l-.9.9"
        "M9.5 6.5a3 3 0 0 0-4.2 0L2.9 8.9a3 3 0 0 0 4.2 4.2l.9-.9"
    ),
    "warn": "M8 2 14.5 13.5h-13ZM8 6.5v3.2M8 11.4v.2",
    "info": "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4ZM8 7.2v4M8 4.7v.2",
    "ok": "M2.5 8.5 6.3 12.3 13.5 4.5",
    "lock": "M4 7.5h8v6H4ZM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    return el(
        "svg",
        el("path", d=_ICONS[name]),
        viewBox="0 0 16 16",
        fill="none",
        stroke="currentColor",
        stroke_width=1.6,
        aria_hidden="true",
    )


@register.simple_tag
def dataset_figure(name: str) -> SafeString | str:
    """A dataset's joints in a gesture, from its definition; nothing where it cannot be read."""
    try:
        dataset = evaluator.load_dataset(name)
    except evaluator.DatasetDefinitionError:
        return ""
    return skeleton.figure(dataset, label=f"{len(dataset.joints)} joints of {dataset.title}")
