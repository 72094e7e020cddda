# Made of nbhub/asynchronous/templates.py by `make client`: change it there.
"""Templates: what servers are made of."""

import builtins
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, UnsetType

from nbhub.models import Preview, Tag, Template
from nbhub.synchronous.lists import Pages
from nbhub.synchronous.records import Records, etag_of, given, only


class Templates(Records[Template]):
    """One's own templates, and public ones."""

    kind, noun, collection, single = Template, "template", "/templates", "/template"

    def get(self, id: str) -> Template:
        """One template by its id, with its `etag`."""
        return self._transport.call("GET", "/template", Template, query={"templateId": id})

    def list(
        self,
        *,
        type: str | None = None,
        creator: str | None = None,
        tag: str | None = None,
        q: str | None = None,
        sort: str | None = None,
    ) -> Pages[Template]:
        """All that one may see, newest first; of one type, of one creator, with one tag, or with `q` in the name."""
        return self._all({"type": type, "email": creator, "tag": tag, "q": q, "sort": sort})

    def tags(self, *, type: str | None = None, creator: str | None = None) -> Pages[Tag]:
        """Their tags, the most used first."""
        return Pages(self._transport, "/templates/tags", Tag, {"type": type, "email": creator})

    def create(self, name: str, **fields: Any) -> Template:
        """Make one, of the fields that `template_fields` has."""
        return self._transport.call("POST", "/template", Template, body=template_fields(name, **fields))

    def update(
        self,
        reference: str | Template,
        *,
        name: str | UnsetType = UNSET,
        description: str | UnsetType = UNSET,
        application_type: str | UnsetType = UNSET,
        hardware: str | UnsetType = UNSET,
        public: bool | UnsetType = UNSET,
        datasets: builtins.list[str] | UnsetType = UNSET,
        modules: builtins.list[str] | UnsetType = UNSET,
        secrets: builtins.list[str] | UnsetType = UNSET,
        tags: builtins.list[str] | UnsetType = UNSET,
        featured_image: str | None | UnsetType = UNSET,
        file_path: str | None | UnsetType = UNSET,
        creator: str | UnsetType = UNSET,
        if_match: str | None = None,
    ) -> Template:
        """Change what is given. Raises `Stale` if the record that is given has changed since it was read."""
        body = given(
            name=name,
            description=description,
            applicationType=application_type,
            hardware=hardware,
            public=public,
            datasets=datasets,
            modules=modules,
            secrets=secrets,
            tags=tags,
            featuredImage=featured_image,
            filePath=file_path,
            creator=creator,
        )
        return self._transport.call(
            "PATCH",
            "/template",
            Template,
            query={"templateId": self._id_of(reference)},
            body=body,
            if_match=etag_of(reference, if_match),
        )

    def delete(self, reference: str | Template, *, if_match: str | None = None) -> None:
        """Delete it. Refused while servers of its creator use it; those of others keep what they have."""
        identity = self._id_of(reference)
        self._transport.send("DELETE", "/template", query={"id": identity}, if_match=if_match)

    def preview_delete(self, reference: str | Template, *, if_match: str | None = None) -> Preview:
        """What deleting it would come to; refused as the deletion would be."""
        return self._preview("DELETE", "/template", {"id": self._id_of(reference)}, if_match=if_match)


def template_fields(
    name: str,
    *,
    description: str = "",
    type: str = "user",
    application_type: str = "jupyterlab",
    hardware: str,
    public: bool = False,
    datasets: Iterable[str] = (),
    modules: Iterable[str] = (),
    secrets: Iterable[str] = (),
    tags: Iterable[str] = (),
    featured_image: str | None = None,
    file_path: str | None = None,
) -> dict[str, Any]:
    """A template to make, or a server with its own; datasets, modules and secrets by their ids."""
    return {
        "name": name,
        "description": description,
        "type": type,
        "applicationType": application_type,
        "hardware": hardware,
        "public": public,
        "datasets": [*datasets],
        "modules": [*modules],
        "secrets": [*secrets],
        "tags": [*tags],
        **only(featuredImage=featured_image, filePath=file_path),
    }
