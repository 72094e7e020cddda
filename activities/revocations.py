"""The activity that has the provider revoke the refresh tokens of ended sessions. API processes do it: they alone have
the tokens' key, the credentials for the provider and a way to it. No token is in a payload."""

from uuid import UUID

import structlog
from cryptography.fernet import Fernet, InvalidToken
from temporalio import activity

from activities.messages import WorkflowRun
from activities.steps import of_subject, told
from activities.trying import try_each
from integrations.oidc import OidcClient
from models.domain.settings import Settings
from models.domain.values import Subject
from models.records import sessions

log = structlog.get_logger(__name__)


# Tokens that are read at once.
_PAGE = 100


class Revocations:
    """Revokes tokens."""

    def __init__(self, oidc: OidcClient, settings: Settings) -> None:
        self._oidc = oidc
        self._settings = settings

    @activity.defn
    async def revoke_tokens(self, run: WorkflowRun) -> None:
        """Have the provider revoke what is left of a person's ended sessions; raises `ProviderUnavailable`.

        Before that all that are read at once are tried, as long as the provider does anything.
        """
        async with told(of_subject(Subject(Subject.SIGN_OUT, run.subject), "Revoke it at the sign-in provider")):
            while tokens := await sessions.unrevoked(run.subject, _PAGE):
                hindered = await try_each((self._revoke(run.subject, *one) for one in tokens), "token_not_revoked")
                if hindered is not None:
                    raise hindered

    async def _revoke(self, person: UUID, token: bytes, encrypted: bytes) -> None:
        await sessions.note_try(person, token)
        try:
            await self._oidc.revoke(Fernet(self._settings.session_key).decrypt(encrypted).decode())
        except InvalidToken:
            log.warning("refresh_token_of_another_session_key", person=str(person))
        await sessions.note_revoked(person, token)
