"""The page in a real browser: from its address to code that runs, under a strict policy, for everybody."""

import asyncio
import gzip
import os
import re
import sys
from pathlib import Path

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, FilePayload, Locator, Page, Route, expect
from playwright.async_api import Error as PlaywrightError

from tests.e2e.people import Member, until
from tests.e2e.visitors import SECONDS, barriers, visiting
from tests.project import PROJECT
from tests.stacks import Stack

PICTURES = PROJECT / "docs" / "page"
SEEN: list[tuple[str, list[str], str]] = [
    ("", [], "Start something"),
    ("", ["Account"], "Dark"),
    ("", ["Search or jump to"], "New server"),
    ("", ["More for Sediment", "Share"], "Whoever opens it"),
    ("", ["More for Sediment", "Delete …"], "It is stopped first"),
    ("", ["Sediment"], "What happened"),
    ("launch", [], "What will be inside"),
    ("templates", [], "Ice week"),
    ("templates?new=1", [], "Where it stands"),
    ("templates", ["More for Ice week", "Edit"], "Words to find it by"),
    ("datasets", [], "firn"),
    ("datasets?new=1", [], "Servers have it at"),
    ("datasets", ["More for firn", "Edit"], "Servers have it under the new name"),
    ("datasets", ["Share firn", "Why? alice@example.org"], "read only"),
    ("modules", [], "icetools/3"),
    ("modules?new=1", [], "The modulefile"),
    ("modules", ["More for icetools/3", "Edit"], "prepend_path("),
    ("modules", ["Share icetools/3"], "What is taken back is true at once"),
    ("secrets", [], "version 1"),
    ("secrets?new=1", [], "Take it from a file"),
    ("secrets", ["More for KEY", "Edit"], "Leave it empty"),
    ("secrets", ["Share KEY"], "What is taken back is true at once"),
    ("groups", [], "in your servers"),
    ("groups?new=1", [], "Everybody sees the name"),
    ("groups", ["Members: firn"], "bob@example.org"),
    ("groups", ["you: firn", "Leave …"], "Leave firn?"),
    ("groups", ["More for firn", "Delete …"], "Delete group and files"),
    ("files", [], "empty"),
    ("files/notebooks/empty", [], "Nothing is in here yet"),
    ("files", ["New folder"], "Name of the folder"),
    ("files", ["More for empty", "Rename"], "New name"),
    ("files", ["More for empty", "Delete …"], "Delete folder"),
    ("nothing", [], "There is nothing at this address"),
]
"""Every page and dialog: its address, what is pressed there, and what is shown then."""
FIRST_BYTES, ALL_BYTES = 170_000, 280_000


