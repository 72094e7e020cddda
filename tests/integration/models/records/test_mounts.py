"""What a server will hold, and what is left out."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from models.database import engine
from models.database.sql import row, rows
from models.database.transactions import Transaction
from models.domain.ids import new_id
from models.domain.settings import Settings
from models.domain.values import Wish
from models.records import mounts, servers
from tests.people import make_person
from tests.servers import make_server


@pytest.fixture
async def connected(postgres: str) -> AsyncIterator[None]:
    async with engine.pool(Settings(database_url=postgres, database_pool_size=3)):
        yield


async def put_into_groups(person: UUID, many: int) -> None:
    """Put a person into groups that are older than those of other tests."""
    await rows(
        """WITH made AS (INSERT INTO user_group (id, name, observed)
                         SELECT overlay(gen_random_uuid()::text PLACING '00000000' FROM 1)::uuid,
                                'late' || :many::int || '-' || n, 'present'
                           FROM generate_series(1, :many::int) n
                         RETURNING id)
           INSERT INTO group_member (id, user_group, person, created_at)
           SELECT gen_random_uuid(), id, :person, now() + interval '1 hour' FROM made""",
        many=many,
        person=person,
    )


@pytest.mark.parametrize("others", [199, 450, 2000])
async def test_groups_that_others_put_a_person_into_are_left_out_and_push_nothing_out(
    connected: None, others: int
) -> None:
    bob = await make_person(f"bob{others}")
    server = await make_server(bob)
    own = await row(
        """WITH made AS (INSERT INTO user_group (id, name, observed) VALUES (:id, :name, 'present') RETURNING id)
           INSERT INTO group_member (id, user_group, person) SELECT gen_random_uuid(), id, :person FROM made
           RETURNING user_group""",
        id=new_id(),
        name=f"own{others}",
        person=bob.id,
    )
    await put_into_groups(bob.id, others)
    named = await row("SELECT id FROM user_group WHERE name = :name", name=f"late{others}-{others}")
    asked = await row(
        """UPDATE group_member SET shown = true
            WHERE user_group = (SELECT id FROM user_group WHERE name = :name) RETURNING user_group AS id""",
        name=f"late{others}-{others - 1}",
    )
    await row(
        """UPDATE server SET template_data = template_data || jsonb_build_object('filePath', :path::text)
            WHERE id = :server""",
        path=f"/opt/groups/late{others}-{others}/app.py",
        server=server,
    )
    async with Transaction():
        intent = await servers.intend(server, Wish.RUNNING, bob)
    found = await mounts.claim(server, (await servers.read_visible(server, bob)).generation, [])
    assert intent.operation is not None
    assert found is not None
    assert own is not None
    assert named is not None
    assert asked is not None
    assert len(found.kept) == min(others + 1, mounts.MOST_GROUPS)
    assert [claim.object for claim in found.kept[:3]] == [named["id"], asked["id"], own["user_group"]]
    assert len(found.left_out) == min(max(others + 1 - mounts.MOST_GROUPS, 0), 300)
    assert {one.reason for one in found.left_out} <= {mounts.TOO_MANY_GROUPS}
