"""Small recordings written to disk, and the recorded runs beside the repository."""

from __future__ import annotations

import gzip
import json

import pytest

from service.recordings.read import read

HEADER = "seed,index,send_ts,ttft_s,e2e_s,prompt_tokens,completion_tokens,status,error,itls_ms"
ROWS = (
    "1,0,1786146446.1410332,0.1035,1.516171,1578,64,ok,,19.70;21.78;117.94;0.02",
    "1,1,1786146447.5,,0.0406,,,error,RuntimeError: HTTP 500: Internal Server Error,",
)


@pytest.fixture
def write(tmp_path):
    """Return a writer of a file in a fresh folder; a name that ends in .gz is packed."""

    def put(name, text):
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return put


@pytest.fixture
def requests_csv():
    """Return a request file of one success and one failure, with further rows when given."""

    def text(*rows, header=HEADER):
        return "\n".join((header, *(rows or ROWS))) + "\n"

    return text


@pytest.fixture
def answer():
    """Return the text of a query_range answer."""

    def make(*series, kind="matrix"):
        result = [{"metric": metric, "values": values} for metric, values in series]
        return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})

    return make


@pytest.fixture(scope="session")
def runs(shared):
    """Return the three recorded real runs, read once, by short name."""
    folder = shared / "traces/nolicence"
    return {path.name.split("-", 4)[-1]: read(path) for path in sorted(folder.glob("vllm-2xA10-*"))}