async def test_a_template_is_started_by_its_card_and_nobody_else_is_asked(
    admin: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    api = stack.info.api
    template = await admin.make_template(name="Image analysis", type="featured", public=True)
    async with visiting(browser, api) as carol:
        page = carol.page
        await carol.sign_in("carol@example.org")
        await expect(page.get_by_role("heading", name="Start something")).to_be_visible()
        await page.get_by_role("button", name="Start Image analysis").click()
        # The page says how far it is, and turns into the server by itself.
        await expect(page.get_by_role("heading", name="Image analysis", exact=True)).to_be_visible()
        await expect(page.get_by_text("Wait for its first answer")).to_be_visible(timeout=SECONDS)
        await page.wait_for_url(f"{stack.info.jupyterhub}/user/**/lab**", timeout=SECONDS, wait_until="commit")
        await page.goto(f"{api}/ui")
        row = page.get_by_role("row", name="Image analysis")
        await expect(row.get_by_role("link", name="Open Image analysis")).to_be_visible()
        if request.config.getoption("--screenshots"):
            PICTURES.mkdir(exist_ok=True)
            await carol.picture(PICTURES / "home")
        await row.get_by_role("button", name="Stop Image analysis").click()
        await expect(row.get_by_text("Stopped", exact=True)).to_be_visible(timeout=SECONDS)
        await row.get_by_role("button", name="More for Image analysis").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("alertdialog").get_by_role("button", name="Delete server").click()
        await expect(row).to_have_count(0, timeout=SECONDS)
        assert all(url.startswith((api, stack.info.issuer, stack.info.jupyterhub, "data:")) for url in carol.asked)
    await admin.call("DELETE", "/template", params={"id": template["_id"]}, expect=204)


async def test_pages_of_one_browser_are_there_after_each_reload_also_when_the_api_is_killed(
    bob: Member, stack: Stack, browser: Browser
) -> None:
    """Each page that is loaded needs a token and what is new, and a browser has but six connections for all of them."""
    server = await bob.make_server(name="Glaciers")
    async with visiting(browser, stack.info.api) as visitor:
        await visitor.sign_in(bob.email, f"/ui/servers/{server['_id']}")
        there = visitor.page.url
        still, *others = [await visitor.page.context.new_page() for _ in range(3)]

        async def loads(page: Page) -> None:
            while True:
                try:
                    await page.goto(there)
                    break
                except PlaywrightError:
                    if not killed:
                        raise
                    await alive.wait()
            await expect(page.get_by_role("heading", name="Glaciers", exact=True)).to_be_visible(timeout=SECONDS)

        alive, killed = asyncio.Event(), False
        alive.set()
        await loads(still)
        for number in range(10):
            asks = asyncio.create_task(visitor.page.wait_for_event("request", lambda sent: "/auth/" in sent.url))
            loading = [asyncio.create_task(loads(page)) for page in (visitor.page, *others)]
            await asks
            if number == 5:
                alive.clear()
                killed = True
                stack.kill("api")
                await stack.died("api")
                # One that nobody loads again, and that needs a part of the page that it has not yet.
                await still.get_by_role("link", name="Modules").click()
                await stack.start_part("api")
                alive.set()
            await asyncio.gather(*loading)
        await expect(still.get_by_role("heading", name="Modules")).to_be_visible()
        await bob.succeeded(await bob.delete(server))
        for page in (visitor.page, *others):
            await expect(page.get_by_text("There is nothing at this address")).to_be_visible(timeout=SECONDS)


async def test_a_dataset_is_made_shared_taken_back_and_comes_back_out_of_the_trash(
    bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/datasets")
        await page.get_by_role("button", name="New dataset").click()
        await page.get_by_label("Name").fill("ice-cores")
        await page.get_by_role("dialog").get_by_role("button", name="Create").click()
        await page.get_by_role("button", name="Share ice-cores").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("With whom").fill("alice@example.org, carol@example.org nobodys-group")
        await expect(dialog.get_by_text("it is no address: nobodys-group")).to_be_visible()
        await expect(dialog.get_by_role("button", name="Share", exact=True)).to_be_disabled()
        await dialog.get_by_label("With whom").fill("alice@example.org, carol@example.org")
        await dialog.get_by_label("Until").fill("2099-01-31")
        await _each_line_does_the_same(dialog, bob, stack)
        await dialog.get_by_role("button", name="Share", exact=True).click()
        for entity in ("alice@example.org", "carol@example.org"):
            await expect(dialog.get_by_role("button", name=f"Take back: {entity}")).to_be_visible(timeout=SECONDS)
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "share")
        (dataset,) = [one for one in await bob.call("GET", "/datasets") if one["name"] == "ice-cores"]
        access = {one["entity"]: one for one in await bob.call("GET", f"/datasets/{dataset['_id']}/access")}
        assert access["carol@example.org"]["access"] == "read"
        assert access["carol@example.org"]["expires_at"].startswith("2099-01-31")
        await dialog.get_by_role("button", name="Take back: carol@example.org").click()
        await expect(dialog.get_by_role("button", name="Take back: carol@example.org")).to_have_count(
            0, timeout=SECONDS
        )
        # The button is gone, and the keyboard is still in the dialog.
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="More for ice-cores").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("button", name="Restore ice-cores").click()
        await expect(page.get_by_role("button", name="Share ice-cores")).to_be_visible(timeout=SECONDS)
    await bob.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))


async def _each_line_does_the_same(dialog: Locator, bob: Member, stack: Stack) -> None:
    """What is shown for a terminal and a program shares it as the button would."""
    (dataset,) = [one for one in await bob.call("GET", "/datasets") if one["name"] == "ice-cores"]
    whom = {"userArray": ["alice@example.org", "carol@example.org"]}
    for line in (await _lines(dialog)).values():
        await _done(line, bob, stack)
        access = await bob.call("GET", f"/datasets/{dataset['_id']}/access")
        given = {one["entity"]: (one["access"], one["expires_at"][:10]) for one in access if "expires_at" in one}
        assert given == dict.fromkeys(whom["userArray"], ("read", "2099-01-31")), line
        revoked = {"relation": "read", **whom}
        await bob.call("POST", f"/datasets/{dataset['_id']}/revoke", json=revoked, expect=(200, 202))
    await expect(dialog.get_by_role("button", name="Take back: carol@example.org")).to_have_count(0)


async def _lines(shown: Locator) -> dict[str, str]:
    """What is shown for a terminal and a program, by the name of its language."""
    await shown.get_by_text("The same by a command").click()
    ways = [await way.locator("span, pre").all_inner_texts() for way in await shown.locator(".way").all()]
    assert [name for name, _ in ways] == ["nbhub", "curl", "Python"]
    return dict(ways)


