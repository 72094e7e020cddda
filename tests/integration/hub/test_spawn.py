"""Starting and stopping servers: only what is signed, seen to run, and proven gone."""

import asyncio
import os
import re
import time
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from hub.processes import identify
from models.domain.server_spec import sign_spec
from tests.integration.hub.harness import USER, HubUnderTest, until


def test_a_signed_spec_becomes_a_server(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    (process,) = hub.processes(spec)
    assert process["generation"] == 1
    assert process["hub_user"] == USER
    assert process["hub_name"] == spec.hub_name
    assert process["alive"]
    assert identify(process["pid"]) is not None
    everything = hub.truth.get("servers").json()
    # When each was last used is told of all at once.
    assert process | {"last_activity": None} in [one | {"last_activity": None} for one in everything["servers"]]
    assert everything["complete"]
    assert everything["spawner"] == "bubblewrap"

    answer = hub.api.delete(hub.path(spec))
    assert answer.status_code in (202, 204)
    until(lambda: not hub.model(spec).get("ready"), 10, "the hub says stopped")
    until(lambda: hub.processes(spec) == [], 10, "no process lives")
    assert identify(process["pid"]) is None


def test_a_slow_start_is_answered_at_once(hub: HubUnderTest) -> None:
    spec = hub.spec()
    began = time.monotonic()
    answer = hub.order(spec)
    assert answer.status_code == 202
    assert time.monotonic() - began < 3
    # Stopped while it starts: nothing may be left.
    hub.api.delete(hub.path(spec))
    until(lambda: not hub.model(spec).get("pending"), 20, "nothing is pending")
    assert hub.processes(spec) == []


def refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    return str(answer.json()["message"])


def test_what_is_not_signed_for_this_server_is_refused(hub: HubUnderTest) -> None:
    spec = hub.spec()
    assert "Notebooks Hub" in refusal(hub.post(spec, {}))
    assert "Notebooks Hub" in refusal(hub.post(spec, {"spec": "not.a.spec"}))
    foreign_key = hub.new_key("other")
    assert "signature" in refusal(hub.order(spec, foreign_key))
    now = int(time.time())
    assert "expired" in refusal(hub.order(hub.spec(issued_at=now - 300, expires_at=now - 1)))
    token = sign_spec(spec, hub.private_key, "1")
    assert "another server" in refusal(hub.post(hub.spec(), {"spec": token}))
    stranger = sign_spec(hub.spec(hub_user="bob@example.org"), hub.private_key, "1")
    assert "another person" in refusal(hub.post(spec, {"spec": stranger}))
    assert hub.truth.get("servers").json()["servers"] == []


def test_an_older_generation_is_refused(hub: HubUnderTest) -> None:
    server_id = str(uuid.uuid4())
    newer = hub.spec(server_id=server_id, generation=7)
    hub.spawn(newer)
    hub.api.delete(hub.path(newer))
    until(lambda: hub.processes(newer) == [], 10, "no process lives")
    answer = hub.order(hub.spec(server_id=server_id, generation=6))
    assert answer.status_code == 409
    # Whoever proved generation 8 gone will not see it come back.
    assert hub.truth.delete(f"servers/{server_id}", params={"up_to_generation": 8}).json() == {"processes": []}
    assert hub.order(hub.spec(server_id=server_id, generation=8)).status_code == 409


def test_the_truth_service_ends_a_process_that_the_hub_would_keep(hub: HubUnderTest) -> None:
    spec = hub.spec(generation=3)
    hub.spawn(spec)
    path = f"servers/{spec.server_id}"
    # A later generation than asked for stays.
    assert hub.truth.delete(path, params={"up_to_generation": 2}).json() == {"processes": []}
    assert len(hub.processes(spec)) == 1
    assert hub.truth.delete(path, params={"up_to_generation": 3}).json() == {"processes": []}
    assert hub.processes(spec) == []
    until(lambda: not hub.model(spec).get("ready"), 15, "the hub notices")


def test_the_truth_is_for_those_who_may_ask(hub: HubUnderTest) -> None:
    url = f"{hub.url}/services/nbhub-truth/servers"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "token wrong"}).status_code == 401
    with hub.user_client() as user:
        assert user.get("/services/nbhub-truth/servers").status_code == 403


