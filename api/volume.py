"""What the web UI offers as choices."""

from litestar import Controller, get
from litestar.di import NamedDependency

from api.policy import Policy, needs
from api.services import Services


class VolumeController(Controller):
    """Hardware that templates may name."""

    path = "/volume"
    tags = ("Volume",)

    @get(
        "/hardware",
        opt=needs(Policy.SIGNED_IN),
        operation_id="listHardware",
        summary="List hardware options",
        sync_to_thread=False,
    )
    def hardware(self, services: NamedDependency[Services]) -> list[str]:
        """Names of the hardware options that a template may have, as configured."""
        return list(services.profiles.hardware)
