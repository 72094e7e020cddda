"""Whom one may find: as the setting says, and of anybody else not even that there is such a person."""

import pytest

from models.access.directory import MOST_PEOPLE
from models.database.sql import row
from models.domain.environment import SettingsInvalid
from models.domain.settings import Settings
from models.domain.values import Caller
from models.records import persons
from models.records.persons import Identity
from tests.unit.api.bench import Api, Bench, Client, Json, problems, unique

SCOPES = ("none", "organisation", "all")


async def sign_in(bench: Bench, name: str, email: str, *, orgs: tuple[str, ...] = (), called: str = "") -> Caller:
    """Somebody who has signed in, as the bench's caller of this name."""
    identity = Identity(
        issuer="https://idp", subject=unique("s"), email=email, email_verified=True, orgs=orgs, name=called
    )
    bench.callers[name] = Caller(id=await persons.bind(identity), email=email, orgs=orgs)
    return bench.callers[name]


class Town:
    """People whose addresses and names begin alike, and as nobody else's."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.mark, self.org = bench, unique("q"), unique("org")

    def email(self, name: str) -> str:
        return f"{self.mark}.{name}@example.org"

    def api(self, directory: str) -> Api:
        return self.bench.api(directory=directory)

    def asker(self, directory: str) -> Client:
        return self.api(directory).person("mallory")

    async def found(self, directory: str, q: str = "") -> dict[str, str | None]:
        """Names by the first part of the address, of whom the asker finds."""
        answer = await self.asker(directory).got("/people", q=q or self.mark)
        return {one["email"].split("@")[0].partition(".")[2]: one.get("name") for one in answer}


@pytest.fixture
async def town(bench: Bench) -> Town:
    town = Town(bench)
    await sign_in(bench, "mallory", town.email("mallory"), orgs=(town.org,), called=f"{town.mark} Mallory")
    await sign_in(bench, "colleague", town.email("colleague"), orgs=(town.org, "other"), called=f"{town.mark} Col")
    await sign_in(bench, "stranger", town.email("stranger"), orgs=("other",), called=f"{town.mark} Str")
    return town


async def share(who: Client, email: str, **more: object) -> Json:
    dataset = await who.dataset()
    body = {"relation": "read", "userArray": email, **more}
    assert (await who.post(f"/datasets/{dataset['_id']}/share", json=body)).status_code == 202
    return dataset


async def test_who_is_found_is_a_setting(town: Town) -> None:
    assert await town.found("none") == {}
    assert await town.found("organisation") == {"colleague": f"{town.mark} Col"}
    everybody = {"colleague": f"{town.mark} Col", "stranger": f"{town.mark} Str"}
    assert await town.found("all") == everybody
    # An admin finds all, and nobody finds oneself.
    admin = await town.api("none").admin.got("/people", q=town.mark)
    assert len(admin) == 3
    assert town.bench.settings.directory == "none"


@pytest.mark.parametrize("directory", SCOPES)
async def test_who_is_hidden_and_who_is_nowhere_are_the_same_answer(town: Town, directory: str) -> None:
    asker = town.asker(directory)
    hidden = {"none": ("colleague", "stranger"), "organisation": ("stranger",), "all": ()}[directory]
    unknown = await asker.get("/people", params={"q": town.email("nobody")})
    assert (unknown.status_code, unknown.content) == (200, b"[]")
    for name in hidden:
        for q in (town.email(name), town.email(name)[:-1], f"{town.mark} {name[:3]}"):
            answer = await asker.get("/people", params={"q": q})
            assert (answer.status_code, answer.content) == (200, unknown.content), q
            assert answer.headers["etag"] == unknown.headers["etag"]


async def test_whoever_shares_with_guessed_addresses_does_not_learn_who_has_signed_in(town: Town) -> None:
    asker = town.asker("none")
    for name in ("stranger", "guessed"):
        await share(asker, town.email(name))
    group = await asker.group()
    for name in ("colleague", "guest"):
        added = await asker.post(f"/groups/{group['_id']}/members", params={"memberEmail": town.email(name)})
        assert added.status_code == 202
    # The one whom one knows is found, as one typed it, and nothing else tells the real ones from the others.
    answer = await asker.got("/people", q=town.mark)
    names = ("colleague", "guessed", "guest", "stranger")
    assert answer == [{"email": town.email(name)} for name in names]
    # Nor does a name, which the asker does not know.
    assert await asker.got("/people", q=f"{town.mark} Str") == []
    assert await town.found("organisation") == dict.fromkeys(names) | {"colleague": f"{town.mark} Col"}


async def test_who_was_invited_by_others_is_nobody_yet(town: Town) -> None:
    await share(town.api("none").person("colleague"), town.email("invited"))
    for directory in SCOPES:
        assert "invited" not in await town.found(directory)
    assert [one["email"] for one in await town.api("none").admin.got("/people", q=town.email("inv"))] == []


async def test_dealings_are_those_that_last(town: Town) -> None:
    asker, colleague = town.asker("none"), town.api("none").person("colleague")
    group = await colleague.group()
    members = f"/groups/{group['_id']}/members"
    for email in (asker.email, town.email("third")):
        assert (await colleague.post(members, params={"memberEmail": email})).status_code == 202
    assert await town.found("none") == dict.fromkeys(("colleague", "third"))
    assert (await asker.delete(f"{members}/{asker.email}")).status_code in (202, 204)
    assert await town.found("none") == {}
    dataset = await share(asker, town.email("stranger"), expires_at="2100-01-01T00:00:00Z")
    assert await town.found("none") == {"stranger": None}
    # What others share with one tells of the others by itself, and of nobody else.
    await share(colleague, asker.email)
    assert await town.found("none") == {"stranger": None}
    await row("UPDATE access_grant SET expires_at = now() WHERE object = :id", id=dataset["_id"])
    assert await town.found("none") == {}


async def test_who_has_given_the_address_up_is_found_no_more(town: Town) -> None:
    await share(town.asker("none"), town.email("stranger"))
    released = await town.api("none").admin.post("/persons/release", params={"email": town.email("stranger")})
    assert released.status_code == 202
    for directory in SCOPES:
        assert "stranger" not in await town.found(directory)


async def test_addresses_and_names_are_found_by_how_they_begin(town: Town) -> None:
    mark = town.mark
    await sign_in(town.bench, "j", f"{unique('z')}@example.org", called=f"J\u00f6rg {mark} %_ (x)")
    assert await town.found("all", f"{mark}.COL".upper()) == {"colleague": f"{mark} Col"}
    assert await town.found("all", f"{mark} s") == {"stranger": f"{mark} Str"}
    assert "stranger" not in await town.found("all", "Str")
    asker = town.asker("all")
    for q, count in (
        (f"j\u00f6rg {mark}", 1),
        (f"JO\u0308RG {mark} %_", 1),
        (f"j%g {mark}", 0),
        (f"{mark}%", 0),
        ("___", 0),
    ):
        assert len(await asker.got("/people", q=q)) == count, q


async def test_no_more_are_told_than_a_few_and_short_beginnings_are_refused(town: Town) -> None:
    await row(
        """INSERT INTO person (id, issuer, subject, email, name)
           SELECT gen_random_uuid(), 'many', :mark::text || n, :mark::text || '.m' || n || '@example.org', ''
             FROM generate_series(1, :number::int) n""",
        mark=town.mark,
        number=2 * MOST_PEOPLE,
    )
    asker = town.asker("all")
    answer = await asker.got("/people", q=town.mark)
    assert len(answer) == MOST_PEOPLE
    assert answer == sorted(answer, key=lambda one: one["email"])
    for q in ("", "ab", "x" * 400, "a\0b"):
        assert problems(await asker.get("/people", params={"q": q})) == {"q"}
    assert problems(await asker.get("/people")) == {"q"}
    assert problems(await asker.get("/people", params={"q": town.mark, "limit": "1000"})) == {"limit"}
    assert (await town.api("all").nobody.get("/people", params={"q": town.mark})).status_code == 401


async def test_groups_into_which_others_put_one_hide_nobody_of_the_earlier(town: Town) -> None:
    asker = town.asker("none")
    group = await asker.group()
    added = await asker.post(f"/groups/{group['_id']}/members", params={"memberEmail": town.email("colleague")})
    assert added.status_code == 202
    await row(
        """WITH made AS (INSERT INTO user_group (id, name)
             SELECT gen_random_uuid(), :name::text || n FROM generate_series(1, 205) n RETURNING id),
           people AS (INSERT INTO person (id, issuer, subject, email)
             SELECT gen_random_uuid(), '', :name::text || n, :name::text || n || '@example.org'
               FROM generate_series(1, 60) n RETURNING id)
           INSERT INTO group_member (id, user_group, person, created_at)
           SELECT gen_random_uuid(), made.id, theirs.id, now() + interval '1 minute'
             FROM made CROSS JOIN LATERAL (SELECT id FROM people UNION ALL SELECT :mallory::uuid) theirs""",
        name=unique("many"),
        mallory=asker.caller.id,
    )
    assert await town.found("none") == {"colleague": None}


def named(answer: list[Json]) -> dict[str, bool]:
    return {one["name"]: one["member"] for one in answer}


async def test_organisations_are_ones_own_and_others_where_they_may_be_told(town: Town) -> None:
    bench, configured = town.bench, unique("configured")
    hidden = unique("hidden")
    await sign_in(bench, "far", town.email("far"), orgs=(hidden,))
    for directory in ("none", "organisation"):
        api = bench.api(directory=directory, org_names=(configured,))
        assert named(await api.person("mallory").got("/orgs")) == {town.org: True}
        assert {town.org, hidden, configured, "other"} <= {*named(await api.admin.got("/orgs"))}
    api = bench.api(directory="all", org_names=(configured,))
    everything = named(await api.person("mallory").got("/orgs"))
    assert everything.items() >= {town.org: True, hidden: False, configured: False, "other": False}.items()
    assert [*everything] == sorted(everything)
    # With which one shares something, one knows.
    none = bench.api(directory="none")
    dataset = await none.person("mallory").dataset()
    body = {"relation": "read", "orgArray": ["other"]}
    assert (await none.person("mallory").post(f"/datasets/{dataset['_id']}/share", json=body)).status_code == 202
    assert named(await none.person("mallory").got("/orgs")) == {town.org: True, "other": False}
    assert (await none.nobody.get("/orgs")).status_code == 401


async def test_organisations_come_in_pages(town: Town) -> None:
    names = sorted(unique("o") for _ in range(7))
    await sign_in(town.bench, "many", town.email("many"), orgs=tuple(names[:5]))
    api = town.bench.api(directory="all", org_names=tuple(names[5:]))
    found: list[str] = []
    answer = await api.admin.get("/orgs", params={"limit": 2})
    while True:
        assert len(answer.json()) <= 2
        found += [one["name"] for one in answer.json()]
        if "next" not in answer.links:
            break
        answer = await api.admin.get(answer.links["next"]["url"].partition("example.org")[2])
    assert found == sorted(set(found))
    assert {*names, town.org} <= {*found}
    # Nobody else's, nor another list's, cursor is good.
    cursor = (await api.admin.get("/orgs", params={"limit": 2})).links["next"]["url"].partition("cursor=")[2]
    assert problems(await api.alice.get("/orgs", params={"cursor": cursor})) == {"cursor"}


async def test_a_setting_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="NBHUB_DIRECTORY"):
        Settings.from_environment({"NBHUB_DATABASE_URL": "postgresql:///x", "NBHUB_DIRECTORY": "some"})
