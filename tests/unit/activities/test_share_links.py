"""The link that shares a running server: made also where it could not be made at the start, or has expired."""

from datetime import UTC, datetime

from models.database.sql import row
from models.domain.values import Wish
from tests.unit.activities.conftest import Scene


async def running_for_a_while(scene: Scene) -> None:
    await row("UPDATE server SET observed_at = now() - interval '1 minute' WHERE id = :id", id=scene.server)


async def test_a_running_server_without_a_link_gets_one(scene: Scene) -> None:
    await scene.started()
    await scene.run(scene.watching.observe_servers)
    assert (await scene.seen()).share_url is None, "its workflow makes it"
    await running_for_a_while(scene)
    await scene.run(scene.watching.observe_servers)
    made = await scene.seen()
    assert made.share_url
    await row("UPDATE server SET share_expires_at = now() - interval '1 s' WHERE id = :id", id=scene.server)
    await scene.run(scene.watching.observe_servers)
    made = await scene.seen()
    assert made.share_expires_at is not None
    assert made.share_expires_at > datetime.now(UTC)


async def test_a_stopped_server_gets_no_link(scene: Scene) -> None:
    await scene.started()
    await scene.run(scene.stops.stop_server, await scene.wish(Wish.STOPPED))
    await running_for_a_while(scene)
    await scene.run(scene.watching.observe_servers)
    assert (await scene.seen()).share_url is None
