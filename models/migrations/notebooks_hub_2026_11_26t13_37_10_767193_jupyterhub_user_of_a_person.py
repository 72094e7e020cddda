"""Names in JupyterHub are no longer e-mails, which may be given to somebody else."""

from piccolo.columns.column_types import Text
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-26T13:37:10:767193"
VERSION = "1.38.0"
DESCRIPTION = "jupyterhub user of a person"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_column(
        table_class_name="Person",
        tablename="person",
        column_name="hub_user",
        db_column_name="hub_user",
        column_class_name="Text",
        column_class=Text,
        params={
            "default": "",
            "null": False,
            "primary_key": False,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    # Whose address nobody else ever had keeps the name by it, and so the servers that run; no other name has an @.
    manager.execute(
        """
    CREATE FUNCTION hub_user_made_of(id uuid, email text) RETURNS text LANGUAGE sql IMMUTABLE AS $body$
      SELECT concat_ws('-', nullif(trim(BOTH '-' FROM left(regexp_replace(
               split_part(lower(email), '@', 1), '[^a-z0-9]+', '-', 'g'), 20)), ''), right(id::text, 12))
    $body$
    """,
        backwards="DROP FUNCTION hub_user_made_of",
    )
    manager.execute(
        """
    UPDATE person p SET hub_user = CASE
      WHEN issuer <> '' AND released_at IS NULL
           AND NOT EXISTS (SELECT FROM person other WHERE other.email = p.email AND other.id <> p.id) THEN email
      ELSE hub_user_made_of(id, email) END
    """,
        backwards="SELECT",
    )
    manager.create_index("person_hub_user", "person (hub_user)", unique=True)
    manager.execute(
        """
    CREATE FUNCTION name_hub_user() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      NEW.hub_user := hub_user_made_of(NEW.id, NEW.email);
      RETURN NEW;
    END $body$
    """,
        backwards="DROP FUNCTION name_hub_user",
    )
    manager.execute(
        "CREATE TRIGGER name_hub_user BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION name_hub_user()",
        backwards="DROP TRIGGER name_hub_user ON person",
    )

    return manager
