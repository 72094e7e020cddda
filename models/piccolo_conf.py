"""Configuration of Piccolo's command line: `PICCOLO_CONF=models.piccolo_conf piccolo migrations …`."""

from piccolo.conf.apps import AppRegistry

from models.database import DB as DB
from models.database import configure
from models.settings import Settings

configure(Settings.from_environment())

APP_REGISTRY = AppRegistry(apps=["models.piccolo_app"])
