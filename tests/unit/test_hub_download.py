import os
import subprocess
import sys

import pytest
from servers import Hub, Reply

FETCH = """
import time
waits = []
time.sleep = waits.append
from ast2hf import hub_download
from ast2hf.config import HubFile
from ast2hf.errors import DownloadError
try:
    print(hub_download.fetch(HubFile("owner/labels", "a/labels.json"), "label file", "labels=PATH").read_text())
except DownloadError as error:
    print(f"DownloadError: {error}")
assert sum(waits) < 5, waits  # huggingface_hub by itself waits for 23 s
"""


@pytest.fixture
def fetch(tmp_path):
    """What fetching the file prints, in a process of its own: huggingface_hub reads its address at import."""

    def fetch(endpoint: str) -> str:
        settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        command = [sys.executable, "-c", FETCH]
        return subprocess.run(
            command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()

    return fetch


def test_a_file_is_fetched_and_then_served_from_the_cache_offline(fetch):
    with Hub() as hub:
        hub.add("owner/labels", "a/labels.json", b'["Speech"]')
        assert fetch(hub.url) == '["Speech"]'
        assert ("GET", "/datasets/owner/labels/resolve/main/a/labels.json") in hub.requests
        endpoint = hub.url
    assert fetch(endpoint) == '["Speech"]'


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_refusal_is_a_download_error_with_a_remedy(fetch, status):
    with Hub() as hub:
        hub.replies["/datasets/owner/labels/resolve/main/a/labels.json"] = [Reply(status)]
        printed = fetch(hub.url)
    assert printed.startswith("DownloadError: label file a/labels.json of owner/labels cannot be fetched")
    assert printed.endswith("check the network, or set labels=PATH")


def test_an_unreachable_hub_is_a_download_error(fetch):
    with Hub() as hub:
        endpoint = hub.url
    assert fetch(endpoint).startswith("DownloadError: label file a/labels.json of owner/labels cannot be fetched")
