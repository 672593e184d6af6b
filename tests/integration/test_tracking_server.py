"""A server that is not there, or not well: the conversion is published all the same, and its record is sent later."""

from __future__ import annotations

import mlflow
import pytest
from servers import Reply, Server


@pytest.mark.parametrize("body", ["refused", "500"])
def test_without_a_server_the_model_is_published_and_the_record_sent_later_once(cli, mlflow_server, free_port, body):
    url = f"http://127.0.0.1:{free_port}"
    with Server() as broken:
        broken.replies["/health"] = [Reply(500)]
        uri = url if body == "refused" else broken.url
        result = cli.tiny("tracking=mlflow", f"tracking.uri='{uri}'")
    assert result.code == 0, result.err
    assert (cli.model_folder() / "model.safetensors").exists()
    assert "not recorded" in result.out
    assert "tracking=replay" in result.out
    assert len(list(cli.outputs.glob("runs/*/unsent_record.json"))) == 1

    start = mlflow_server()
    for expected in ("1 records sent", "0 records sent"):
        result = cli("tracking=replay", f"tracking.uri='{start}'")
        assert result.code == 0, result.err
        assert expected in result.out
    client = mlflow.MlflowClient(tracking_uri=start)
    (run,) = client.search_runs([client.get_experiment_by_name("ast2hf").experiment_id])
    assert run.info.status == "FINISHED"
    assert sorted(a.path for a in client.list_artifacts(run.info.run_id)) == [
        "README.md", "conversion_report.json", "differences.png", "report.html",
    ]  # fmt: skip


def test_a_required_record_that_cannot_be_made_is_an_error(cli, free_port):
    uri = f"tracking.uri='http://127.0.0.1:{free_port}'"
    result = cli.tiny("tracking=mlflow", "tracking.required=true", uri)
    assert result.code == 7
    assert "could not be recorded in MLflow" in result.error_line
    assert (cli.model_folder() / "model.safetensors").exists()
