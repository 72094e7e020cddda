"""Application types and hardware options, as pages show them: what is listed is what templates take."""

import dataclasses
import re

import pytest

from models.domain.profiles import Application, Hardware, Profiles, Unavailable
from models.records import unavailable
from tests.unit.api.bench import TEMPLATE, Api, Bench, problems


async def test_what_is_listed_is_what_a_template_may_name(api: Api) -> None:
    applications = await api.alice.got("/applications")
    hardware = await api.alice.got("/hardware")
    assert [one["_id"] for one in hardware] == await api.alice.got("/volume/hardware")
    assert [one["default"] for one in (*applications, *hardware)].count(True) == 2
    for one in applications:
        path = {} if "file" not in one else {"filePath": "app.R" if one["_id"] == "rshiny" else "app.ipynb"}
        if "file" in one and not re.search(one["file"]["pattern"], path["filePath"]):
            path = {"filePath": "app.py"}
        await api.alice.template(applicationType=one["_id"], public=False, **path)
        if "file" in one:
            refused = TEMPLATE | {"applicationType": one["_id"], "filePath": "app.exe"}
            assert not re.search(one["file"]["pattern"], "app.exe")
            assert problems(await api.alice.post("/template", json=refused)) == {"/filePath"}
            assert one["title"] in one["file"]["description"]
    for one in hardware:
        await api.alice.template(hardware=one["_id"], public=False)


async def test_hardware_is_told_in_numbers(api: Api) -> None:
    hardware = {one["_id"]: one for one in await api.alice.got("/hardware")}
    assert hardware["gpuSmall"] == {
        **{"_id": "gpuSmall", "title": "GPU (4 CPU, 15 GB RAM, 1 GPU)", "default": False},
        **{"cpu": 4, "memory": 15 * 1024**3, "gpu": 1},
    }
    assert hardware["cpuMedium"]["memory"] == 7680 * 1024**2


@pytest.mark.parametrize(("icon", "shown"), [("", "lab"), ("beaker", "beaker")])
async def test_an_icon_is_named_after_the_application_unless_it_says_otherwise(
    bench: Bench, icon: str, shown: str
) -> None:
    lab = Application(title="Lab", icon=icon, kind="jupyter", command=("lab",), default=True)
    small = Hardware(title="Small", cpu=0.5, memory="512M", default=True)
    profiles = Profiles(applications={"lab": lab}, hardware={"small": small})
    services = dataclasses.replace(bench.services, profiles=profiles)
    api = dataclasses.replace(bench, services=services).api()
    assert (await api.alice.got("/applications"))[0]["icon"] == shown


async def test_what_no_server_is_started_with_says_why(api: Api) -> None:
    reasons = Unavailable(applications={"vscode": "not installed"}, hardware={"gpuSmall": "no GPU", "gone": "removed"})
    for told, applications, hardware in (
        (reasons, {"vscode": "not installed"}, {"gpuSmall": "no GPU"}),
        (Unavailable(), {}, {}),
    ):
        await unavailable.note(told)
        # What may change until a server is started, a template may name.
        await api.alice.template(applicationType="vscode", hardware="gpuSmall", public=False)
        for path, expected in (("/applications", applications), ("/hardware", hardware)):
            listed = await api.alice.got(path)
            assert {one["_id"]: one["unavailable"] for one in listed if "unavailable" in one} == expected
            assert len(listed) > 3


@pytest.mark.parametrize("path", ["/applications", "/hardware"])
async def test_they_are_for_whoever_is_signed_in(api: Api, path: str) -> None:
    assert (await api.nobody.get(path)).status_code == 401
    assert (await api.bob.get(path)).status_code == 200
    assert (await api.bob.get(path, params={"q": "x"})).status_code == 422
