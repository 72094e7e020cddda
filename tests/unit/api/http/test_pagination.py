"""Pages hold every row once, and a cursor works for its caller and its list only."""

import httpx
import pytest
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from api.http.pagination import Page
from api.http.policy import Policy, needs
from tests.unit.api.bench import Api, Bench

ROWS = [f"{number:03}" for number in range(25, 0, -1)]


class RowsController(Controller):
    """Numbers, from the largest on."""

    @get("/rows", opt=needs(Policy.SIGNED_IN))
    async def index(self, page: NamedDependency[Page], kind: FromQuery[str | None] = None) -> Response[list[str]]:
        """A page of them."""
        found = [row for row in ROWS if page.after is None or row < page.after[0]]
        return page.answer(found[: page.limit + 1], key=lambda row: (row,), view=str)

    @get("/others", opt=needs(Policy.SIGNED_IN))
    async def others(self, page: NamedDependency[Page]) -> Response[list[str]]:
        """Another list."""
        return page.answer(ROWS[: page.limit + 1], key=lambda row: (row,), view=str)


@pytest.fixture
def api(bench: Bench) -> Api:
    return bench.api([RowsController])


async def test_following_the_links_shows_every_row_once(api: Api) -> None:
    url, seen, pages = "/rows?limit=10&kind=a%20%26b", [], 0
    while url:
        answer = await api.alice.get(url)
        assert answer.status_code == 200, answer.text
        seen += answer.json()
        url = answer.links.get("next", {}).get("url", "")
        assert not url or url.startswith("https://hub.example.org/rows?limit=10&kind=a+%26b&cursor=")
        pages += 1
    assert (seen, pages) == (ROWS, 3)


async def test_a_list_that_fits_has_no_link(api: Api) -> None:
    for query in ("", "?limit=25", "?limit=1000"):
        answer = await api.alice.get(f"/rows{query}")
        assert (len(answer.json()), "link" in answer.headers) == (25, False)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "1e9", "", "9" * 40, "0x10", "true"])
async def test_limits_out_of_bounds(api: Api, limit: str) -> None:
    answer = await api.alice.get("/rows", params={"limit": limit})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["path"] == "limit"


async def test_a_cursor_is_bound_to_caller_and_query(api: Api) -> None:
    first = await api.alice.get("/rows?limit=5&kind=a")
    cursor = httpx.URL(first.links["next"]["url"]).params["cursor"]
    good = {"kind": "a", "cursor": cursor}
    assert (await api.alice.get("/rows", params=good)).json() == ROWS[5:]
    assert (await api.alice.get("/rows", params={**good, "limit": "7"})).json() == ROWS[5:12]
    foreign = [
        await api.bob.get("/rows", params=good),
        await api.alice.get("/rows", params={"cursor": cursor}),
        await api.alice.get("/rows", params={"kind": "b", "cursor": cursor}),
        await api.alice.get("/others", params={"cursor": cursor}),
    ]
    assert [answer.status_code for answer in foreign] == [422] * 4
    for tampered in (
        cursor[:-2],
        cursor + "AA",
        ("B" if cursor.startswith("A") else "A") + cursor[1:],
        "",
        "!",
        "a",
        "x" * 1025,
        cursor.swapcase(),
        "\u00e4",
    ):
        answer = await api.alice.get("/rows", params={"kind": "a", "cursor": tampered})
        assert answer.status_code == 422, tampered
        assert answer.json()["error"]["details"][0]["path"] == "cursor"
