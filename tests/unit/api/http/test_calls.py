"""What handlers are called with, and what may not be provided to them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import pytest
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter
from litestar.response import Redirect

from api.app import assemble
from api.http.policy import Policy, needs
from models.domain.settings import Settings
from models.domain.values import OperationStatus
from tests.unit.api.bench import NOBODY, Client, answered

SETTINGS = Settings(database_url="postgresql:///unused")
Named = Annotated[int, QueryParameter(name="inTheQuery", ge=1)]


def provide_twice(request: Request[Any, Any, Any], given: Named = 4) -> str:
    return f"{request.method} {given * 2}"


class Things(Controller):
    dependencies = {"twice": Provide(provide_twice, sync_to_thread=False)}  # noqa: RUF012 - as Litestar has it

    @get("/all/{id:str}/{word:str}", opt=needs(Policy.PUBLIC))
    async def all(
        self,
        id: FromPath[UUID],
        word: FromPath[str],
        twice: NamedDependency[str],
        request: Request[Any, Any, Any],
        whether: FromQuery[bool] = False,
        status: FromQuery[OperationStatus | None] = None,
        many: FromQuery[list[int] | None] = None,
        header: Annotated[int | None, HeaderParameter(name="X-Given", ge=1)] = None,
    ) -> dict[str, str]:
        values = {"id": id, "word": word, "twice": twice, "path": request.url.path, "whether": whether}
        values |= {"status": status, "many": many, "header": header}
        return {name: f"{type(value).__name__} {value!r}" for name, value in values.items()}

    @get("/plain", opt=needs(Policy.PUBLIC), sync_to_thread=False)
    def plain(self) -> list[int]:
        return [1]

    @post("/elsewhere", opt=needs(Policy.PUBLIC), status_code=303)
    async def elsewhere(self) -> Response[Any]:
        return Redirect("/plain", status_code=303)

    @post("/nothing", opt=needs(Policy.PUBLIC), status_code=204)
    async def nothing(self) -> None:
        pass


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(assemble([Things], settings=SETTINGS)) as client:
        yield client


async def test_arguments_are_of_the_types_that_the_handler_names(client: Client) -> None:
    query = "whether=true&status=queued&many=1&many=2&inTheQuery=7"
    found = answered(await client.get(f"/all/{NOBODY}/x%20y?{query}", headers={"x-given": "5"}), 200)
    assert found.pop("id").startswith("UUID ")
    assert found == {
        "word": "str 'x y'",
        "twice": "str 'GET 14'",
        "path": f"str '/all/{NOBODY}/x y'",
        "whether": "bool True",
        "status": "OperationStatus <OperationStatus.QUEUED: 'queued'>",
        "many": "list [1, 2]",
        "header": "int 5",
    }


async def test_what_is_not_given_is_as_the_handler_says(client: Client) -> None:
    found = answered(await client.get(f"/all/{NOBODY}/x"), 200)
    assert (found["twice"], found["whether"]) == ("str 'GET 8'", "bool False")
    assert {found[name] for name in ("status", "many", "header")} == {"NoneType None"}


async def test_what_a_dependency_asks_for_is_checked_like_everything_else(client: Client) -> None:
    headers = {"x-given": "0"}
    found = answered(await client.get(f"/all/{NOBODY}/x?inTheQuery=0&many=x", headers=headers), 422)
    assert {one["path"] for one in found["error"]["details"]} == {"inTheQuery", "many", "X-Given"}


async def test_whatever_a_handler_returns_is_sent(client: Client) -> None:
    assert (await client.get("/plain")).json() == [1]
    answer = await client.post("/elsewhere")
    assert (answer.status_code, answer.headers["location"]) == (303, "/plain")
    answer = await client.post("/nothing")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("way", ["waits", "generates"])
def test_an_application_whose_dependencies_wait_does_not_start(way: str) -> None:
    async def waits() -> str:
        return ""

    def generates() -> Any:
        yield ""

    @get("/", opt=needs(Policy.PUBLIC), dependencies={"one": Provide({"waits": waits, "generates": generates}[way])})
    async def handler(one: NamedDependency[str]) -> str:
        return one

    with pytest.raises(TypeError, match="one is not provided by a plain function"):
        assemble([handler], settings=SETTINGS)