async def _done(line: str, person: Member, stack: Stack) -> None:
    """Do what a line says, in the terminal of a person, or in Python."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NBHUB_URL": stack.info.api,
        "NBHUB_TOKEN": await stack.token(person.email),
    }
    shell = (sys.executable, "-c") if line.startswith("from ") else ("bash", "-c")
    process = await asyncio.create_subprocess_exec(*shell, line, env=environment)
    assert await process.wait() == 0, line


async def test_a_server_is_launched_as_its_address_says(
    admin: Member, bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    ice = await admin.call("POST", "/datasets", json={"name": "ice"}, headers={"Prefer": "wait=10"})
    template = await admin.make_template(name="Glacier statistics", type="featured", public=True, datasets=[ice["_id"]])
    dataset = await bob.call("POST", "/datasets", json={"name": "firn"}, headers={"Prefer": "wait=10"})
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email)
        await page.get_by_role("link", name="Adjust Glacier statistics").click()
        summary = page.get_by_role("complementary")
        await expect(summary.get_by_text("Glacier statistics")).to_be_visible()
        # What bob will not have is said before anything is made, and why.
        await expect(summary.get_by_text(re.compile("Left out: dataset .* may not use it"))).to_be_visible()
        assert await bob.call("GET", "/servers", params={"q": "Glacier"}) == []
        await page.get_by_role("radio", name="Large").check()
        await page.get_by_role("checkbox", name="firn").check()
        await page.get_by_label("Name", exact=True).fill("Firn")
        # Whatever was chosen is in the address.
        await page.reload()
        await expect(page.get_by_role("radio", name="Large")).to_be_checked()
        await expect(summary.get_by_text("firn", exact=True)).to_be_visible()
        await expect(page.get_by_label("Name", exact=True)).to_have_value("Firn")
        await expect(summary.get_by_text("a template of its own")).to_be_visible()
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "launch")
        for line in (await _lines(summary)).values():
            # Each of them waits until it runs.
            await _done(line.replace("--start", "").replace(".wait()", ""), bob, stack)
        await summary.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("heading", name="Firn", exact=True)).to_be_visible()
        servers = await bob.call("GET", "/servers", params={"q": "Firn"})
        assert sum(server["_id"] in page.url for server in servers) == 1
        for server in servers:
            assert server["templateData"]["datasets"] == [dataset["_id"]]
            assert server["templateData"]["hardware"] == "cpuLarge"
        kinds = [
            {one["kind"] for one in await bob.call("GET", "/operations", params={"subject": server["_id"]})}
            for server in servers
        ]
        assert sum("server.start" in done for done in kinds) == 3, "all but nbhub, which was to start none"
        await page.get_by_role("button", name="Cancel Firn").click()
    for server in servers:
        await bob.succeeded(await bob.delete(server))
    await bob.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))
    await admin.call("DELETE", "/template", params={"id": template["_id"]}, expect=204)
    await admin.call("DELETE", f"/datasets/{ice['_id']}", expect=(202, 204))


async def test_a_secret_is_written_and_what_is_typed_outlives_others(
    bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/secrets")
        await page.get_by_role("button", name="New secret").click()
        form = page.get_by_role("dialog")
        await form.get_by_label("Name of the variable").fill("S3_TOKEN")
        await form.get_by_label("Description").fill("for the archive")
        # What was typed is there after a reload; a value never is, nor is it kept anywhere.
        await page.reload()
        await expect(form.get_by_label("Name of the variable")).to_have_value("S3_TOKEN")
        await form.get_by_label("Value").fill("swordfish")
        kept = await page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage)].join()")
        assert "archive" in kept
        assert "swordfish" not in kept
        await form.get_by_role("button", name="Create").click()
        line = page.get_by_role("listitem").filter(has_text="S3_TOKEN")
        await expect(line.get_by_text("version 1")).to_be_visible(timeout=SECONDS)
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "secrets")
        await _one_bad_look_says_nothing(page, stack)
        await _what_is_away_is_said_until_it_is_back(page, stack)

        (secret,) = await bob.call("GET", "/secrets", params={"name": "S3_TOKEN"})
        await page.get_by_role("button", name="More for S3_TOKEN").click()
        await page.get_by_role("menuitem", name="Edit").click()
        await form.get_by_label("Description").fill("for the new archive")
        await bob.call("PATCH", f"/secret/{secret['_id']}", json={"description": "of somebody else"})
        await form.get_by_role("button", name="Save").click()
        await expect(form.get_by_text("Somebody else changed it meanwhile")).to_be_visible()
        await expect(form.get_by_label("Description")).to_have_value("for the new archive")
        await form.get_by_role("button", name="Save").click()
        await expect(line.get_by_text("for the new archive")).to_be_visible(timeout=SECONDS)

        await page.get_by_role("button", name="More for S3_TOKEN").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("button", name="Undo").click()
        await bob.call("GET", f"/secret/{secret['_id']}")
        await page.get_by_role("button", name="More for S3_TOKEN").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await expect(line).to_have_count(0, timeout=SECONDS)
        await bob.call("GET", f"/secret/{secret['_id']}", expect=404)


async def _one_bad_look_says_nothing(page: Page, stack: Stack) -> None:
    health = f"{stack.info.api}/healthcheck"
    looks: list[str] = []

    async def bad_once(route: Route) -> None:
        looks.append(route.request.url)
        answer = await route.fetch()
        said = await answer.json()
        if len(looks) == 1:
            said["checks"]["vault"]["status"] = "failed"
        await route.fulfill(response=answer, json=said)

    away = page.get_by_text("Vault is away")
    await page.route(health, bad_once)
    async with page.expect_response(health):
        await page.reload()
    async with page.expect_response(health):
        await expect(page.get_by_role("heading", name="Secrets")).to_be_visible()
        await expect(away).to_have_count(0)
    await expect(away).to_have_count(0)
    await page.unroute_all(behavior="wait")


async def _what_is_away_is_said_until_it_is_back(page: Page, stack: Stack) -> None:
    health = f"{stack.info.api}/healthcheck"

    async def vault() -> str:
        return str((await (await page.request.get(health)).json())["checks"]["vault"]["status"])

    stack.freeze("vault")
    try:
        # One look serves everybody for a moment, and pages look again after a minute.
        await until(vault, lambda seen: seen == "failed", within=60, what="the health misses Vault")
        asked = _asked_by(page)
        await page.reload()
        beside = await page.context.new_page()
        asked_beside = _asked_by(beside)
        await beside.goto(f"{stack.info.api}/ui")
        for one in (page, beside):
            said = one.get_by_role("status").filter(has_text="Vault is away")
            await expect(said).to_contain_text("everything else works", timeout=SECONDS)
    finally:
        stack.thaw("vault")
    for one in (page, beside):
        await expect(one.get_by_text("Vault is away")).to_have_count(0, timeout=SECONDS)
        await expect(one.get_by_text("Vault is back")).to_be_visible()
    # One page of a browser asks for all of them.
    assert (health in asked) != (health in asked_beside)
    await beside.close()


async def test_what_had_trouble_is_looked_into_twice(bob: Member, stack: Stack, browser: Browser) -> None:
    """The first look may be answered by what was seen a moment before."""
    health = f"{stack.info.api}/healthcheck"
    looks: list[str] = []

    async def well_once(route: Route) -> None:
        looks.append(route.request.url)
        answer = await route.fetch()
        said = await answer.json()
        if len(looks) > 1:
            said["checks"]["vault"]["status"] = "failed"
        await route.fulfill(response=answer, json=said)

    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await page.add_init_script(_without_timers_of(30_000))
        async with page.expect_response(health):
            await visitor.sign_in(bob.email, "/ui/datasets")
        await page.route(health, well_once)
        await page.route("**/secrets?*", lambda route: route.abort())
        await page.get_by_role("link", name="Secrets").click()
        await expect(page.get_by_text("Vault is away")).to_be_visible()
        await page.unroute_all(behavior="wait")


async def test_a_module_is_made_line_by_line_and_says_where_it_is_wrong(
    bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/modules?new=1")
        form = page.get_by_role("dialog")
        await form.get_by_label("Name", exact=True).fill("icetools")
        await form.get_by_label("Version").fill("2.1")
        await form.get_by_label("Line 1: text").fill("Tools for ice")
        await form.get_by_role("button", name="Add a line").click()
        await form.get_by_label("Line 2: variable").fill("LD PRELOAD")
        await form.get_by_label("Line 2: path").fill("/opt/ice/bin")
        await expect(form.get_by_text('prepend_path("LD PRELOAD", "/opt/ice/bin")')).to_be_visible()
        await form.get_by_role("button", name="Create").click()
        await expect(form.get_by_role("listitem").get_by_text("must be the name of a variable")).to_be_visible()
        await form.get_by_label("Line 2: variable").fill("PATH")
        # What was said of a line is about what it was.
        await expect(form.get_by_text("must be the name of a variable")).to_have_count(0)
        await form.get_by_role("button", name="Move line 2 up").click()
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "module")
        await form.get_by_role("button", name="Create").click()
        await expect(page.get_by_text("icetools/2.1", exact=True)).to_be_visible(timeout=SECONDS)
        (module,) = [one for one in await bob.call("GET", "/modules") if one["name"] == "icetools"]
        assert [call["id"] for call in module["luaModuleFile"]] == ["prepend_path", "whatis"]
        await page.get_by_role("button", name="More for icetools/2.1").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("button", name="Restore icetools").click()
        await expect(page.get_by_role("button", name="Share icetools/2.1")).to_be_visible(timeout=SECONDS)
    await bob.call("DELETE", f"/modules/{module['_id']}", expect=(202, 204))


async def test_a_group_is_made_and_people_come_and_go(
    alice: Member, bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/groups")
        await page.get_by_role("button", name="New group").click()
        form = page.get_by_role("dialog")
        await form.get_by_label("Name").fill("glaciers")
        await form.get_by_role("button", name="Create").click()
        await page.get_by_role("button", name="Members: glaciers").click()
        members = page.get_by_role("dialog")
        await members.get_by_label("Whom to add").fill("alice@example.org, carol@example.org, not@anaddress@")
        await members.get_by_role("button", name="Add", exact=True).click()
        # Each address has its own answer, and what was refused stays to be mended.
        await expect(members.get_by_text("carol@example.org: added")).to_be_visible(timeout=SECONDS)
        await expect(members.get_by_text("not@anaddress@: ")).to_be_visible()
        await expect(members.get_by_label("Whom to add")).to_have_value("not@anaddress@")
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "group")
        await members.get_by_role("button", name="More for carol@example.org").click()
        await page.get_by_role("menuitem", name="Remove from the group").click()
        await expect(members.get_by_role("button", name="More for carol@example.org")).to_have_count(0, timeout=SECONDS)
        (group,) = await bob.call("GET", "/groups", params={"q": "glaciers"})
        assert await bob.call("GET", f"/groups/{group['_id']}/members") == [alice.email, bob.email]
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(alice.email, "/ui/groups")
        line = page.get_by_role("listitem").filter(has_text="glaciers")
        await line.get_by_role("button", name="you: glaciers").click()
        await page.get_by_role("menuitem", name="Keep out of my servers").click()
        await expect(line.get_by_text("kept out of your servers")).to_be_visible(timeout=SECONDS)
        await line.get_by_role("button", name="you: glaciers").click()
        await page.get_by_role("menuitem", name="Leave").click()
        await page.get_by_role("alertdialog").get_by_role("button", name="Leave").click()
        await expect(line.get_by_text("you are not in it")).to_be_visible(timeout=SECONDS)
    await bob.call("DELETE", f"/groups/{group['_id']}", expect=(202, 204))


async def test_a_template_is_made_for_everybody_and_taken_away_again(
    bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/templates")
        await page.get_by_role("button", name="New template").click()
        form = page.get_by_role("dialog")
        await form.get_by_label("Name", exact=True).fill("Ice week")
        await form.get_by_role("radio", name="VS Code").check()
        await form.get_by_label("Tags").fill("ice, teaching")
        await form.get_by_role("checkbox", name="Everybody may use it").check()
        await form.get_by_role("button", name="Create").click()
        line = page.get_by_role("listitem").filter(has_text="Ice week")
        await expect(line.get_by_text("everybody")).to_be_visible()
        await expect(line.get_by_text("teaching")).to_be_visible()
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "templates")
        await line.get_by_role("link", name="Use Ice week").click()
        await expect(page.get_by_role("radio", name=re.compile("^VS Code"))).to_be_checked()
        await page.go_back()
        await page.get_by_role("button", name="More for Ice week").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await expect(line).to_have_count(0, timeout=SECONDS)
        assert await bob.call("GET", "/templates", params={"q": "Ice week"}) == []


async def test_files_go_up_and_come_down_and_are_renamed_by_the_keyboard(
    bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    long = "measured-" * 20
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        # Who has started nothing yet gets a home.
        await visitor.sign_in(bob.email, "/ui/files")
        await page.get_by_role("button", name="New folder").click()
        await page.get_by_label("Name of the folder").fill("ice")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("link", name="ice", exact=True).click()
        await expect(page.get_by_text("Nothing is in here yet")).to_be_visible()
        large = bytes(range(256)) * 40_000
        chosen: list[FilePayload] = [
            {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Firn"},
            {"name": f"{long}.bin", "mimeType": "application/octet-stream", "buffer": large},
        ]
        await page.get_by_label("Upload", exact=True).set_input_files(chosen)
        await expect(page.get_by_role("row", name=long)).to_contain_text("10.2 MB", timeout=SECONDS)
        # What is there is not replaced without being asked.
        again: FilePayload = {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Firn, again"}
        await page.get_by_label("Upload", exact=True).set_input_files(again)
        uploads = page.get_by_role("region", name="Uploads")
        await expect(uploads.get_by_text("is there already")).to_be_visible()
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "files")
        await uploads.get_by_role("button", name="Replace it").click()
        await expect(uploads.get_by_text("done")).to_have_count(3)
        content = {"root": "notebooks", "path": "ice/notes.md"}
        assert (await bob.api.get("/volume/file", params=content)).content == b"# Firn, again"
        kept = await bob.api.get("/volume/file", params={"root": "notebooks", "path": f"ice/{long}.bin"})
        assert kept.content == large
        async with page.expect_download() as saving:
            await page.get_by_role("button", name="notes.md", exact=True).click()
        saved = await (await saving.value).path()
        assert await asyncio.to_thread(saved.read_bytes) == b"# Firn, again"

        await page.get_by_role("button", name=f"{long}.bin", exact=True).focus()
        await page.keyboard.press("End")
        await page.keyboard.press("F2")
        await page.get_by_label("New name").fill("firn.md")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="firn.md", exact=True).focus()
        await page.keyboard.press("Delete")
        await page.get_by_role("button", name="Undo").click()
        await expect(page.get_by_role("button", name="Undo")).to_have_count(0)
        await page.get_by_role("button", name="firn.md", exact=True).focus()
        await page.keyboard.press("Backspace")
        await page.get_by_role("button", name="More for ice").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await page.get_by_role("button", name="Delete folder").click()
        await expect(page.get_by_role("link", name="ice", exact=True)).to_have_count(0, timeout=SECONDS)


async def test_an_admin_stops_the_servers_that_a_filter_finds(
    admin: Member, bob: Member, stack: Stack, browser: Browser, request: pytest.FixtureRequest
) -> None:
    server = await bob.started(name="Runaway")
    other = await bob.make_server(name="Quiet")
    async with visiting(browser, stack.info.api, bypass_csp=True) as visitor:
        page = visitor.page
        await visitor.sign_in(admin.email, f"/ui/admin?owner={bob.email}&name=Run")
        await expect(page.get_by_text("database: well")).to_be_visible(timeout=SECONDS)
        await page.get_by_label("All that are shown").check()
        await page.get_by_role("button", name="Stop 1 server …").click()
        await expect(page.get_by_role("alertdialog").get_by_text(f"They belong to {bob.email}")).to_be_visible()
        await page.get_by_role("button", name="Stop them").click()
        await expect(page.get_by_text("1 of 1 asked to stop")).to_be_visible(timeout=SECONDS)
        await bob.becomes(server, "stopped")
        if request.config.getoption("--screenshots"):
            await page.get_by_label("State").first.select_option("stopped")
            await page.get_by_label("Name", exact=True).fill("")
            await expect(page.get_by_label("Quiet, bob@example.org")).to_be_visible()
            await visitor.picture(PICTURES / "admin")
        assert await barriers(page) == []
        await page.goto(f"{stack.info.api}/ui/admin")
        await page.get_by_label("Address or name").fill(bob.email[:5])
        await expect(page.get_by_role("button", name=f"Servers: {bob.email}")).to_be_visible()
        assert await barriers(page) == []
        await page.get_by_role("link", name=f"Audit: {bob.email}").click()
        await expect(page.get_by_label("Who", exact=True)).to_have_value(bob.email)
        done = page.get_by_role("listitem").filter(has_text=f"by {bob.email}")
        await expect(done.first).to_be_visible()
        await page.get_by_label("Who", exact=True).fill(admin.email)
        await page.get_by_label("To what", exact=True).fill(server["_id"])
        await expect(page.get_by_role("listitem").filter(has_text="server.stop")).to_have_count(1)
        await expect(done).to_have_count(0)
        if request.config.getoption("--screenshots"):
            await visitor.picture(PICTURES / "audit")
        assert await barriers(page) == []
        async with page.expect_download() as saving:
            await page.get_by_role("button", name="Save as CSV").click()
        saved = (await asyncio.to_thread((await (await saving.value).path()).read_text)).splitlines()
        assert [("server.stop" in line, admin.email in line, server["_id"] in line) for line in saved[1:]] == [
            (True,) * 3
        ]
        await page.goto(f"{stack.info.api}/ui/admin/audit?since=never")
        await expect(page.get_by_text("since").first).to_be_visible()
        await page.goto(f"{stack.info.api}/ui/servers/{server['_id']}")
        await page.get_by_text("The same by a command").click()
        await expect(page.get_by_text(f"nbhub servers start {server['_id']}")).to_be_visible()
        assert await barriers(page) == []
    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/admin")
        await expect(page.get_by_text("There is nothing at this address")).to_be_visible()
        await page.goto(f"{stack.info.api}/ui/admin/audit")
        await expect(page.get_by_text("There is nothing at this address")).to_be_visible()
        # Whatever one has is found by its name.
        await page.keyboard.press("Control+k")
        await page.get_by_role("combobox").fill("runaw")
        await expect(page.get_by_role("option", name="Runaway server")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Runaway")).to_be_visible()
    for one in (server, other):
        await bob.succeeded(await bob.delete(one))


async def test_lists_go_on_and_say_how_much_there_is(stack: Stack, browser: Browser) -> None:
    email = "dave@elsewhere.org"
    token = await stack.token(email)
    async with (
        Member.signed_in(stack.info.api, email, token) as dave,
        visiting(browser, stack.info.api, bypass_csp=True) as visitor,
    ):
        server = await dave.make_server(name="Core 1200")
        await _run(stack, _COPY, server["_id"], 1199)
        page = visitor.page
        await visitor.sign_in(email)
        rows = page.locator("tbody").get_by_role("row")
        await expect(page.get_by_text("100 of 1,200 are shown.")).to_be_visible()
        await expect(rows).to_have_count(100)
        await page.get_by_role("button", name="Show more").click()
        await expect(page.get_by_text("200 of 1,200 are shown.")).to_be_visible()
        await expect(rows).to_have_count(200)
        # What is not shown yet is found, and the address says what was looked for.
        await page.get_by_label("Filter servers").fill("core 777")
        await expect(page.get_by_role("link", name="Core 777")).to_be_visible()
        await expect(rows).to_have_count(1)
        await page.get_by_label("State").select_option("running")
        await expect(page.get_by_text("No server is like that.")).to_be_visible()
        await page.reload()
        await expect(page.get_by_text("No server is like that.")).to_be_visible()
        await page.get_by_role("button", name="Clear the filter").click()
        await expect(rows).to_have_count(100)
        assert await barriers(page) == []
        await page.keyboard.press("Control+k")
        await expect(page.get_by_role("combobox", name="A page, a server")).to_be_focused()
        await page.keyboard.type("core 1077")
        await expect(page.get_by_role("option", name="Core 1077 server")).to_be_visible()
        await page.goto(f"{stack.info.api}/ui/templates")
        await expect(page.get_by_text(re.compile(r"100 of 1,\d+ are shown."))).to_be_visible()
    await _run(stack, _DELETE, server["_id"])


_DELETE = """
    with gone as (delete from server where owner = (select owner from server where id = $1) returning template)
    delete from template where id in (select template from gone)"""
# Made one by one, they would take a minute.
_COPY = """
    with copies as (select uuidv7() as server, uuidv7() as template, 'Core ' || number as name
                    from generate_series(1, $2::int) as number),
    templates as (insert into template
                  select (jsonb_populate_record(was, jsonb_build_object('id', copies.template, 'name', copies.name))).*
                  from copies, server join template as was on was.id = server.template where server.id = $1)
    insert into server
    select (jsonb_populate_record(was, jsonb_build_object(
        'id', copies.server, 'name', copies.name, 'template', copies.template,
        'template_data', jsonb_set(was.template_data, '{name}', to_jsonb(copies.name))))).*
    from copies, server as was where was.id = $1"""


async def _run(stack: Stack, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(stack.info.database)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


def _without_timers_of(milliseconds: int) -> str:
    """A script by which a page does nothing that it would do after so long: what it does then, it was told to."""
    return f"""for (const name of ["setTimeout", "setInterval"]) {{
        const real = window[name]
        window[name] = (run, milliseconds, ...more) =>
            milliseconds >= {milliseconds} ? 0 : real(run, milliseconds, ...more)
    }}"""


async def test_two_browsers_are_told_of_each_others_changes(bob: Member, stack: Stack, browser: Browser) -> None:
    api = stack.info.api
    async with visiting(browser, api) as here, visiting(browser, api) as there:
        pages = here.page, there.page
        for visitor in (here, there):
            await visitor.sign_in(bob.email)
            await visitor.page.add_init_script(_without_timers_of(1000))
            async with visitor.page.expect_response(f"{api}/events"):
                await visitor.page.goto(f"{api}/ui/datasets")
            # A second page of a browser has no stream of its own.
            beside = await visitor.page.context.new_page()
            asked = _asked_by(beside)
            await beside.goto(f"{api}/ui/datasets")
            await expect(beside.get_by_role("heading", name="Datasets")).to_be_visible()
            assert f"{api}/events" not in asked
        for one, other in (pages, pages[::-1]):
            await one.get_by_role("button", name="New dataset").click()
            await one.get_by_label("Name").fill("moraine")
            await one.get_by_role("dialog").get_by_role("button", name="Create").click()
            await expect(other.get_by_role("button", name="Share moraine")).to_be_visible(timeout=SECONDS)
            await other.get_by_role("button", name="More for moraine").click()
            await other.get_by_role("menuitem", name="Delete").click()
            await expect(one.get_by_role("button", name="Share moraine")).to_have_count(0, timeout=SECONDS)


def _asked_by(page: Page) -> list[str]:
    """The addresses that a page asks for from now on."""
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    return asked


async def test_a_code_of_another_browser_signs_nobody_in(stack: Stack, browser: Browser) -> None:
    async with visiting(browser, stack.info.api) as visitor:
        await visitor.page.goto(f"{stack.info.api}/callback?code=stolen&state=of-another")
        await expect(visitor.page.get_by_role("heading", name="The sign-in did not work")).to_be_visible()
        await visitor.page.get_by_role("link", name="Try again").click()
        await expect(visitor.page.locator("input[name=email]")).to_be_visible()


async def test_nobody_is_kept_out_of_a_page_or_a_dialog(
    alice: Member, bob: Member, stack: Stack, browser: Browser
) -> None:
    wait = {"Prefer": "wait=10"}
    server = await bob.make_server(name="Sediment")
    template = await bob.make_template(name="Ice week", tags=["ice"])
    dataset = await bob.call("POST", "/datasets", json={"name": "firn"}, headers=wait)
    shared = {"relation": "read", "userArray": [alice.email]}
    await bob.call("POST", f"/datasets/{dataset['_id']}/share", json=shared, headers=wait, expect=(200, 202))
    calls = [{"id": "prepend_path", "arguments": ["PATH", "/opt/ice/bin"]}]
    body = {"name": "icetools", "version": "3", "luaModuleFile": calls}
    module = await bob.call("POST", "/modules", json=body, headers=wait)
    secret = await bob.call("POST", "/secrets", json={"secretName": "KEY", "type": "env_var", "value": "x"})
    group = await bob.call("POST", "/groups", json={"name": "firn"}, headers=wait)
    await bob.call("PUT", "/initialize", headers=wait, expect=(200, 202))
    folder = {"root": "notebooks", "path": ""}
    await bob.call("POST", "/volume/file", json=folder | {"name": "empty", "type": "directory"}, expect=(200, 201))
    async with visiting(browser, stack.info.api, bypass_csp=True) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email)
        for address, steps, shown in SEEN:
            await page.goto(f"{stack.info.api}/ui/{address}")
            for name in steps:
                step = page.get_by_role("button", name=name).or_(page.get_by_role("menuitem", name=name))
                await step.or_(page.get_by_role("link", name=name)).first.click()
            await expect(page.get_by_text(shown).last).to_be_visible()
            assert await barriers(page) == [], (address, steps)
    for path in (
        f"/template?id={template['_id']}",
        f"/servers/{server['_id']}",
        f"/datasets/{dataset['_id']}",
        f"/modules/{module['_id']}",
        f"/secret/{secret['_id']}",
        f"/groups/{group['_id']}",
        "/volume/file?root=notebooks&path=empty",
    ):
        await bob.call("DELETE", path, expect=(200, 202, 204))


async def test_the_keyboard_is_enough(alice: Member, bob: Member, stack: Stack, browser: Browser) -> None:
    dataset = await bob.call("POST", "/datasets", json={"name": "moulin"}, headers={"Prefer": "wait=10"})

    async def readers() -> list[str]:
        access = await bob.call("GET", f"/datasets/{dataset['_id']}/access")
        return [one["entity"] for one in access if one["access"] == "read"]

    async with visiting(browser, stack.info.api) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/datasets")
        await _tab_to(page, page.get_by_role("button", name="Share moulin"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("With whom")).to_be_focused()
        await page.keyboard.type(alice.email)
        await page.keyboard.press("Enter")
        take = page.get_by_role("button", name=f"Take back: {alice.email}")
        await expect(take).to_be_visible(timeout=SECONDS)
        assert await readers() == [alice.email]
        await _tab_to(page, take)
        await page.keyboard.press("Enter")
        await expect(take).to_have_count(0)
        assert await readers() == []
        await page.keyboard.press("Control+z")
        await expect(take).to_be_visible(timeout=SECONDS)
        assert await readers() == [alice.email]
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="Share moulin")).to_be_focused()

        await page.keyboard.press("Control+k")
        await expect(page.get_by_role("combobox", name="A page, a server")).to_be_focused()
        await page.keyboard.type("servers")
        await expect(page.get_by_role("option", name="Servers page")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Start something")).to_be_visible()
        await _tab_to(page, page.get_by_role("button", name="Start JupyterLab"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="JupyterLab", exact=True)).to_be_visible()
        await _tab_to(page, page.get_by_role("button", name="Cancel JupyterLab"), within=3)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Stopped", exact=True)).to_be_visible(timeout=SECONDS)
        await _tab_to(page, page.get_by_role("button", name="More for JupyterLab"))
        for key in ("Enter", "End", "Enter"):
            await page.keyboard.press(key)
        await _tab_to(page, page.get_by_role("button", name="Delete server"))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Your servers")).to_be_visible()
        await expect(page.get_by_role("link", name="JupyterLab", exact=True)).to_have_count(0, timeout=SECONDS)
    await bob.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))


async def _tab_to(page: Page, meant: Locator, *, within: int = 60) -> None:
    """Press Tab until it has the focus."""
    for _ in range(within):
        await page.keyboard.press("Tab")
        if await meant.evaluate("it => it === document.activeElement"):
            return
    raise AssertionError(f"{meant} is further than {within} presses of Tab from where one is")


async def test_the_page_is_small(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.info.api, timeout=30) as client:
        index = (await client.get("/ui")).text
        scripts = set(re.findall(r"/ui/assets/[\w.-]+\.js", index))
        first, seen = 0, dict.fromkeys(scripts, 0)
        waiting = list(scripts)
        while waiting:
            one = waiting.pop()
            script = (await client.get(one)).content
            seen[one] = len(gzip.compress(script))
            named = set(re.findall(r"[./]*assets/([\w.-]+\.js)|\./([\w.-]+\.js)", script.decode()))
            for name in {f"/ui/assets/{a or b}" for a, b in named} - seen.keys():
                seen[name] = 0
                waiting.append(name)
        first = sum(seen[one] for one in scripts)
    assert 0 < first <= FIRST_BYTES
    assert sum(seen.values()) <= ALL_BYTES
    assert len(seen) > len(scripts), "what only one page needs is loaded with it"
