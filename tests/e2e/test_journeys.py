"""Ten journeys through the page, each as several people make it.

They are: sign in; launch and open; a module edited and loaded, a secret used in a kernel (these three in one server); a
start that fails; share with a group, see why, take back with Undo; a dataset with files up and down; trash and restore;
an admin stops by filter; Vault away and back.

A manner is light or dark, at 100 % or at 400 %, with a mouse or by the keyboard alone. CI takes two of the eight for
each journey: dark at 400 % with a mouse, and light at 100 % by the keyboard. So each journey is seen in the dark, in
the light, at 400 % and by the keyboard; the keyboard at 400 %, the keyboard in the dark, and light at 400 % are not.
`make test-page` takes all eight.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.people import Member
from tests.e2e.visitors import SECONDS, Manner, Visitor, visiting
from tests.stacks import Stack

IN_CI = [Manner(dark=True, zoomed=True), Manner(keyboard=True)]
EVERY = [Manner(*chosen) for chosen in itertools.product((False, True), repeat=3)]
WAIT = {"Prefer": "wait=10"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("manner", EVERY if metafunc.config.getoption("--every-manner") else IN_CI, ids=str)


async def test_sign_in(bob: Member, stack: Stack, browser: Browser, manner: Manner) -> None:
    server = await bob.make_server(name="Glaciers")
    address = f"/ui/servers/{server['_id']}"
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, address)
        # It lands where one wanted to be, and a reload stays there.
        await expect(page.get_by_role("heading", name="Glaciers", exact=True)).to_be_visible()
        assert page.url == stack.info.api + address
        kept = {cookie["name"]: cookie for cookie in await page.context.cookies() if "nbhub" in cookie["name"]}
        assert [cookie["path"] for cookie in kept.values()] == ["/auth"]
        assert kept["nbhub_browser"]["httpOnly"]
        assert await page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage)]") == []
        await page.reload()
        await expect(page.get_by_role("heading", name="Glaciers", exact=True)).to_be_visible()
        await page.goto(f"{stack.info.api}/ui/servers/0190f3a2-1111-7222-8333-444455556666")
        await expect(page.get_by_text("There is nothing at this address")).to_be_visible()
        await visitor.press(page.get_by_role("button", name="Account"))
        await visitor.press(page.get_by_role("menuitem", name="Sign out"))
        # What the provider asks is not ours.
        await page.get_by_role("button", name=re.compile("yes|sign|log", re.IGNORECASE)).first.click()
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible(timeout=SECONDS)
        await visitor.press(page.get_by_role("button", name="Sign in"))
        await expect(page.locator("input[name=email]")).to_be_visible(timeout=SECONDS)
    await bob.succeeded(await bob.delete(server))


async def test_launch_and_open_with_a_module_that_is_loaded_and_a_secret_that_the_kernel_uses(
    bob: Member, stack: Stack, browser: Browser, manner: Manner
) -> None:
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        form = page.get_by_role("dialog")
        await visitor.sign_in(bob.email, "/ui/modules")
        await visitor.press(page.get_by_role("button", name="New module"))
        await visitor.write(form.get_by_label("Name", exact=True), "icetools")
        await visitor.write(form.get_by_label("Version"), "2.1")
        await visitor.choose(form.get_by_label("Line 1", exact=True), "setenv")
        await visitor.write(form.get_by_label("Line 1: variable"), "ICE")
        await visitor.write(form.get_by_label("Line 1: value"), "thin")
        await visitor.press(form.get_by_role("button", name="Create"))
        await expect(form).to_have_count(0)
        await visitor.press_of("icetools/2.1", "Edit")
        await visitor.write(form.get_by_label("Line 1: value"), "thick")
        await expect(form.get_by_text('setenv("ICE", "thick")')).to_be_visible()
        await visitor.press(form.get_by_role("button", name="Save"))
        await expect(form).to_have_count(0)

        await visitor.press(page.get_by_role("link", name="Secrets", exact=True))
        await visitor.press(page.get_by_role("button", name="New secret"))
        await visitor.write(form.get_by_label("Name of the variable"), "S3_TOKEN")
        await visitor.write(form.get_by_label("Value"), "swordfish")
        await visitor.press(form.get_by_role("button", name="Create"))
        await expect(form).to_have_count(0)

        await visitor.press(page.get_by_role("link", name="Servers", exact=True))
        await visitor.press(page.get_by_role("link", name="New server"))
        await visitor.write(page.get_by_label("Name", exact=True), "Firn")
        await visitor.press(page.get_by_role("checkbox", name="icetools/2.1"))
        await visitor.press(page.get_by_role("checkbox", name="S3_TOKEN"))
        await visitor.press(page.get_by_role("complementary").get_by_role("button", name="Start"))
        await expect(page.get_by_role("heading", name="Firn", exact=True)).to_be_visible()
        # The page says how far it is, and turns into the server by itself.
        printed = await visitor.runs(
            "import os; print(os.environ['ICE'], os.environ['S3_TOKEN'])", stack.info.jupyterhub
        )
        await expect(printed).to_have_text("thick swordfish", timeout=SECONDS)

        await visitor.comes_back()
        await visitor.press(page.get_by_role("button", name="Stop Firn"))
        await expect(page.get_by_text("Stopped", exact=True)).to_be_visible(timeout=SECONDS)
        await visitor.press_of("Firn", "Delete …")
        await visitor.press(page.get_by_role("button", name="Delete server"))
        await expect(page.get_by_role("link", name="Firn", exact=True)).to_have_count(0, timeout=SECONDS)
    for path, kind in (("/modules", "modules"), ("/secrets", "secret")):
        for one in await bob.call("GET", path):
            await bob.call("DELETE", f"/{kind}/{one['_id']}", expect=(202, 204))


@pytest.fixture
async def crashes(bob: Member, stack: Stack) -> AsyncIterator[str]:
    """A notebook of bob's as which no dashboard starts, because of settings in his home."""
    await bob.call("PUT", "/initialize", expect=(200, 202), headers={"Prefer": "wait=30"})
    made = {"root": "notebooks", "name": ".jupyter", "type": "directory"}
    await bob.call("POST", "/volume/file", json=made, expect=(200, 201, 409))
    content = "print('there is no ice left', flush=True)\nraise SystemExit(3)\n"
    made = {"root": "notebooks", "path": ".jupyter", "name": "voila.py", "type": "file", "content": content}
    await bob.call("POST", "/volume/file", json=made, expect=(200, 201))
    made = {"root": "notebooks", "name": "moulin.ipynb", "type": "file", "content": "{}"}
    await bob.call("POST", "/volume/file", json=made, expect=(200, 201))
    yield "moulin.ipynb"
    for home in (stack.data_root / "notebooks").iterdir():
        for file in (home / ".jupyter" / "voila.py", home / "moulin.ipynb"):
            file.unlink(missing_ok=True)


