"""Items and their distinct titles."""

from llmrec.catalogue.items import Items


def test_items_with_one_title_share_its_index() -> None:
    items = Items(ids=["a", "b", "c", "d"], titles=["Doom", "Anno", "Doom", "Braid"])
    assert items.distinct_titles == ["Doom", "Anno", "Braid"]
    assert items.title_of.tolist() == [0, 1, 0, 2]
    assert len(items) == 4


def test_titles_stay_verbatim() -> None:
    titles = ["", " Doom", "Doom", "doom", "Rock &amp; Roll", "Rock & Roll"]
    assert Items(ids=list("abcdef"), titles=titles).distinct_titles == titles
