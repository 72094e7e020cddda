"""What JupyterHub's side starts no server with is kept as the watcher hears of it, and written where it has changed."""

from models.database.sql import row
from models.domain.profiles import Unavailable
from models.records import unavailable
from tests.unit.activities.conftest import Scene

_REASONS = Unavailable(applications={"vscode": "code-server is not installed"}, hardware={"gpuSmall": "no GPU"})


async def _written() -> object:
    return await row("SELECT xmin::text FROM unavailable")


async def test_what_is_told_is_kept_until_something_else_is_told(scene: Scene) -> None:
    for told in (_REASONS, Unavailable(hardware=_REASONS.hardware), Unavailable()):
        scene.hub.cannot = told
        await scene.run(scene.watching.observe_servers)
        assert await unavailable.read() == told
        before = await _written()
        await scene.run(scene.watching.observe_servers)
        assert await _written() == before, "the same is not written again"


async def test_a_truth_service_that_does_not_tell_changes_nothing(scene: Scene) -> None:
    scene.hub.cannot = _REASONS
    await scene.run(scene.watching.observe_servers)
    scene.hub.cannot = None
    await scene.run(scene.watching.observe_servers)
    assert await unavailable.read() == _REASONS
