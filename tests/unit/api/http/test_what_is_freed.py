"""A request is freed when it is answered: bodies of a megabyte do not wait until somebody looks for garbage."""

import gc

import pytest
from litestar import Request

from tests.unit.api.bench import TEMPLATE, Api

_LARGE = {"root": "notebooks", "type": "file", "name": "x/y", "content": "x" * 900_000}
ASKED = {
    "read": ("GET", "/servers", None, 200),
    "a record that is not there": ("GET", "/servers/01a20000-0000-7000-8000-000000000000", None, 404),
    "written": ("POST", "/template", TEMPLATE, 200),
    "refused by its fields": ("POST", "/template", TEMPLATE | {"name": 7}, 422),
    "refused by what is looked up": ("POST", "/template", TEMPLATE | {"datasets": ["nothing"]}, 422),
    "large, and refused": ("POST", "/volume/file", _LARGE, 422),
    "too large": ("POST", "/template", TEMPLATE | {"description": "x" * 3_000_000}, 413),
    "of another kind": ("POST", "/template", None, 422),
}


@pytest.mark.parametrize("what", ASKED)
async def test_nothing_of_a_request_waits_for_the_garbage_collector(api: Api, what: str) -> None:
    method, path, body, status = ASKED[what]
    gc.collect()
    # What other tests have left is none of this one's.
    before = _requests()
    gc.disable()
    try:
        for _ in range(2):
            answer = await api.person("alice").request(method, path, json=body)
            assert answer.status_code == status, answer.text
            del answer
        left = [one for one in _requests() if all(one is not other for other in before)]
    finally:
        gc.enable()
    assert [[type(holder) for holder in gc.get_referrers(one)] for one in left] == []


def _requests() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, Request)]
