"""By which rules a run goes: what its workflow does otherwise than a worker of an earlier release did.

Temporal keeps with each workflow task which build of the worker did it, so whoever replays the task knows it. A patch
would be known by a marker and a search attribute of its own, in every run: two events for each.
"""

from temporalio import workflow
from temporalio.common import WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

RULES = 2
"""Those of this release: a change that recorded runs would not survive is one more.

2: what is a statement or two is executed where the workflow runs, so also the look whether anything is to be withdrawn;
a start makes no link; files of requests that were cut off are settled.
"""

_BUILD = "rules-"


def deployment() -> WorkerDeploymentConfig:
    """As what a worker does its tasks. Temporal gives any task to any worker all the same."""
    version = WorkerDeploymentVersion(deployment_name="notebooks-hub", build_id=f"{_BUILD}{RULES}")
    return WorkerDeploymentConfig(version=version, use_worker_versioning=False)


def rules() -> int:
    """By which rules the current task goes; 1: a worker does it, or did it, that named none."""
    version = workflow.info().get_current_deployment_version()
    build = "" if version is None else version.build_id
    return int(build.removeprefix(_BUILD)) if build.startswith(_BUILD) else 1
