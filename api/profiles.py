"""The application types and hardware options that templates may name, as a page shows them.

`GET /volume/hardware` has the names of the hardware alone.
"""

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from msgspec import Meta

from api.http.fields import AnswerBody
from api.http.openapi import shown
from api.http.policy import Policy, needs
from api.http.services import Services
from models.domain.profiles import SHARED_ROOTS, Application, Hardware
from models.records import unavailable

_PLACES = f"a path relative to the home or beginning with `$HOME/`, or in {' or in '.join(map(str, SHARED_ROOTS))}"

Unavailable = Annotated[
    str | None,
    Meta(
        description="Why no server is started with it, in words, by what JupyterHub's side said last; absent: one is, "
        "or nothing is known yet."
    ),
]


class FileRuleView(AnswerBody, frozen=True, kw_only=True):
    """What the `filePath` of a template has to be."""

    pattern: Annotated[
        str, Meta(description="A regular expression of what may be given; whether it is there is seen at the start.")
    ]
    description: Annotated[str, Meta(description="The same in words, to be shown to people.")]


class ApplicationView(AnswerBody, frozen=True, kw_only=True):
    """An application type."""

    id: Annotated[str, Meta(description="What a template says in `applicationType`.")] = msgspec.field(name="_id")
    title: Annotated[str, Meta(description="What people call it.")]
    icon: Annotated[str, Meta(description="Name of the picture to show for it.")]
    default: Annotated[bool, Meta(description="Whether it is the one to suggest; one is.")]
    file: Annotated[
        FileRuleView | None,
        Meta(description="What `filePath` has to be, which is needed then; absent: it does not matter."),
    ] = None
    unavailable: Unavailable = None


class HardwareView(AnswerBody, frozen=True, kw_only=True):
    """A hardware option."""

    id: Annotated[str, Meta(description="What a template says in `hardware`.")] = msgspec.field(name="_id")
    title: Annotated[str, Meta(description="What people call it.")]
    default: Annotated[bool, Meta(description="Whether it is the one to suggest; one is.")]
    cpu: Annotated[float, Meta(description="Number of processors; there may be fractions.")]
    memory: Annotated[int, Meta(description="Bytes of memory.")]
    gpu: Annotated[int, Meta(description="Number of GPUs.")]
    unavailable: Unavailable = None


_EXAMPLE_APPLICATIONS = [
    ApplicationView(id="jupyterlab", title="JupyterLab", icon="jupyterlab", default=True),
    ApplicationView(
        id="streamlit",
        title="Streamlit app",
        icon="streamlit",
        default=False,
        file=FileRuleView(
            pattern=r"^(.*/)?([^/]*(\.py))$",
            description=f"Streamlit app opens a file that ends in .py: {_PLACES}.",
        ),
    ),
    ApplicationView(
        id="vscode",
        title="VS Code",
        icon="vscode",
        default=False,
        unavailable="VS Code cannot run here: code-server is not installed on this machine",
    ),
]
_EXAMPLE_HARDWARE = [
    HardwareView(id="cpuSmall", title="Small (1 CPU, 2 GB RAM)", default=True, cpu=1, memory=2_147_483_648, gpu=0),
    HardwareView(
        id="gpuSmall",
        title="GPU (4 CPU, 15 GB RAM, 1 GPU)",
        default=False,
        cpu=4,
        memory=16_106_127_360,
        gpu=1,
        unavailable="Sandboxes of this machine have no GPU: choose other hardware",
    ),
]


class ProfilesController(Controller):
    """The application types and hardware options that templates may name."""

    tags = ("Templates",)

    @get(
        "/applications",
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE_APPLICATIONS),
        operation_id="listApplications",
        summary="List application types",
    )
    async def applications(self, services: NamedDependency[Services]) -> list[ApplicationView]:
        """The application types that a template may have, as configured, with what each opens and whether it runs here.

        Templates may name those that do not, too: where a server runs may change until it is started.
        """
        refused = (await unavailable.read()).applications
        return [_application(name, one, refused.get(name)) for name, one in services.profiles.applications.items()]

    @get(
        "/hardware",
        opt=needs(Policy.SIGNED_IN) | shown(_EXAMPLE_HARDWARE),
        operation_id="listHardwareOptions",
        summary="List hardware options with what they have",
    )
    async def hardware(self, services: NamedDependency[Services]) -> list[HardwareView]:
        """The hardware options that a template may have, as configured, with what a server gets of each.

        Whoever may start a server may have any that is there: nothing else is asked than how many servers one runs at
        once (`running_servers` of `GET /me/usage`).
        """
        refused = (await unavailable.read()).hardware
        return [_hardware(name, one, refused.get(name)) for name, one in services.profiles.hardware.items()]


def _application(name: str, application: Application, reason: str | None) -> ApplicationView:
    rule = application.file_rule
    return ApplicationView(
        id=name,
        title=application.title,
        icon=application.icon or name,
        default=application.default,
        file=FileRuleView(pattern=application.file_pattern, description=f"{rule}: {_PLACES}.") if rule else None,
        unavailable=reason,
    )


def _hardware(name: str, hardware: Hardware, reason: str | None) -> HardwareView:
    return HardwareView(
        id=name,
        title=hardware.title,
        default=hardware.default,
        cpu=hardware.cpu,
        memory=hardware.memory_bytes,
        gpu=hardware.gpu,
        unavailable=reason,
    )
