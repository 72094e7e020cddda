"""Statements say by name what they are given."""

import pytest

from models.database.sql import given, page, row, rows, translated


@pytest.mark.parametrize(
    ("statement", "text", "names"),
    [
        ("SELECT 1", "SELECT 1", ()),
        ("id = :id AND owner = :owner", "id = $1 AND owner = $2", ("id", "owner")),
        ("a = :x AND b = :y AND c = :x", "a = $1 AND b = $2 AND c = $1", ("x", "y")),
        ("ANY(:ids::uuid[])", "ANY($1::uuid[])", ("ids",)),
        (":new_name, :x1)", "$1, $2)", ("new_name", "x1")),
        ("now()::text, ':no', 'it''s :no', :yes", "now()::text, ':no', 'it''s :no', $1", ("yes",)),
        ('AS "a:no", :yes', 'AS "a:no", $1', ("yes",)),
        ("1 -- as :no\n + :yes /* :no\n :no */", "1 -- as :no\n + $1 /* :no\n :no */", ("yes",)),
    ],
)
def test_parameters_have_names(statement: str, text: str, names: tuple[str, ...]) -> None:
    assert translated(statement) == (text, names)


@pytest.mark.parametrize("values", [{}, {"id": 1}, {"id": 1, "owner": 2, "other": 3}, {"id": 1, "ower": 2}])
async def test_what_is_missing_or_too_much_is_told_at_once(values: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"used \['id', 'owner'\] in SELECT 1 WHERE :id = :owner"):
        await rows("SELECT 1 WHERE :id = :owner", **values)


@pytest.mark.usefixtures("database")
async def test_values_get_where_their_names_are() -> None:
    found = await row("SELECT :b::int - :a::int AS difference, ':a' AS text", a=1, b=3)
    assert found == {"difference": 2, "text": ":a"}


def test_a_list_has_no_more_in_it_than_is_given() -> None:
    conditions = {"kind": "kind = :kind", "size": "size = :size"}
    assert given(conditions, kind=None, size=None) == ("true", {})
    assert given(conditions, kind="", size=0) == ("true AND kind = :kind AND size = :size", {"kind": "", "size": 0})


@pytest.mark.usefixtures("database")
async def test_a_page_is_the_first_rows_in_their_order() -> None:
    found = await rows(page("SELECT n FROM generate_series(1, 9) n ORDER BY n DESC"), limit=2)
    assert found == [{"n": 9}, {"n": 8}]