def test_a_stop_that_fails_leaves_a_process_that_the_truth_names(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    (hub.faults / "stop.raises").touch()
    hub.api.delete(hub.path(spec))
    until(lambda: not hub.model(spec).get("ready"), 10, "the hub says stopped")
    assert len(hub.processes(spec)) == 1
    hub.truth.delete(f"servers/{spec.server_id}", params={"up_to_generation": 1})
    assert hub.processes(spec) == []


def test_people_cannot_start_servers_themselves(hub: HubUnderTest) -> None:
    spec = hub.spec()
    token = sign_spec(spec, hub.private_key, "1")
    with hub.user_client() as user:
        for path in (hub.path(spec), f"users/{USER}/server"):
            answer = user.post(f"/hub/api/{path}", json={"display_name": "", "user_options": {"spec": token}})
            assert answer.status_code in (403, 404)
        assert "spec" not in user.get("/hub/api/user").text


def test_the_hubs_own_pages_start_nothing(hub: HubUnderTest) -> None:
    with httpx.Client(base_url=hub.url, follow_redirects=True, timeout=30) as browser:
        browser.get("/hub/login")
        form = {"username": USER, "password": "any", "_xsrf": browser.cookies["_xsrf"]}
        home = browser.post("/hub/login", data=form)
        assert home.url.path == "/hub/home"
        assert re.search(r"made, started and stopped in\s+<a href=[^>]+>Notebooks Hub</a>", home.text)
        assert "/hub/spawn" not in home.text
        spawn = browser.get(f"/hub/spawn/{USER}/some")
        assert spawn.status_code == 403
        assert "Servers are made and started elsewhere" in spawn.text
        missing = browser.get(f"/user/{USER}/some/")
        assert re.search(r"Start it in\s+<a href=[^>]+>Notebooks Hub</a>", missing.text)
        assert "/hub/spawn" not in missing.text


def test_a_failed_start_says_why(hub: HubUnderTest) -> None:
    spec = hub.spec(application="streamlit", file_path="broken.py")
    (hub.roots["notebooks"] / USER / "broken.py").mkdir()
    answer = hub.order(spec)
    assert answer.status_code == 422
    assert "is a folder" in answer.json()["message"]
    missing = hub.order(hub.spec(application="rshiny", file_path="app.R"))
    assert missing.status_code == 422
    assert "Rscript is not installed" in missing.json()["message"]
    escape = hub.order(hub.spec(home="/etc"))
    assert "is not inside a directory that servers may see" in refusal(escape)


def test_what_cannot_be_started_is_told_beforehand_in_the_same_words(hub: HubUnderTest) -> None:
    told = hub.truth.get("servers").raise_for_status().json()["unavailable"]
    assert list(told["hardware"]) == ["gpuSmall"]
    assert not {"jupyterlab", "streamlit"} & told["applications"].keys()
    for reason, spec in (
        (told["hardware"]["gpuSmall"], hub.spec(hardware="gpuSmall")),
        (told["applications"]["rshiny"], hub.spec(application="rshiny", file_path="app.R")),
    ):
        assert reason == hub.order(spec).json()["message"]


def test_a_server_that_ends_by_itself_leaves_its_last_words(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    (process,) = hub.processes(spec)
    os.kill(process["pid"], 9)
    until(lambda: not hub.model(spec).get("ready"), 15, "the hub notices")
    assert hub.processes(spec) == []
    failure = until(lambda: hub.failure(spec), 5, "a failure is kept")
    assert "ended by itself" in failure["reason"]
    assert "is running at" in failure["log"]
    # The monitor was killed, which would have known.
    assert (failure["exit_code"], failure["stopped"]) == (None, False)


def test_a_stop_in_jupyterhub_is_told_from_an_end(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    hub.end(spec)
    assert (hub.failure(spec)["stopped"], hub.failure(spec)["log"]) == (True, "")
    again = msgspec.structs.replace(spec, generation=2)
    hub.spawn(again)
    assert hub.failure(again) == {}, "what is told of an earlier one"
    hub.end(again)


def test_what_lives_is_told_with_when_it_was_last_used(hub: HubUnderTest) -> None:
    spec, before = hub.spec(), datetime.now(UTC)
    hub.spawn(spec)

    def last_used() -> datetime:
        found = next(one for one in hub.truth.get("servers").json()["servers"] if one["server_id"] == spec.server_id)
        return datetime.fromisoformat(found["last_activity"])

    first = last_used()
    assert before - timedelta(seconds=2) < first <= datetime.now(UTC)
    moment = datetime.now(UTC) + timedelta(minutes=5)
    said = {"servers": {spec.hub_name: {"last_activity": moment.isoformat()}}}
    with hub.user_client() as user:
        assert user.post(f"/hub/api/users/{USER}/activity", json=said).status_code == 200
    # As a program of the user's says it.
    assert last_used() == moment
    hub.end(spec)


def test_the_log_of_what_lives_is_told_and_of_nothing_else(hub: HubUnderTest) -> None:
    spec = hub.spec()
    assert hub.truth.get(f"log/{spec.server_id}").status_code == 404
    hub.spawn(spec)
    told = hub.truth.get(f"log/{spec.server_id}")
    assert "is running at" in told.json()["log"]
    hub.end(spec)
    assert hub.truth.get(f"log/{spec.server_id}").status_code == 404


def test_an_end_is_told_before_the_hub_has_noticed(hub: HubUnderTest) -> None:
    spec = hub.spec()
    hub.spawn(spec)
    (process,) = hub.processes(spec)
    os.kill(process["pid"], 9)
    until(lambda: hub.processes(spec) == [], 10, "no process lives")
    ending = hub.truth.get(f"ending/{spec.server_id}", params={"generation": 1})
    assert ending.status_code == 200, ending.text
    assert ending.json()["reason"] == "The server ended by itself (it was killed)"
    assert "is running at" in ending.json()["log"]
    assert hub.truth.get(f"ending/{spec.server_id}", params={"generation": 2}).status_code == 404


def test_what_is_left_of_a_start_that_could_not_begin_is_cleared_by_a_stop(hub: HubUnderTest) -> None:
    """As where the user was renamed whose running server has the same sign-in client."""
    user = f"{uuid.uuid4().hex[:8]}@example.org"
    (hub.roots["notebooks"] / user).mkdir()
    spec = hub.spec(hub_user=user)
    hub.spawn(spec)
    with httpx.Client(headers={"Authorization": f"token {hub.admin_token}"}, timeout=30) as operator:
        renamed = operator.patch(f"{hub.url}/hub/api/users/{user}", json={"name": f"renamed-{user}"})
    assert renamed.status_code == 200, renamed.text
    again = msgspec.structs.replace(spec, generation=2)
    assert hub.order(again).status_code == 500
    assert hub.model(again)["ready"], "JupyterHub shows what does not run"
    hub.api.delete(hub.path(again))
    assert not hub.model(again)["ready"]
    # The one of the renamed user goes on, and once it has ended there can be another here.
    hub.end(msgspec.structs.replace(spec, hub_user=f"renamed-{user}"))
    hub.spawn(msgspec.structs.replace(spec, generation=3))
    hub.end(spec)


def test_no_token_is_in_a_log(hub: HubUnderTest) -> None:
    logs = [hub.log_file, *(hub.data_dir / "logs").iterdir()]
    assert len(logs) > 1
    for log in logs:
        text = log.read_text()
        for secret in (hub.worker_token, hub.admin_token, hub.environment["NBHUB_HUB_PROXY_TOKEN"], "eyJ"):
            assert secret not in text


@pytest.mark.parametrize("together", [3])
async def test_several_starts_at_once(hub: HubUnderTest, together: int) -> None:
    specs = [hub.spec() for _ in range(together)]
    await asyncio.gather(*(asyncio.to_thread(hub.spawn, spec) for spec in specs))
    for spec in specs:
        assert len(hub.processes(spec)) == 1
        hub.truth.delete(f"servers/{spec.server_id}", params={"up_to_generation": 1})
        assert hub.processes(spec) == []
