"""Each kind of the table of kinds has all that a kind needs, and whatever belongs to a kind is in the table."""

from collections import Counter

import msgspec
import pytest

import worker
from models.database.piccolo_app import APP_CONFIG
from models.domain.kinds import KINDS, WORK, Kind
from models.domain.settings import Settings
from models.records.servers import TemplateData

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.mark.parametrize("word", WORK)
def test_a_workflow_works_on_each_kind(word: str) -> None:
    registered = {one.__name__ for one in worker.WORKFLOWS}
    assert WORK[word].workflow in registered, f"worker.WORKFLOWS has no {WORK[word].workflow}, which works on a {word}"


def test_no_two_workflows_have_one_id() -> None:
    """The id is the lock: two kinds of work on one record are two locks."""
    assert [prefix for prefix, count in Counter(work.prefix for work in WORK.values()).items() if count > 1] == []


@each_kind
def test_a_kind_has_a_table(kind: Kind) -> None:
    found = [one for one in APP_CONFIG.table_classes if one._meta.tablename == kind.table]
    assert found, f"models/database/tables.py has no table {kind.table}, where a {kind.word} is kept"
    columns = {column._meta.name for column in found[0]._meta.columns}
    if kind.wished:
        needed = {"wish", "generation", "observed", "observed_generation", "observed_at"}
        assert needed <= columns, f"the table {kind.table} lacks what a wish needs"
    assert ("trashed_at" in columns) is kind.trashed, f"only what can be trashed has trashed_at: {kind.table}"


def test_each_table_with_a_wish_is_that_of_a_kind() -> None:
    wished = {
        one._meta.tablename
        for one in APP_CONFIG.table_classes
        if any(c._meta.name == "wish" for c in one._meta.columns)
    }
    assert wished - {kind.table for kind in KINDS.values()} == set(), "models/domain/kinds.py has no kind of these"


@each_kind
def test_a_setting_says_where_its_directories_are(kind: Kind) -> None:
    if kind.directory is not None:
        assert kind.directory.setting in Settings.__struct_fields__


@each_kind
def test_templates_name_it_by_its_plural(kind: Kind) -> None:
    if kind.templated:
        assert kind.plural in {field.name for field in msgspec.structs.fields(TemplateData)}
