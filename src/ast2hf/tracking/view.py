"""The view in which the list of runs opens from our links: the columns by which conversions are compared.

MLflow's list shows no metric until columns are chosen. A shared choice is kept in a tag of the experiment, and a URL
names the tag; we write that tag ourselves. Sorted by a metric, the list shows the jobs of a sweep one below the other;
sorted by time it would fold them into the sweep.
"""

from __future__ import annotations

import json
from typing import Any

_KEY = "ast2hf"

_SORTED_BY = "metrics.`tolerance_used`"
"""Conversions closest to a tolerance come first."""

_ALWAYS = {"attributes.`Run Name`": 210, "runDateAndNestInfo": 130, "duration": 80}
_CHOSEN = {
    "metrics.`failed`": 70,
    _SORTED_BY: 140,
    "metrics.`logits.diff`": 140,
    "metrics.`end_to_end.diff`": 140,
    "metrics.`mAP.difference`": 130,
    "tags.`status`": 80,
    "tags.`device`": 80,
}
"""Columns by their MLflow names, in order, and their widths in pixels."""

PAGES = "workflowType=machine_learning"
"""The part of a URL that selects MLflow's pages for models; without it the pages for prompts open."""

QUERY = f"viewStateShareKey={_KEY}&{PAGES}"
"""The end of the list's URL."""

TAGS = {
    f"mlflow.sharedViewState.{_KEY}": json.dumps(
        {
            "orderByKey": _SORTED_BY,
            "orderByAsc": False,
            "selectedColumns": list(_CHOSEN),
            "columnOrder": [*_ALWAYS, *_CHOSEN],
            "columnWidths": _ALWAYS | _CHOSEN,
        }
    ),
    "mlflow.experimentKind": "custom_model_development",
}
"""Tags of the experiment: the view, and that it is about models."""


def install(client: Any, experiment: Any) -> None:
    """Set the tags that ``experiment`` lacks."""
    for name, value in TAGS.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)
