"""The page is served as it was built, to everybody, and nothing else of the file system is."""

import gzip
from pathlib import Path

import httpx
import pytest

from api.app import assemble
from api.built_files import CONTENT_POLICY, MOST_BYTES
from api.page import page_routes
from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings
from tests.unit.api.bench import Client

INDEX = b"<!doctype html><title>The page</title>"
SCRIPT = b"export const answer = 42\n" * 50
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_bytes(INDEX)
    (page / "assets" / "index-3f.js").write_bytes(SCRIPT)
    (page / "assets" / "index-3f.css").write_bytes(b"body {}")
    (tmp_path / "secret.txt").write_text("a secret")
    return page


def client(**settings: str) -> httpx.AsyncClient:
    values = Settings(database_url="postgresql:///unused", **settings)  # type: ignore[arg-type]
    return Client(assemble(page_routes(values), settings=values))


@pytest.mark.parametrize(
    "path",
    [
        "/ui",
        "/ui/",
        "/ui?q=climate&open=1",
        "/ui/servers/0190f3a2-1111-7222-8333-444455556666?open=1",
        "/ui/anything/at/all",
        "/callback?code=1&state=2&iss=http%3A%2F%2Fprovider",
    ],
)
async def test_every_address_of_the_page_is_the_page(directory: Path, path: str) -> None:
    async with client(ui_directory=str(directory)) as nobody:
        answer = await nobody.get(path)
    assert answer.status_code == 200
    assert answer.content == INDEX
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == CONTENT_POLICY
    assert "set-cookie" not in answer.headers


async def test_the_policy_lets_nothing_in_but_what_was_built() -> None:
    rules = {rule.split()[0]: rule.split()[1:] for rule in CONTENT_POLICY.split(";")}
    assert rules["default-src"] == ["'none'"]
    assert rules["require-trusted-types-for"] == ["'script'"]
    for name in ("script-src", "style-src", "connect-src", "form-action"):
        assert rules[name] == ["'self'"], name
    assert "unsafe" not in CONTENT_POLICY


async def test_what_was_built_is_kept_for_ever_and_comes_small_to_who_can_read_that(directory: Path) -> None:
    async with client(ui_directory=str(directory)) as nobody:
        for accepts, zipped in (
            ("gzip, deflate, br", True),
            ("br;q=1.0, GZIP;q=0.5", True),
            ("identity", False),
            ("gzip;q=0", False),
            ("gzip; q=0.000", False),
            ("", False),
        ):
            async with nobody.stream("GET", "/ui/assets/index-3f.js", headers={"accept-encoding": accepts}) as answer:
                raw = b"".join([part async for part in answer.aiter_raw()])
            assert answer.status_code == 200
            assert (gzip.decompress(raw) if zipped else raw) == SCRIPT, accepts
            assert (answer.headers.get("content-encoding") == "gzip") is zipped, accepts
            assert answer.headers["content-type"].startswith("text/javascript")
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["vary"].lower() == "accept-encoding"
        known = {"if-none-match": answer.headers["etag"]}
        again = await nobody.get("/ui/assets/index-3f.js", headers=known)
        other = await nobody.get("/ui/assets/index-3f.css", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert (other.status_code, other.content) == (200, b"body {}")


@pytest.mark.parametrize(
    "path",
    [
        "/ui/assets/index-99.js",
        "/ui/assets/",
        "/ui/assets/../../secret.txt",
        "/ui/assets/..%2f..%2fsecret.txt",
        "/ui/assets/%2e%2e/%2e%2e/secret.txt",
        "/ui/assets/..%5c..%5csecret.txt",
        "/ui/assets//etc/passwd",
        "/ui/assets/%2fetc%2fpasswd",
        "/ui/assets/index-3f.js%00.css",
        "/ui/assets/./index-3f.jsx",
    ],
)
async def test_no_address_leaves_the_directory(directory: Path, path: str) -> None:
    async with client(ui_directory=str(directory)) as nobody:
        # As it is written: a client would tidy it up.
        request = nobody.build_request("GET", "/ui")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await nobody.send(request)
        there = await nobody.get("/ui/assets/index-3f.js")
    assert b"a secret" not in answer.content
    assert b"root:" not in answer.content
    assert answer.status_code == 404 or answer.content == INDEX
    assert there.content == SCRIPT


async def test_a_link_in_the_directory_that_leads_in_a_circle_does_no_harm(directory: Path) -> None:
    (directory / "assets" / "loop").symlink_to(directory)
    async with client(ui_directory=str(directory)) as nobody:
        assert (await nobody.get("/ui/assets/loop/assets/index-3f.js")).status_code == 404
        assert (await nobody.get("/ui/assets/index-3f.js")).status_code == 200


async def test_a_browser_is_led_to_the_page_and_a_program_sees_what_it_saw(directory: Path) -> None:
    async with client(ui_directory=str(directory)) as nobody:
        led = await nobody.get("/?error=x", headers=BROWSER)
        program = await nobody.get("/", headers={"accept": "application/json"})
        unspecific = await nobody.get("/")
    assert (led.status_code, led.headers["location"]) == (302, "/ui")
    for answer in (program, unspecific):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "ENTITY_NOT_FOUND"


@pytest.mark.parametrize("path", ["/", "/ui", "/ui/servers", "/callback?code=secret&state=x"])
async def test_the_page_may_be_elsewhere(path: str) -> None:
    async with client(ui_url="https://ui.example.org/hub") as nobody:
        answer = await nobody.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://ui.example.org/hub")


async def test_without_a_page_its_address_says_how_there_will_be_one() -> None:
    async with client() as nobody:
        answer = await nobody.get("/ui", headers=BROWSER)
        asset = await nobody.get("/ui/assets/index-3f.js")
    assert answer.status_code == 404
    assert "NBHUB_UI_DIRECTORY" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert asset.status_code == 404


def test_a_directory_without_a_page_or_with_far_too_much_is_refused_at_the_start(directory: Path) -> None:
    page_routes(Settings(database_url="postgresql:///unused", ui_directory=str(directory)))
    for wrong in (directory / "assets", directory / "missing"):
        with pytest.raises(SettingsInvalid, match="NBHUB_UI_DIRECTORY"):
            page_routes(Settings(database_url="postgresql:///unused", ui_directory=str(wrong)))
    with (directory / "assets" / "huge.js").open("wb") as huge:
        huge.truncate(MOST_BYTES)
    with pytest.raises(SettingsInvalid, match="NBHUB_UI_DIRECTORY"):
        page_routes(Settings(database_url="postgresql:///unused", ui_directory=str(directory)))
