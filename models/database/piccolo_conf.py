"""Configuration of Piccolo's command line: `PICCOLO_CONF=models.database.piccolo_conf piccolo migrations …`."""

from piccolo.conf.apps import AppRegistry

from models.database.engine import DB as DB
from models.database.engine import configure
from models.domain.settings import Settings

# An index of a large table takes as long as it takes; only what waits for a lock holds up others.
configure(Settings.from_environment(), statement_timeout="0")

APP_REGISTRY = AppRegistry(apps=["models.database.piccolo_app"])
