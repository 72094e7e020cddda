"""A process of the API beside that of the stack."""

from stack import parts, tools
from stack.progress import Progress
from tests.stacks import Stack


async def environment_of_api(stack: Stack, url: str, **settings: str) -> dict[str, str]:
    """The environment of one that listens at `url`, with other `settings` than the stack's."""
    values = {"NBHUB_API_PORT": url.rpartition(":")[2], **settings}
    page = await tools.page(Progress(quiet=True))
    return parts.environment(parts.api(stack.layout, stack.secrets, page, None, values).values)