async def test_a_start_that_fails(bob: Member, crashes: str, stack: Stack, browser: Browser, manner: Manner) -> None:
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/launch")
        await visitor.press(page.get_by_role("radio", name="Voilà"))
        await visitor.write(page.get_by_label("Name", exact=True), "Moulin")
        await visitor.write(page.get_by_label("What it opens"), crashes)
        await visitor.press(page.get_by_role("complementary").get_by_role("button", name="Start"))
        # The page stays, and says what went wrong, in the browser's tab, too.
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("exit code 3", timeout=SECONDS)
        await expect(page.get_by_role("figure")).to_contain_text("there is no ice left")
        await expect(page).to_have_title(re.compile("Did not start .* Moulin"))
        await visitor.press(page.get_by_role("button", name="Start Moulin"))
        tried = page.get_by_role("listitem").filter(has_text="Ask JupyterHub to start it")
        await expect(tried.filter(has_text="failed")).to_have_count(2, timeout=SECONDS)
        await expect(page).to_have_title(re.compile("Did not start .* Moulin"))
        await visitor.press_of("Moulin", "Delete …")
        await visitor.press(page.get_by_role("button", name="Delete server"))
        await expect(page.get_by_role("heading", name="Your servers")).to_be_visible()
        await expect(page.get_by_role("link", name="Moulin", exact=True)).to_have_count(0, timeout=SECONDS)


