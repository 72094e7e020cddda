"""What a template is made of, as it is typed: for `nbhub templates`, and for servers with one of their own."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from nbhub import Hub
from nbhub.cli.grammar import Option
from nbhub.cli.nouns import Rename, changed
from nbhub.models import Template
from nbhub.synchronous.records import Records

Several = list[str] | None
_PARTS = ("dataset", "module", "secret")


@dataclass(frozen=True)
class Contents:
    """Options of what makes a template."""

    description: Annotated[str, Option("what it is for")] = ""
    application: Annotated[str, Option("what it runs: nbhub servers applications")] = "jupyterlab"
    hardware: Annotated[str | None, Option("what it has: nbhub servers hardware")] = None
    dataset: Annotated[Several, Option("a dataset of it; may come several times", names="datasets")] = None
    module: Annotated[Several, Option("a module of it; may come several times", names="modules")] = None
    secret: Annotated[Several, Option("a secret of it; may come several times", names="secrets")] = None
    tag: Annotated[Several, Option("a word to find it by; may come several times")] = None
    file: Annotated[str | None, Option("what the application opens, where it has to open something")] = None
    image: Annotated[str | None, Option("the picture to show for it")] = None

    def fields(self, hub: Hub) -> dict[str, Any]:
        """The fields of the request, with ids in place of names."""
        return {
            "description": self.description,
            "application_type": self.application,
            "hardware": self.hardware or next((one.id for one in hub.hardware() if one.default), ""),
            "tags": self.tag or [],
            "file_path": self.file,
            "featured_image": self.image,
            **{f"{part}s": _ids(_kind(hub, part), getattr(self, part) or ()) for part in _PARTS},
        }


@dataclass(frozen=True)
class Changes:
    """Options of what changes a template."""

    rename: Rename = None
    description: Annotated[str | None, Option("what it is for")] = None
    application: Annotated[str | None, Option("what it runs: nbhub servers applications")] = None
    hardware: Annotated[str | None, Option("what it has: nbhub servers hardware")] = None
    add_dataset: Annotated[Several, Option("one more dataset; may come several times", names="datasets")] = None
    drop_dataset: Annotated[Several, Option("without this dataset; may come several times", names="datasets")] = None
    add_module: Annotated[Several, Option("one more module; may come several times", names="modules")] = None
    drop_module: Annotated[Several, Option("without this module; may come several times", names="modules")] = None
    add_secret: Annotated[Several, Option("one more secret; may come several times", names="secrets")] = None
    drop_secret: Annotated[Several, Option("without this secret; may come several times", names="secrets")] = None
    add_tag: Annotated[Several, Option("one more word to find it by; may come several times")] = None
    drop_tag: Annotated[Several, Option("without this word; may come several times")] = None
    file: Annotated[str | None, Option("what the application opens")] = None
    image: Annotated[str | None, Option("the picture to show for it")] = None

    def made(self, hub: Hub, template: Template, **more: Any) -> Template:
        """The changed template. Raises `UsageProblem` if nothing is said, `Stale` if it has changed since."""
        fields = changed(
            {
                "name": self.rename,
                "description": self.description,
                "application_type": self.application,
                "hardware": self.hardware,
                "tags": _without(template.tags, self.add_tag, self.drop_tag),
                "file_path": self.file,
                "featured_image": self.image,
                **{f"{part}s": self._part(hub, template, part) for part in _PARTS},
                **more,
            }
        )
        return hub.templates.update(template, **fields)

    def _part(self, hub: Hub, template: Template, part: str) -> list[str] | None:
        added, dropped = getattr(self, f"add_{part}"), getattr(self, f"drop_{part}")
        here: list[str] = getattr(template, f"{part}s")
        # What is not to be seen any more is dropped by its id.
        unseen = {one for one in dropped or () if one in here}
        gone = [*unseen, *_ids(_kind(hub, part), (one for one in dropped or () if one not in unseen))]
        return _without(here, None if added is None else _ids(_kind(hub, part), added), gone if dropped else None)


def _kind(hub: Hub, part: str) -> Records[Any]:
    found: Records[Any] = getattr(hub, f"{part}s")
    return found


def _ids(records: Records[Any], names: Iterable[str]) -> list[str]:
    return [records.find(one).id for one in names]


def _without(here: list[str], added: Several, dropped: Several) -> Several:
    """A list with some more and without others; None if nothing is said of it."""
    if added is None and dropped is None:
        return None
    return list(dict.fromkeys(one for one in [*here, *(added or ())] if one not in (dropped or ())))
