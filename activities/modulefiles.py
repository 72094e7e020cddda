"""The activity on modulefiles: what Lmod runs when somebody loads a module."""

from pathlib import Path
from uuid import UUID

from temporalio import activity

from activities.messages import Done, ObjectWish
from activities.steps import of_subject, told
from integrations import lmod
from integrations.file_threads import FileThreads
from integrations.filesystem import Volumes
from integrations.own_files import OwnFiles
from models.domain import crash_points
from models.domain.kinds import DIRECTORIES
from models.domain.settings import Settings
from models.records import modules
from models.records.modules import ModulePlace, PlaceHeld


class Modulefiles:
    """Has modulefiles where they belong."""

    def __init__(self, settings: Settings, threads: FileThreads) -> None:
        self._files = OwnFiles(
            Path(settings.module_location, lmod.MODULEFILES),
            Volumes(uid=settings.files_uid, gid=settings.files_gid),
            roots=[directory.location(settings) for directory in DIRECTORIES.values()],
        )
        self._threads = threads

    @activity.defn
    async def place_modulefile(self, wish: ObjectWish) -> Done:
        """Have a module's file at the one place where the wish wants it, or nowhere. Raises `PlaceHeld`."""
        placement = await modules.take_place(wish.id, wish.generation)
        if placement is None:
            return Done(done=False)
        step = "Remove its modulefile" if placement.wanted is None else "Write its modulefile"
        async with told(of_subject(wish.subject, step)):
            if placement.wanted is not None and not placement.waits:
                content = _header(wish.id) + lmod.render(placement.calls)
                await self._threads.of(placement.wanted.owner).run_soon(
                    self._files.put, *_path(placement.wanted), content
                )
            crash_points.reach("place_modulefile.effect", activity.info().workflow_id or "")
            for place in placement.left:
                await self._threads.of(place.owner).run_soon(self._files.remove, *_path(place), _header(wish.id))
            await modules.give_up(wish.id, placement.left)
            if placement.waits:
                # Given up all the same, because the other may wait for what this one left.
                raise PlaceHeld("The module that had this name and version is still being moved away.")
        return Done(done=True)


def _path(place: ModulePlace) -> tuple[tuple[str, ...], str]:
    """The directories that the file at a place is in, and its name."""
    return (str(place.owner), place.name), lmod.file_name(place.module_version)


def _header(module: UUID) -> bytes:
    """What a modulefile begins with: whose it is."""
    return f"-- {module}\n".encode("ascii")