async def test_share_with_a_group_see_why_and_take_back_with_undo(
    bob: Member, stack: Stack, browser: Browser, manner: Manner
) -> None:
    dataset = await bob.call("POST", "/datasets", json={"name": "firn"}, headers=WAIT)
    group = await bob.call("POST", "/groups", json={"name": "glaciers"}, headers=WAIT)
    member = {"memberEmail": "carol@example.org"}
    await bob.call("POST", f"/groups/{group['_id']}/members", params=member, headers=WAIT, expect=(200, 202))

    async def given() -> list[tuple[str, str]]:
        access = await bob.call("GET", f"/datasets/{dataset['_id']}/access")
        return [(one["type"], one["entity"]) for one in access if one["access"] == "read"]

    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        dialog = page.get_by_role("dialog")
        await visitor.sign_in(bob.email, "/ui/datasets")
        await visitor.press(page.get_by_role("button", name="Share firn"))
        await visitor.write(dialog.get_by_label("With whom"), "glaciers")
        await visitor.press(dialog.get_by_role("button", name="Share", exact=True))
        take = dialog.get_by_role("button", name="Take back: glaciers")
        await expect(take).to_be_visible(timeout=SECONDS)
        assert await given() == [("group", "glaciers")]
        # Nobody shared it with carol, and she has it.
        await visitor.write(dialog.get_by_label("Why does somebody have access?"), "carol@example.org")
        await visitor.press(dialog.get_by_role("button", name="Why?", exact=True))
        await expect(dialog.get_by_text("through the group glaciers: read only")).to_be_visible()
        await visitor.press(take)
        await expect(take).to_have_count(0)
        assert await given() == []
        await visitor.undo()
        await expect(take).to_be_visible(timeout=SECONDS)
        assert await given() == [("group", "glaciers")]
    for path in (f"/datasets/{dataset['_id']}", f"/groups/{group['_id']}"):
        await bob.call("DELETE", path, expect=(202, 204))


async def test_a_dataset_with_files_up_and_down(
    bob: Member, stack: Stack, browser: Browser, manner: Manner, tmp_path: Path
) -> None:
    depths = tmp_path / "depths.csv"
    depths.write_bytes(b"core,depth\n7,1200\n")
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/datasets")
        await visitor.press(page.get_by_role("button", name="New dataset"))
        await visitor.write(page.get_by_role("dialog").get_by_label("Name"), "ice-cores")
        await visitor.press(page.get_by_role("dialog").get_by_role("button", name="Create"))
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await visitor.press(page.get_by_role("link", name="Files: ice-cores"))
        await expect(page.get_by_text("Nothing is in here yet")).to_be_visible(timeout=SECONDS)
        await visitor.press(page.get_by_role("button", name="New folder"))
        await visitor.write(page.get_by_label("Name of the folder"), "2026")
        await visitor.press(page.get_by_role("button", name="Create"))
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await visitor.press(page.get_by_role("link", name="2026", exact=True))
        await expect(page.get_by_role("listitem").get_by_text("2026", exact=True)).to_be_visible()
        await visitor.upload(page.get_by_role("button", name="Upload", exact=True), depths)
        await expect(page.get_by_role("region", name="Uploads").get_by_text("done")).to_be_visible(timeout=SECONDS)
        (dataset,) = await bob.call("GET", "/datasets", params={"q": "ice-cores"})
        there = {"root": "datasets", "path": f"{dataset['_id']}/2026/depths.csv"}
        assert (await bob.api.get("/volume/file", params=there)).content == depths.read_bytes()
        async with page.expect_download() as saving:
            await visitor.press(page.get_by_role("button", name="depths.csv", exact=True))
        saved = await (await saving.value).path()
        assert await asyncio.to_thread(saved.read_bytes) == depths.read_bytes()
        await visitor.press_of("depths.csv", "Delete")
        await visitor.undo()
        assert (await bob.api.get("/volume/file", params=there)).is_success
    await bob.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))


