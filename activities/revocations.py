"""The activity that has the provider revoke the refresh tokens of ended sessions. API processes do it: they alone have
the tokens' key, the credentials for the provider and a way to it. No token is in a payload."""

import structlog
from cryptography.fernet import Fernet, InvalidToken
from temporalio import activity

from activities.messages import WorkflowRun
from activities.steps import of_subject, told
from integrations.oidc import OidcClient
from models.domain.settings import Settings
from models.domain.values import Subject
from models.records import sessions

log = structlog.get_logger(__name__)


class Revocations:
    """Revokes tokens."""

    def __init__(self, oidc: OidcClient, settings: Settings) -> None:
        self._oidc = oidc
        self._settings = settings

    @activity.defn
    async def revoke_tokens(self, run: WorkflowRun) -> None:
        """Have the provider revoke what is left of a person's ended sessions; raises `ProviderUnavailable`."""
        key = Fernet(self._settings.session_key)
        async with told(of_subject(Subject(Subject.SIGN_OUT, run.subject), "Revoke it at the sign-in provider")):
            for token_hash, encrypted in await sessions.unrevoked(run.subject):
                try:
                    await self._oidc.revoke(key.decrypt(encrypted).decode())
                except InvalidToken:
                    log.warning("refresh_token_of_another_session_key", person=str(run.subject))
                await sessions.note_revoked(run.subject, token_hash)
