"""A part of a name is found among everybody's servers by an index; extensions are not needed."""

from piccolo.columns.column_types import UUID, Text
from piccolo.columns.indexes import IndexMethod

from models.database.migration import MigrationManager

ID = "2026-11-26T16:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "search of servers"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="notebooks_hub", description=DESCRIPTION)

    manager.add_table(class_name="ServerSearch", tablename="server_search", schema=None, columns=None)

    manager.add_column(
        table_class_name="ServerSearch",
        tablename="server_search",
        column_name="server",
        db_column_name="server",
        column_class_name="UUID",
        column_class=UUID,
        params={
            "default": None,
            "null": False,
            "primary_key": True,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    manager.add_column(
        table_class_name="ServerSearch",
        tablename="server_search",
        column_name="text",
        db_column_name="text",
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

    execute = manager.execute

    # What stands in a text stands there with all of its own parts.
    execute(
        """
    CREATE FUNCTION parts(searched text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000
    RETURN ARRAY(SELECT substr(searched, start, size)
                   FROM generate_series(1, length(searched)) start, generate_series(1, 3) size)
    """,
        backwards="DROP FUNCTION parts",
    )
    execute(
        """
    CREATE FUNCTION server_named() RETURNS trigger LANGUAGE plpgsql AS $body$
    BEGIN
      IF TG_OP = 'DELETE' THEN
        DELETE FROM server_search WHERE server = OLD.id;
        RETURN NULL;
      END IF;
      INSERT INTO server_search (server, text)
      VALUES (NEW.id, concat_ws(E'\\n', lower(NEW.name), lower(NEW.template_data ->> 'name')))
      ON CONFLICT (server) DO UPDATE SET text = excluded.text WHERE server_search.text <> excluded.text;
      RETURN NULL;
    END $body$
    """,
        backwards="DROP FUNCTION server_named",
    )
    execute(
        """CREATE TRIGGER server_named AFTER INSERT OR DELETE OR UPDATE OF name, template_data ON server
           FOR EACH ROW EXECUTE FUNCTION server_named()""",
        backwards="DROP TRIGGER server_named ON server",
    )
    execute(
        """INSERT INTO server_search (server, text)
           SELECT id, concat_ws(E'\\n', lower(name), lower(template_data ->> 'name')) FROM server""",
        backwards="DELETE FROM server_search",
    )
    # Without a list of what is still to be sorted in: who makes a server would sort in a thousand others' names.
    manager.create_index("server_search_parts", "server_search USING gin (parts(text)) WITH (fastupdate = off)")

    return manager
