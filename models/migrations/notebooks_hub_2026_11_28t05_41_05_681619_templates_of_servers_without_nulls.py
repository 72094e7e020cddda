from models.database.migration import MigrationManager

ID = "2026-11-28T05:41:05:681619"
VERSION = "1.38.0"
DESCRIPTION = "templates of servers without nulls"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    # Stored as it is sent: each read of a list would take the nulls out of each row. Who writes need not know, nor does
    # a process of the version before.
    manager.execute(
        """
    CREATE FUNCTION server_template_without_nulls() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      NEW.template_data := jsonb_strip_nulls(NEW.template_data);
      RETURN NEW;
    END $body$
    """,
        backwards="DROP FUNCTION server_template_without_nulls",
    )
    manager.execute(
        """CREATE TRIGGER server_template_without_nulls BEFORE INSERT OR UPDATE OF template_data ON server
           FOR EACH ROW EXECUTE FUNCTION server_template_without_nulls()""",
        backwards="DROP TRIGGER server_template_without_nulls ON server",
    )
    # Nobody waits for this but who changes one of these servers; what is right already is left alone.
    manager.execute(
        "UPDATE server SET template_data = template_data WHERE template_data <> jsonb_strip_nulls(template_data)",
        backwards="SELECT 1",
    )

    return manager
