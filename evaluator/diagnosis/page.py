"""An evaluation as one HTML file: scores, errors on the body, curves. No script, nothing loaded from anywhere."""

from __future__ import annotations

import math
from html import escape

from evaluator.dataset import NUMBER, Dataset, MetricSpec, part_label, unit_name
from evaluator.diagnosis import figures as figures
from evaluator.diagnosis.figures import percent
from evaluator.diagnosis.joints import CLASSES, Diagnosis, ErrorShares
from evaluator.diagnosis.style import STYLE
from evaluator.evaluation import Report
from evaluator.tally import Score

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_page(dataset: Dataset, report: Report, diagnosis: Diagnosis | None) -> str:
    """The page of one evaluation; `report` with intervals where it has them, errors where there is a diagnosis."""
    title = f"{dataset.metric(dataset.primary).title} on {dataset.title}"
    sections = [_head(dataset, report), _cards(dataset, report)]
    if diagnosis is None:
        sections.append(_whole(dataset, report))
    else:
        left = f"{_body(dataset, diagnosis)}{_curves(dataset, diagnosis)}{_whole(dataset, report)}"
        sections += [
            f'<p class="summary">{_summary(diagnosis)}</p>',
            f'<div class="two"><div>{left}</div>'
            f"<div>{_by_part(diagnosis)}{_detections(diagnosis)}{_joints(diagnosis)}</div></div>",
            _slices(dataset, diagnosis),
        ]
    sections += [_scores(dataset, report), _foot(report)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · PoseBoard</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _head(dataset: Dataset, report: Report) -> str:
    facts = {
        "people": f"{report.people:,}",
        "images": f"{report.images:,}",
        "predictions": f"{report.entries:,}",
        "evaluator": report.evaluator_version,
        "annotations": f"{report.truth_sha256[:12]}…",
        "prediction file": f"{report.predictions_sha256[:12]}…",
    }
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f"<header><h1>{escape(dataset.title)}</h1><p>{escape(dataset.protocol)}</p><dl>{rows}</dl></header>"


def _cards(dataset: Dataset, report: Report) -> str:
    """The primary score large, the whole of every other metric beside it."""
    primary = (dataset.primary, dataset.primary_part)
    scores = {(score.metric, score.part): score for score in report.scores}
    wanted = [primary, *((spec.name, "all") for spec in dataset.metrics)]
    keys = [key for key in dict.fromkeys(wanted) if key in scores]
    tall = " tall" if len(keys) > 6 else ""
    cards = []
    for key in keys:
        score = scores[key]
        large = ' class="first"' if key == primary else ""
        spec = dataset.metric(score.metric)
        unit = unit_name(spec.unit or "%")
        cards.append(
            f"<div{large}><dt>{escape(spec.title)}</dt><dd><b>{_printed(score.value, spec.unit)}</b> {unit}"
            f"<span>{_interval(score, spec.unit)}</span></dd></div>"
        )
    return f'<dl class="cards{tall}">{"".join(cards)}</dl>'


def _printed(value: float, unit: str) -> str:
    """A fraction in percent, a length in its unit, a plain number as it is."""
    return f"{value:.{3 if unit == NUMBER else 1}f}" if unit else percent(value)


def _interval(score: Score, unit: str, empty: str = "no interval") -> str:
    if score.low is None or score.high is None:
        return empty
    return f"{_printed(score.low, unit)} to {_printed(score.high, unit)}"


def _summary(diagnosis: Diagnosis) -> str:
    """What the classes say, in a sentence or two."""
    total = diagnosis.total
    lost = {"inversion": total.inversion, "swap": total.swap, "miss": total.miss}
    if not total.counted:
        return "No detection was matched to anybody, so there are no joints to look at."
    what = {
        "inversion": "left and right confused",
        "swap": "another person's joint",
        "miss": "nowhere near a joint of this kind",
    }
    largest = max(lost, key=lambda name: lost[name])
    of_what = f"the {total.counted:,} labelled joints" + (" of matched people" if diagnosis.metric == "oks" else "")
    text = f"Of {of_what}, {percent(total.good)}% are good and {percent(total.jitter)}% are right but loose."
    if lost[largest] > 0:
        worst = sorted(diagnosis.parts, key=lambda part: -getattr(part, largest))[:2]
        where = " and ".join(part_label(part.name).lower() for part in worst if getattr(part, largest) > 0)
        text += f" Most of the rest is <strong>{what[largest]}</strong>: {percent(lost[largest])}%" + (
            f", most often at {where}." if where else "."
        )
    return text


def _key(diagnosis: Diagnosis) -> str:
    items = [
        '<span><svg viewBox="0 0 11 11" aria-hidden="true">'
        f'<rect class="e{index}" width="11" height="11" rx="2"/></svg>'
        f"{name.capitalize()} <b>{percent(share)}</b></span>"
        for index, (name, share) in enumerate(zip(CLASSES, diagnosis.total.shares, strict=True))
        if name != "swap" or diagnosis.swaps_possible
    ]
    return f'<p class="keys">{"".join(items)}</p>'


def _rule(diagnosis: Diagnosis) -> str:
    swap = "" if diagnosis.swaps_possible else " Swap needs a second person in the image, so it cannot occur here."
    if diagnosis.metric == "oks":
        rule = (
            f"Labelled joints of {diagnosis.people:,} people matched at OKS 0.1 or more. "
            "Good: similarity 0.85 and more. Jitter: 0.5 and more. "
            "Inversion: near the same person's other side. Swap: near another person's joint. "
            "Miss: the rest."
        )
    else:
        rule = (
            f"Joints of {diagnosis.people:,} people, by the threshold of {escape(diagnosis.metric)}. "
            "Good: within half of it. Jitter: within it, so good and jitter make the score. "
            "Inversion: within it of the other side. "
            "Swap: within it of another person's joint. Miss: the rest."
        )
    return f'<p class="note">{rule}{swap}</p>'


def _body(dataset: Dataset, diagnosis: Diagnosis) -> str:
    drawing = figures.body(dataset, diagnosis.joints)
    return (
        f'<figure class="panel"><h2>Errors on the body</h2>{_rule(diagnosis)}{_key(diagnosis)}{drawing}'
        '<p class="note">Rings: shares clockwise from the top, in the order above. <span>The numbers are percent of '
        "inversions and misses.</span> Front view: the person's right is on your left.</p></figure>"
    )


def _by_part(diagnosis: Diagnosis) -> str:
    rows = (*diagnosis.parts, diagnosis.total)
    return f'<section class="panel"><h2>Errors by part</h2>{_share_table("Part", rows, diagnosis)}</section>'


def _joints(diagnosis: Diagnosis) -> str:
    table = _share_table("Joint", diagnosis.joints, diagnosis)
    return f'<section class="panel"><h2>Every joint</h2>{table}</section>'


def _share_table(what: str, rows: tuple[ErrorShares, ...], diagnosis: Diagnosis) -> str:
    columns = [index for index, name in enumerate(CLASSES) if name != "swap" or diagnosis.swaps_possible]
    short = ("Good", "Jitter", "Inv.", "Swap", "Miss")
    head = "".join(f'<th scope="col" class="n">{short[index]}</th>' for index in columns)
    lines = []
    for each in rows:
        name = "All joints" if each.name == "all" else part_label(each.name)
        cells = "".join(f'<td class="n">{percent(each.shares[index])}</td>' for index in columns)
        bar = figures.stacked_bar(each.shares, [f"e{index}" for index in range(len(CLASSES))])
        mark = ' class="whole"' if each.name == "all" else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(name)}</th><td class="wide">{bar}</td>{cells}</tr>')
    return (
        f'<table><caption>Percent of joints</caption><thead><tr><th scope="col">{what}</th><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _detections(diagnosis: Diagnosis) -> str:
    if not diagnosis.detections:
        return ""
    lines = []
    for row in diagnosis.detections:
        cells = (row.true_positives, row.false_positives, row.background, row.false_negatives, row.never_found)
        numbers = "".join(f'<td class="n">{value:,}</td>' for value in cells)
        lines.append(f'<tr><th scope="row">{row.threshold:.2f}</th>{numbers}</tr>')
    names = ("Found", "False", "of these background", "Not found", "of these never")
    head = "".join(f'<th scope="col" class="n">{name}</th>' for name in names)
    confidence = ""
    if diagnosis.scores is not None:
        errors = diagnosis.scores
        confidence = (
            f'<p class="note">{errors.people:,} people have several detections near them; for {errors.errors:,} the '
            "most confident is not the most similar. Were every confidence the OKS itself, AP would be "
            f"{percent(errors.ap_optimal)} instead of {percent(errors.ap)}.</p>"
        )
    return (
        '<section class="panel"><h2>Detections</h2><p class="note">Background: OKS below 0.1 with everybody. Never: no '
        'detection with an OKS of 0.1 or more.</p><div class="scroll" tabindex="0" role="region" '
        'aria-label="Detections by OKS threshold"><table><caption>By OKS threshold</caption>'
        f'<thead><tr><th scope="col">OKS</th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        f"{confidence}</section>"
    )


def _curves(dataset: Dataset, diagnosis: Diagnosis) -> str:
    curves = list(diagnosis.curves)
    if diagnosis.metric == "oks":
        heading, note = "Precision against recall", "One line per OKS threshold, with its average precision."
        texts = [f"{curve.name}: {percent(sum(curve.y) / len(curve.y))}" for curve in curves]
        bold, marked, x_title = curves[0].name, None, "recall"
    else:
        spec = dataset.metric(diagnosis.metric)
        heading, note = "Score against threshold", f"Dotted: the threshold of {spec.title}."
        texts = ["All joints" if curve.name == "all" else part_label(curve.name) for curve in curves]
        bold, marked, x_title = "all", float(spec.parameters["threshold"]), "threshold"
    drawing = figures.plot(
        curves, texts, bold=bold, marked=marked, listed=diagnosis.metric == "oks", x_title=x_title, label=heading
    )
    chosen = range(0, len(curves[0].x), 10)
    head = "".join(f'<th scope="col" class="n">{curves[0].x[k]:g}</th>' for k in chosen)
    rows = "".join(
        f'<tr><th scope="row">{escape(curve.name if diagnosis.metric == "oks" else text)}</th>'
        + "".join(f'<td class="n">{percent(curve.y[k])}</td>' for k in chosen)
        + "</tr>"
        for curve, text in zip(curves, texts, strict=True)
    )
    return (
        f'<figure class="panel"><h2>{heading}</h2><p class="note">{escape(note)}</p>{drawing}'
        '<details><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="The curves">'
        f'<table><thead><tr><th scope="col">{x_title.capitalize()}</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></details></figure>"
    )


# the title of each grouping, and what the names of its slices count
GROUPINGS = {
    "size": ("Size", "Square pixels"),
    "occlusion": ("Occlusion", "Share of the labelled joints that are hidden"),
    "visible_joints": ("Visible joints", "Labelled and visible"),
    "crowding": ("Crowding", "Joints of other people in the box, per joint of the person"),
}


def _slices(dataset: Dataset, diagnosis: Diagnosis) -> str:
    """The score of the people of each size, occlusion, number of visible joints and crowding, on one scale."""
    if not diagnosis.slices:
        return ""
    if diagnosis.metric == "oks":
        title = "AR"
        rule = "AR: at how many of the thresholds a person is found, on average. Errors: of those matched at OKS 0.1."
    elif diagnosis.slices[0].metric != diagnosis.metric:
        title = "Recall"
        rule = "Recall: the share of these people's labelled joints that was found. Errors: of those given a pose."
    else:
        title = dataset.metric(diagnosis.metric).title
        rule = f"{title} of the joints of these people."
    scores = [each.score for each in diagnosis.slices]
    domain = figures.scale(min(scores), max(scores))
    panels = []
    for by, (name, unit) in GROUPINGS.items():
        of_grouping = [each for each in diagnosis.slices if each.by == by]
        lines = "".join(
            f'<tr><th scope="row">{escape(each.name[:1].upper() + each.name[1:])}</th>'
            f'<td class="n">{each.people:,}</td>'
            f'<td class="wide">{figures.whisker(each.score, None, None, domain)}'
            f"{figures.stacked_bar(each.errors.shares, [f'e{index}' for index in range(len(CLASSES))])}</td>"
            f'<td class="n strong">{percent(each.score)}</td></tr>'
            for each in of_grouping
        )
        if of_grouping:
            panels.append(
                f'<section class="panel"><h3>{name}</h3><table class="slices"><caption>{unit}</caption>'
                '<thead><tr><td></td><th scope="col" class="n">People</th><td></td>'
                f'<th scope="col" class="n">{escape(title)}</th></tr></thead><tbody>{lines}</tbody></table></section>'
            )
    return (
        '<section class="slicing"><h2>Where it fails: errors by person size, occlusion, crowding</h2>'
        f'<p class="note">{escape(rule)} The mark is the score, on a '
        f"scale from {100 * domain[0]:.0f} to {100 * domain[1]:.0f}; the bar below it errors, coloured as above.</p>"
        f'<div class="four">{"".join(panels)}</div></section>'
    )


def _whole(dataset: Dataset, report: Report) -> str:
    """A table of the numbers without parts, which are those of OKS."""
    whole = [spec for spec in dataset.metrics if spec.parts == ("all",)]
    rows = [(spec.title, score) for spec in whole for score in report.scores if score.metric == spec.name]
    return _score_table("All scores", "Score", rows, "")


def _scores(dataset: Dataset, report: Report) -> str:
    """A table for each metric that has parts, the primary one first."""
    parted = [spec for spec in dataset.metrics if spec.parts != ("all",)]
    panels = [_by_metric(spec, report) for spec in sorted(parted, key=lambda spec: spec.name != dataset.primary)]
    return f'<div class="two">{"".join(panels)}</div>' if panels else ""


def _by_metric(spec: MetricSpec, report: Report) -> str:
    rows = [
        ("All" if score.part == "all" else part_label(score.part), score)
        for score in report.scores
        if score.metric == spec.name
    ]
    return _score_table(spec.title, "Part", rows, spec.unit, spec.description)


def _score_table(title: str, what: str, rows: list[tuple[str, Score]], unit: str, note: str = "") -> str:
    if not rows:
        return ""
    lowest = min(score.value if score.low is None else score.low for _, score in rows)
    highest = max(score.value if score.high is None else score.high for _, score in rows)
    domain = (0.0, 10.0 * math.ceil(max(highest, 1.0) / 10)) if unit else figures.scale(lowest, highest)
    if unit == NUMBER:
        domain = (min(lowest, 0.0), max(highest, 1e-3))
    ends = [_printed(end, unit).removesuffix(".0") for end in domain]
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="wide">'
        f"{figures.whisker(score.value, score.low, score.high, domain)}</td>"
        f'<td class="n strong">{_printed(score.value, unit)}</td><td class="n">{_interval(score, unit, "–")}</td></tr>'
        for name, score in rows
    )
    return (
        f'<section class="panel"><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>'
        f"<table><caption>{unit_name(unit or 'Percent') or 'Scores'}, with 95% intervals; the scale runs from "
        f"{ends[0]} to {ends[1]}</caption>"
        f'<thead><tr><th scope="col">{what}</th><td></td><th scope="col" class="n">Score</th>'
        f'<th scope="col" class="n">Interval</th></tr></thead><tbody>{lines}</tbody></table></section>'
    )


def _foot(report: Report) -> str:
    return (
        "<footer><p>Intervals are percentiles of 1,000 bootstrap resamples of the images, or of their groups (videos, "
        "scenes, subjects) where the annotations name them. There is none (–) with fewer than 200 of these, or fewer "
        "than 10 hits or misses.</p>"
        f"<p>PoseBoard, evaluator {escape(report.evaluator_version)}. "
        f"Annotations <code>{escape(report.truth_sha256)}</code>, predictions "
        f"<code>{escape(report.predictions_sha256)}</code>.</p></footer>"
    )