async def test_trash_and_restore(bob: Member, stack: Stack, browser: Browser, manner: Manner) -> None:
    # Of whoever went before, one is in the trash yet.
    name = f"varves-{EVERY.index(manner)}"
    dataset = await bob.call("POST", "/datasets", json={"name": name}, headers=WAIT)
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        await visitor.sign_in(bob.email, "/ui/datasets")
        shown, restore = (page.get_by_role("button", name=f"{what} {name}") for what in ("Share", "Restore"))
        # At once, by what takes back what was done last.
        await visitor.press_of(name, "Delete")
        await expect(restore).to_be_visible()
        await visitor.undo()
        await expect(shown).to_be_visible(timeout=SECONDS)
        await expect(restore).to_have_count(0)
        # And whenever one comes back.
        await visitor.press_of(name, "Delete")
        await expect(restore).to_be_visible()
        await page.reload()
        await expect(shown).to_have_count(0)
        await bob.call("GET", f"/datasets/{dataset['_id']}", expect=404)
        await visitor.press(restore)
        await expect(shown).to_be_visible(timeout=SECONDS)
        await bob.call("GET", f"/datasets/{dataset['_id']}")
    await bob.call("DELETE", f"/datasets/{dataset['_id']}", expect=(202, 204))


async def test_an_admin_stops_by_filter(
    admin: Member, bob: Member, stack: Stack, browser: Browser, manner: Manner
) -> None:
    server = await bob.started(name="Runaway")
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        await visitor.sign_in(admin.email, "/ui/admin")
        await visitor.write(page.get_by_label("Owner"), bob.email)
        await visitor.write(page.get_by_label("Name", exact=True), "Run")
        await expect(page.get_by_label("Runaway, bob@example.org")).to_be_visible()
        await visitor.press(page.get_by_label("All that are shown"))
        await visitor.press(page.get_by_role("button", name="Stop 1 server …"))
        await expect(page.get_by_role("alertdialog").get_by_text(f"They belong to {bob.email}")).to_be_visible()
        await visitor.press(page.get_by_role("button", name="Stop them"))
        await expect(page.get_by_text("1 of 1 asked to stop")).to_be_visible(timeout=SECONDS)
        # It is no server that runs any more, as the filter has them.
        await expect(page.get_by_text("No server is like that.")).to_be_visible(timeout=SECONDS)
        await bob.becomes(server, "stopped")
    await bob.succeeded(await bob.delete(server))


async def test_vault_away_and_back(bob: Member, stack: Stack, browser: Browser, manner: Manner) -> None:
    async with visiting(browser, stack.info.api, manner) as visitor:
        page = visitor.page
        form = page.get_by_role("dialog")
        await visitor.sign_in(bob.email, "/ui/secrets")
        await visitor.press(page.get_by_role("button", name="New secret"))
        await visitor.write(form.get_by_label("Name of the variable"), "S3_TOKEN")
        await visitor.write(form.get_by_label("Value"), "swordfish")
        stack.kill("vault")
        try:
            await visitor.press(form.get_by_role("button", name="Create"))
            await expect(form.get_by_role("alert")).to_contain_text("Vault", timeout=SECONDS)
            await _is_said(visitor, "Vault is away")
        finally:
            await stack.start_part("vault")
        await _is_said(visitor, "Vault is back")
        # What was typed is still there.
        await visitor.press(form.get_by_role("button", name="Create"))
        await expect(form).to_have_count(0, timeout=SECONDS)
        await expect(page.get_by_text("version 1")).to_be_visible()
    (secret,) = await bob.call("GET", "/secrets", params={"name": "S3_TOKEN"})
    await bob.call("DELETE", f"/secret/{secret['_id']}", expect=(202, 204))


async def _is_said(visitor: Visitor, words: str) -> None:
    await expect(visitor.page.get_by_text(words)).to_be_visible(timeout=SECONDS)
