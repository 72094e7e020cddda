"""What a migration may do besides Piccolo's columns: indexes, and statements of its own."""

from dataclasses import dataclass, field

from piccolo.apps.migrations.auto import migration_manager
from piccolo.apps.migrations.tables import Migration

from models.database.engine import DB


@dataclass
class MigrationManager(migration_manager.MigrationManager):
    """Piccolo's, with statements: they run when tables and columns are as they shall be, and are undone before those.

    A database that has seen all that it `replaces` has its schema already.
    """

    replaces: tuple[str, ...] = ()
    statements: list[tuple[str, str]] = field(default_factory=list)

    def execute(self, forwards: str, *, backwards: str) -> None:
        """Run `forwards`; the way back runs `backwards`, in the opposite order."""
        self.statements.append((forwards, backwards))

    def create_index(self, name: str, on: str, *, unique: bool = False) -> None:
        """Create an index; `on` is what a statement says after `ON`: `"server (id DESC) WHERE observed = 'lost'"`."""
        self.execute(f"CREATE {'UNIQUE ' * unique}INDEX {name} ON {on}", backwards=f"DROP INDEX {name}")

    def drop_index(self, name: str, on: str, *, unique: bool = False) -> None:
        """Drop an index; the arguments are those that it was created with."""
        self.execute(f"DROP INDEX {name}", backwards=f"CREATE {'UNIQUE ' * unique}INDEX {name} ON {on}")

    async def run(self, backwards: bool = False) -> None:
        """Do all of it, or nothing. Raises `RuntimeError` on a database that has seen only some of what it replaces."""
        async with DB.transaction():
            if backwards:
                for _, statement in reversed(self.statements):
                    await DB.run_ddl(statement)
                await super().run(backwards=True)
            elif not await self._done_by_others():
                await super().run()
                for statement, _ in self.statements:
                    await DB.run_ddl(statement)

    async def _done_by_others(self) -> bool:
        ran = {*self.replaces} & {*await Migration.get_migrations_which_ran(self.app_name)}
        if ran and len(ran) < len(self.replaces):
            raise RuntimeError(
                f"of the {len(self.replaces)} migrations that {self.migration_id} replaces this database has seen"
                f" {len(ran)}: bring it up to date with the last version that has them all, and migrate again"
            )
        return bool(ran)
