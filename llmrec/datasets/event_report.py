"""Counts irregularities of interactions that are often mistakes of an export. It only counts: nothing is removed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmrec.datasets.interactions import Interactions
from llmrec.datasets.repeats import group_sizes

MANY_EVENTS = 1_000
"""Events of a user from which on it is counted as unusual: a test account, a crawler or a shop's till."""
BUSY_SHARE = 0.01
"""Share of all events at one second from which on a warning is given: often the time of an import."""
BUSY_EVENTS = 100


def event_report(events: Interactions) -> dict[str, Any]:
    """Counts irregularities of all interactions of a source.

    Returns:
        Plain JSON values: events; exact_duplicates (an earlier event has the same user, item, time and rating);
        at_the_busiest_second; of_a_user_at_one_second (events that share user and second with another, whose order is
        that of the file); users_with_many_events (more than MANY_EVENTS); most_events_of_a_user; time_units; and, if
        the ratings cannot be used, rating_problem.
    """
    problem = {} if events.rating_problem is None else {"rating_problem": events.rating_problem}
    per_user = np.bincount(events.user)
    ratings = [] if events.rating is None else [events.rating]
    duplicates = group_sizes(events.user, events.timestamp, events.item, *ratings)
    return {
        "events": len(events),
        "exact_duplicates": int((duplicates - 1).sum()),
        "at_the_busiest_second": int(np.unique(events.timestamp, return_counts=True)[1].max()),
        "of_a_user_at_one_second": int(group_sizes(events.user, events.timestamp).sum()),
        "users_with_many_events": int((per_user > MANY_EVENTS).sum()),
        "most_events_of_a_user": int(per_user.max()),
        "time_units": dict(events.time_units),
        **problem,
    }


def event_warnings(report: Mapping[str, Any] | None) -> list[str]:
    """Formats what is unusual for the console, a line each.

    Args:
        report: See `event_report`; None if the events are unknown or were prepared before they were counted.
    """
    if report is None:
        return []
    total, busiest, units = report["events"], report["at_the_busiest_second"], report["time_units"]
    numbers = [f"{count:,} {unit}" for unit, count in units.items()]
    lines = []
    if len(units) > 1:
        lines.append(f"warning: times of several units: {', '.join(numbers)}; each was read by its magnitude")
    elif numbers and "seconds" not in units:
        assumed = ", taken as UTC" if "dates without zone" in units else ""
        lines.append(f"times: {numbers[0]}{assumed}")
    if "rating_problem" in report:
        lines.append(f"warning: no rating is used, because of {report['rating_problem']}")
    if report["exact_duplicates"]:
        lines.append(f"warning: repeated events (same user, item and time): {report['exact_duplicates']:,}")
    if busiest >= BUSY_EVENTS and busiest > BUSY_SHARE * total:
        lines.append(f"warning: {busiest:,} of {total:,} events at the same second: the time of an import?")
    if report["users_with_many_events"]:
        users, most = report["users_with_many_events"], report["most_events_of_a_user"]
        lines.append(f"warning: users with over {MANY_EVENTS:,} events (at most {most:,}): {users:,}; real people?")
    return lines
