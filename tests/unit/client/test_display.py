"""How records look in a notebook: escaped, with links that are links."""

import httpx2
import msgspec
import pytest

from nbhub import Hub
from nbhub.display import MOST_ROWS, is_link, table_of
from nbhub.models import Dataset, Server
from tests.unit.client.documented import SCHEMAS, URL, sample

BAD = "<script>alert(1)</script>\"'&"


def made(kind: type[msgspec.Struct], schema: str, **fields: object) -> object:
    return msgspec.convert({**sample(SCHEMAS[schema]), **fields}, kind)


def test_nothing_that_somebody_has_written_becomes_code() -> None:
    html = table_of([made(Dataset, "DatasetView", name=BAD, description=BAD)])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "/local", ' http"://x', "ftp://x"])
def test_only_an_address_of_the_web_is_a_link(url: str) -> None:
    assert "<a " not in table_of([made(Server, "ServerView", url=url)])
    assert not is_link(url)


def test_an_address_leads_there_and_no_further() -> None:
    html = table_of([made(Server, "ServerView", url='https://hub.test/user/x/?a="><script>')])
    assert (
        '<a href="https://hub.test/user/x/?a=&quot;&gt;&lt;script&gt;" target="_blank" rel="noopener noreferrer">'
        in html
    )


def test_a_list_shows_itself() -> None:
    one = sample(SCHEMAS["DatasetView"])
    rows = [one] * (MOST_ROWS + 1)
    hub = Hub(URL, "token", transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=rows)))
    html = hub.datasets.list()._repr_html_()
    assert html.count("<tr>") == MOST_ROWS + 1
    assert "there are more" in html
    rows.clear()
    assert "nothing here" in hub.datasets.list()._repr_html_()


def test_a_record_shows_itself() -> None:
    assert "<th>name</th>" in made(Dataset, "DatasetView")._repr_html_()  # type: ignore[attr-defined]
    names = httpx2.MockTransport(lambda _: httpx2.Response(200, json=["<b>"]))
    assert (
        "&lt;b&gt;" in Hub(URL, "token", transport=names).groups.members(str(sample({"format": "uuid"})))._repr_html_()
    )
