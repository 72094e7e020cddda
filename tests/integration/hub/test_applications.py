"""The other application types really serve, behind JupyterHub's sign-in."""

import json
from pathlib import Path

import httpx
import pytest
from websockets import Origin, Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from models.domain.server_spec import ServerSpec
from tests.integration.hub.harness import USER, HubUnderTest, until

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": "a",
            "metadata": {},
            "outputs": [],
            "source": ["print(6 * 7, 'is the answer')"],
        }
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.fixture(scope="module")
def files(hub: HubUnderTest) -> Path:
    home = hub.roots["notebooks"] / USER
    (home / "work").mkdir(exist_ok=True)
    (home / "work" / "board.ipynb").write_text(json.dumps(NOTEBOOK))
    (home / "app.py").write_text("import streamlit\nstreamlit.title('An app')\n")
    (home / "wrong.py").write_text("import streamlit\n")
    return home


def pages(hub: HubUnderTest, spec: ServerSpec, path: str) -> str:
    with hub.user_client() as user:
        answer = user.get(f"/user/{USER}/{spec.hub_name}/{path}", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.text


def end(hub: HubUnderTest, spec: ServerSpec) -> None:
    hub.api.delete(hub.path(spec))
    until(lambda: hub.processes(spec) == [], 10, "no process lives")


def test_notebook(hub: HubUnderTest) -> None:
    spec = hub.spec(application="notebook")
    hub.spawn(spec)
    assert "Jupyter" in pages(hub, spec, "tree")
    end(hub, spec)


@pytest.mark.usefixtures("files")
def test_voila(hub: HubUnderTest) -> None:
    spec = hub.spec(application="voila", file_path="$HOME/work/board.ipynb")
    hub.spawn(spec)
    assert "42 is the answer" in pages(hub, spec, "")
    # Whoever is not signed in sees nothing of it.
    assert httpx.get(f"{hub.url}/user/{USER}/{spec.hub_name}/").status_code in (302, 403)
    end(hub, spec)


@pytest.mark.usefixtures("files")
def test_streamlit(hub: HubUnderTest) -> None:
    spec = hub.spec(application="streamlit", file_path="app.py")
    hub.spawn(spec)
    assert "streamlit" in pages(hub, spec, "").lower()
    assert pages(hub, spec, "_stcore/health") == "ok"
    path = f"/user/{USER}/{spec.hub_name}/_stcore"
    assert httpx.get(f"{hub.url}{path}/health").status_code in (302, 403)

    # What the app shows goes over a websocket: it, too, is for those who may use this server.
    stream = f"{hub.url.replace('http', 'ws', 1)}{path}/stream"
    with pytest.raises(InvalidStatus) as refused:
        connect(stream, subprotocols=[Subprotocol("streamlit")])
    assert refused.value.response.status_code == 403
    with hub.user_client() as user:
        headers = {"Authorization": user.headers["Authorization"]}
    with connect(stream, subprotocols=[Subprotocol("streamlit")], additional_headers=headers) as socket:
        assert socket.subprotocol == "streamlit"
    # A page of another site cannot use a visitor's rights.
    with pytest.raises(InvalidStatus):
        connect(stream, additional_headers=headers, origin=Origin("https://evil.example"))
    end(hub, spec)


def test_a_program_that_ends_fails_the_start(hub: HubUnderTest, files: Path) -> None:
    (files / "work" / "board.txt").write_text("not a notebook")
    link = files / "out.ipynb"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/passwd")
    answer = hub.order(hub.spec(application="voila", file_path="out.ipynb"))
    assert answer.status_code == 422
    assert "leads out of" in answer.json()["message"]
