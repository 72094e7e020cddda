"""Hands the secrets of one start over to JupyterHub's side: as tokens that open once, never as values.

The tokens live in this process and in the request that asks for the start; no history has them. Those of a start that
failed are ended. Where it is not known whether a start was accepted they end by themselves, soon.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

from integrations.turns import PersonsTurns
from integrations.vault import Vault
from models.domain.errors import HubThrottled, HubUnavailable, RecordMissing, VaultUnavailable
from models.domain.server_spec import SecretMount, WrappedSecret
from models.ledger.operations import LeftOut
from models.records.secrets import Placed, SecretType

# A start that failed does not wait for a Vault that is away.
_END_SECONDS = 5.0


class Handover:
    """The secrets of one start."""

    def __init__(self, vault: Vault, turns: PersonsTurns, seconds: float) -> None:
        """`turns` are those of the server's owner at Vault; `seconds` are how long a token waits to be used."""
        self._vault, self._turns = vault, turns
        self._seconds = seconds
        self.mounts: list[SecretMount] = []
        self.wrapped: list[WrappedSecret] = []
        self.left_out: list[LeftOut] = []

    async def wrap(self, secrets: list[Placed]) -> None:
        """Have a token for each secret; one that Vault has no value of is left out. Raises `VaultUnavailable`."""
        failures: list[VaultUnavailable] = []

        async def one(secret: Placed) -> None:
            async with self._turns:
                if failures:
                    # It would be in vain, and take a deadline of its own.
                    return
                try:
                    token = await self._vault.wrap(secret.id, secret.value_version, self._seconds)
                except VaultUnavailable as failure:
                    failures.append(failure)
                    return
            self.wrapped.append(WrappedSecret(id=str(secret.id), token=token))

        # All of them, so that every token that was made is known, to be ended.
        outcomes = await asyncio.gather(*map(one, secrets), return_exceptions=True)
        if failures:
            raise failures[0]
        for secret, outcome in zip(secrets, outcomes, strict=True):
            if isinstance(outcome, RecordMissing):
                self.left_out.append(LeftOut(kind="secret", id=str(secret.id), reason="Vault has no value of it."))
            elif outcome is not None:
                raise outcome
            else:
                self.mounts.append(self._mount(secret))

    def _mount(self, secret: Placed) -> SecretMount:
        return SecretMount(
            id=str(secret.id),
            kind=str(secret.type),
            name=secret.name,
            target="" if secret.type is SecretType.ENV_VAR else secret.target,
            path=self._vault.path(secret.id),
            version=secret.value_version,
        )

    @asynccontextmanager
    async def ended_on_failure(self) -> AsyncIterator[None]:
        """End the tokens if what is done within fails for good, or is no longer wished."""
        try:
            yield
        except BaseException as error:
            details = activity.cancellation_details()
            # The start may have been accepted all the same, and a later try, here or elsewhere, will find it.
            unknown = isinstance(error, HubUnavailable) and not isinstance(error, HubThrottled)
            if not unknown and (details is None or not details.worker_shutdown):
                await self._end()
            raise

    async def _end(self) -> None:
        # What cannot be ended now ends by itself.
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(*(self._vault.revoke(one.token) for one in self.wrapped), return_exceptions=True)
