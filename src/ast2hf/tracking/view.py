"""How the list of runs opens where its address asks for it: the columns by which conversions are compared.

MLflow's list shows no metric until somebody chooses columns. What a person chose and shared it keeps in a tag of the
experiment, and an address names the tag; here the choice is ours. Sorted by a metric, the list shows the jobs of a
sweep one below the other; by time they would be folded into it.
"""

from __future__ import annotations

import json
from typing import Any

_KEY = "ast2hf"

_SORTED_BY = "metrics.`tolerance_used`"
"""The conversions that came nearest to a tolerance first."""

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
"""Columns by MLflow's names for them, in their order, and how many pixels wide they are."""

QUERY = f"viewStateShareKey={_KEY}&workflowType=machine_learning"
"""What an address of the list ends with; the second part asks for the pages of models, not those of prompts."""

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
"""Of the experiment: the view, and that it is about models."""


def install(client: Any, experiment: Any) -> None:
    """Give ``experiment`` the tags that it lacks."""
    for name, value in TAGS.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)
