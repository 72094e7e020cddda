"""The help is served as it was built, to everybody, under the policy of the page."""

import re
from pathlib import Path

import httpx
import pytest

from api.app import assemble
from api.built_files import CONTENT_POLICY
from api.help_pages import help_routes
from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings
from stack import tools
from stack.progress import Progress
from tests.unit.api.bench import Client


@pytest.fixture(scope="module")
async def built() -> Path:
    """The help as it is: that it can be built says that no document has a link which leads nowhere."""
    return await tools.help_pages(Progress(quiet=True))


def client(**settings: str) -> httpx.AsyncClient:
    values = Settings(database_url="postgresql:///unused", **settings)  # type: ignore[arg-type]
    return Client(assemble(help_routes(values), settings=values))


async def test_its_address_leads_to_its_first_page(built: Path) -> None:
    async with client(help_directory=str(built)) as nobody:
        for address in ("/help", "/help/"):
            led = await nobody.get(address)
            assert led.status_code == 302
        page = await nobody.get(led.headers["location"])
        known = await nobody.get(led.headers["location"], headers={"if-none-match": page.headers["etag"]})
        index = await nobody.get("/help/search.json")
        missing = [await nobody.get(f"/help/{path}") for path in ("nothing.html", "../../etc/passwd", "_static/")]
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"] == CONTENT_POLICY
    assert known.status_code == 304
    assert [found for found in index.json() if found[:2] == ["errors.html#name-taken", "Codes of errors"]]
    assert [answer.status_code for answer in missing] == [404, 404, 404]


def test_its_pages_need_nothing_that_the_policy_forbids_and_nothing_from_elsewhere(built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        text = page.read_text()
        assert not re.findall(r"<style|<script(?![^>]* src=)|<[^>]* style=|<[^>]* on\w+=", text), page
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?:[a-z]+:)?//", text), page
        assert not re.findall(r'class="[^"]*problematic', text), page


async def test_where_it_was_not_built_its_address_says_what_builds_it() -> None:
    async with client() as nobody:
        answer = await nobody.get("/help")
        page = await nobody.get("/help/index.html")
    assert (answer.status_code, page.status_code) == (404, 404)
    assert "make docs" in answer.text
    assert "NBHUB_HELP_DIRECTORY" in answer.text


def test_a_directory_without_it_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="NBHUB_HELP_DIRECTORY"):
        help_routes(Settings(database_url="postgresql:///unused", help_directory=str(tmp_path)))
