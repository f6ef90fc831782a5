import numpy as np

from llmrec.datasets.event_report import event_report, event_warnings
from llmrec.datasets.interactions import Interactions


def events(*given: tuple[int, int, int], units: dict[str, int] | None = None) -> Interactions:
    """Interactions from (user, item, timestamp)."""
    user, item, timestamp = (np.array(column) for column in zip(*given, strict=True))
    return Interactions(np.arange(user.max() + 1).astype(str), user, item, timestamp, time_units=units or {})


def test_counts_by_hand() -> None:
    report = event_report(events((0, 1, 5), (0, 1, 5), (0, 2, 5), (1, 1, 5), (1, 1, 6), units={"seconds": 5}))
    assert report == {
        "events": 5,
        "exact_duplicates": 1,
        "at_the_busiest_second": 4,
        "of_a_user_at_one_second": 3,
        "users_with_many_events": 0,
        "most_events_of_a_user": 3,
        "time_units": {"seconds": 5},
    }


def test_ratings_tell_events_apart() -> None:
    repeated = events((0, 1, 5), (0, 1, 5))
    rated = Interactions(repeated.user_ids, repeated.user, repeated.item, repeated.timestamp, np.array([4.0, 5.0]))
    assert event_report(rated)["exact_duplicates"] == 0


def test_ordinary_events_give_no_warning() -> None:
    ordinary = event_report(
        events(*((user, day, day) for user in range(50) for day in range(200)), units={"seconds": 10_000})
    )
    assert event_warnings(ordinary) == []
    assert event_warnings(None) == []


def test_each_irregularity_gives_a_line() -> None:
    crawler = [(0, item, 7) for item in range(1_500)]
    report = event_report(events(*crawler, (1, 1, 8), (1, 1, 8), units={"seconds": 1_500, "milliseconds": 2}))
    assert event_warnings(report) == [
        "warning: times of several units: 1,500 seconds, 2 milliseconds; each was read by its magnitude",
        "warning: repeated events (same user, item and time): 1",
        "warning: 1,500 of 1,502 events at the same second: the time of an import?",
        "warning: users with over 1,000 events (at most 1,500): 1; real people?",
    ]


def test_units_other_than_seconds_are_stated() -> None:
    stated = event_warnings(event_report(events((0, 1, 5), units={"dates without zone": 1})))
    assert stated == ["times: 1 dates without zone, taken as UTC"]
