"""What a process of the API tells Prometheus, and that nobody makes it tell more than it has kinds of things."""

import asyncio
from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from models.domain.ids import new_id
from tests.unit.api.processes import answers, free_neighbours, free_url, running

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    """Each value, by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(address: str) -> Samples:
    async with httpx.AsyncClient() as client:
        return samples_of((await client.get(f"http://{address}/metrics")).raise_for_status().text)


def requests_in(samples: Samples) -> Counter[tuple[str, str, str]]:
    return Counter(
        {
            (labels["method"], labels["path"], labels["status"]): int(value)
            for (name, pairs), value in samples.items()
            if name == "nbhub_http_requests_total"
            for labels in [dict(pairs)]
        }
    )


async def test_requests_are_counted_by_route_and_no_asker_makes_series(
    environment: dict[str, str], url: str, signed_in: httpx.AsyncClient
) -> None:
    address = free_url().removeprefix("http://")
    environment["NBHUB_METRICS_ADDRESS"] = address
    async with running(environment, url):
        before = requests_in(await scraped(address))
        for number in range(20):
            identity = new_id()
            await signed_in.get(f"/servers/{identity}")
            await signed_in.get(f"/nowhere/{identity}")
            await signed_in.request(f"FETCH{number}", f"/servers/{identity}")
        async with signed_in.stream("GET", "/events") as stream:
            assert stream.status_code == 200
            found = await scraped(address)
            asked = requests_in(found) - before
            assert asked[("GET", "/servers/{id}", "404")] == 20
            assert asked[("GET", "-", "404")] == 20
            # A server that knows no such method ends it before anybody is asked, or it counts as one of the others.
            assert sum(asked.values()) <= 61
            assert len(asked) <= 4
            assert found[("nbhub_http_requests_in_progress", ())] == 1
        seconds = ("nbhub_http_request_seconds_count", (("method", "GET"), ("path", "/servers/{id}")))
        assert found[seconds] == 20
        values = {value for _, labels in found for _, value in labels}
        assert not any("@" in value or len(value) == 36 for value in values)
        async with asyncio.timeout(30):
            while ("nbhub_dependency_up", (("dependency", "database"),)) not in found:
                await asyncio.sleep(0.1)
                found = await scraped(address)
        assert found[("nbhub_dependency_up", (("dependency", "database"),))] == 1
        assert found[("nbhub_dependency_up", (("dependency", "temporal"),))] == 0
        assert found[("nbhub_database_connections", (("state", "free"),))] >= 0


async def test_each_of_several_processes_has_a_port_of_its_own(environment: dict[str, str], url: str) -> None:
    first, second = free_neighbours()
    environment |= {"NBHUB_METRICS_ADDRESS": first, "NBHUB_API_PROCESSES": "2"}
    async with running(environment, url):
        for address in (first, second):
            # One of the two answers requests; the other may still begin.
            await answers(f"http://{address}/metrics")
            assert await scraped(address)


async def test_a_port_that_is_taken_turns_no_request_away(environment: dict[str, str], url: str) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with taken:
        environment["NBHUB_METRICS_ADDRESS"] = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        async with running(environment, url), httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/version")).status_code == 200


async def test_nobody_is_told_where_no_address_is_set(environment: dict[str, str], url: str) -> None:
    async with running(environment, url), httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/metrics")).status_code == 404
