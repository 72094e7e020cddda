"""Records are found by name or id, and nothing is done to one that was not meant."""

from typing import Any

import httpx2
import pytest

from nbhub import Hub
from nbhub.errors import Ambiguous, NotFound
from tests.unit.client.documented import SCHEMAS, URL, sample

IDS = [f"0199a2b{number}-0000-7000-8000-0123456789ab" for number in range(4)]


def dataset(identity: str, name: str) -> dict[str, Any]:
    return {**sample(SCHEMAS["DatasetView"]), "_id": identity, "name": name}


def server(identity: str, name: str, template: str) -> dict[str, Any]:
    view: dict[str, Any] = {**sample(SCHEMAS["ServerView"]), "_id": identity, "name": name}
    return {**view, "templateData": {**view["templateData"], "name": template}}


def hub_with(*records: dict[str, Any]) -> Hub:
    def handle(request: httpx2.Request) -> httpx2.Response:
        found = [one for one in records if request.url.path.endswith(one["_id"])]
        if request.url.path.count("/") == 1:
            return httpx2.Response(200, json=records)
        return httpx2.Response(200, json=found[0]) if found else httpx2.Response(404, text="")

    return Hub(URL, "token", transport=httpx2.MockTransport(handle))


ICE, ICEBERG, SNOW = dataset(IDS[0], "ice"), dataset(IDS[1], "iceberg"), dataset(IDS[2], "Snow")


def test_the_exact_name_is_meant_though_others_begin_so() -> None:
    hub = hub_with(ICEBERG, ICE, SNOW)
    assert hub.datasets.find("ice", prefix=True).id == IDS[0]
    assert hub.datasets.find("snow").id == IDS[2]
    assert hub.datasets.find(IDS[1]).name == "iceberg"
    assert hub.datasets.find(hub.datasets.find("ice")).id == IDS[0]


def test_the_beginning_of_a_name_or_id_is_enough_for_who_says_so() -> None:
    hub = hub_with(ICEBERG, ICE, SNOW)
    assert hub.datasets.find("iceb", prefix=True).id == IDS[1]
    assert hub.datasets.find("0199a2b2", prefix=True).id == IDS[2]
    for reference in ("iceb", "0199a2b2", ""):
        with pytest.raises(NotFound):
            hub.datasets.find(reference)


def test_where_several_are_meant_none_is_taken() -> None:
    hub = hub_with(ICEBERG, dataset(IDS[3], "icecream"))
    with pytest.raises(Ambiguous, match=rf"{IDS[1]}  iceberg\n  {IDS[3]}  icecream") as caught:
        hub.datasets.find("ice", prefix=True)
    assert [one.id for one in caught.value.candidates] == [IDS[1], IDS[3]]
    with pytest.raises(Ambiguous):
        hub_with(ICE, dataset(IDS[3], "ice")).datasets.delete("ice")


def test_a_server_has_the_name_of_its_template_too() -> None:
    hub = hub_with(server(IDS[0], "lab-0199a2b0", "Lab"), server(IDS[1], "x-0199a2b1", "lab-0199a2b0"))
    assert hub.servers.find("lab").id == IDS[0]
    with pytest.raises(Ambiguous):
        hub.servers.find("lab-0199a2b0")


def test_a_place_is_named_by_the_record_it_belongs_to() -> None:
    entry = {**sample(SCHEMAS["EntryView"]), "root": "datasets", "path": ""}
    records = [{**entry, "name": IDS[0], "title": "ice"}, {**entry, "name": IDS[1], "title": "ice"}]

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=records[: 1 if request.url.params["root"] == "datasets" else 2])

    hub = Hub(URL, "token", transport=httpx2.MockTransport(handle))
    assert hub.files.place("datasets:ice/2026/a.csv") == ("datasets", f"{IDS[0]}/2026/a.csv")
    assert hub.files.place(f"datasets:{IDS[0]}") == ("datasets", IDS[0])
    assert hub.files.place("home:/a/b/") == ("notebooks", "a/b")
    assert hub.files.place("groups:") == ("groups", "")
    with pytest.raises(Ambiguous):
        hub.files.place("groups:ice/x")
    for text in ("etc:passwd", "/etc/passwd", "datasets:snow/x"):
        with pytest.raises(NotFound):
            hub.files.place(text)
