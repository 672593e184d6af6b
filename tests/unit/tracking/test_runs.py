"""Sending a record, where several processes do it at once."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR

from ast2hf.tracking import runs


class Store:
    """Refuses the first calls with ``errors``."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.logged = []

    def log_inputs(self, run_id, inputs):
        if self.errors:
            raise self.errors.pop(0)
        self.logged.append((run_id, inputs))


def refusal(code=BAD_REQUEST):
    return MlflowException("duplicate key value violates unique constraint", code)


def test_a_data_set_that_another_process_created_meanwhile_is_found():
    store = Store(refusal(), refusal())
    runs._log_inputs(store, "run", ["clip"])
    assert store.logged == [("run", ["clip"])]


@pytest.mark.parametrize("errors", [[refusal(INTERNAL_ERROR)], [refusal() for _ in range(5)]], ids=["other", "always"])
def test_other_errors_and_lasting_ones_are_raised(errors):
    store = Store(*errors)
    with pytest.raises(MlflowException):
        runs._log_inputs(store, "run", ["clip"])
    assert not store.logged
    assert not store.errors
