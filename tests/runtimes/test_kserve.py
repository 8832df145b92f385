"""A model behind a server as a session: what it answers, and everything that can go wrong on the way, as an error of ours."""

import socket
from pathlib import Path

import numpy as np
import pytest
from kserve import Behaviour, Every, serving

from edgecomp.errors import DeviceError, InferenceError, ModelFileError, UsageError
from edgecomp.runtimes import adapter, endpoints

pytest.importorskip("tritonclient.http", reason="pip install 'edgecomp[serving]'")
X = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}


def load(url: str, folder: Path):  # type: ignore[no-untyped-def]
    return adapter("kserve").load(endpoints.written(url, folder), threads=1, options={})


def test_it_answers_as_the_server_does(tmp_path: Path) -> None:
    with serving() as (url, _):
        session = load(url, tmp_path)
        inputs, outputs = session.signature()
        assert (inputs[0].name, inputs[0].shape, inputs[0].dtype) == ("x", (None, 4), "float32")
        assert [port.name for port in outputs] == ["y"]
        np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])
        assert adapter("kserve").versions()["fake"] == "1"
        session.close()


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        ({"busy": Every()}, DeviceError, "503"),
        ({"cut": Every()}, DeviceError, "no answer"),
        ({"nonsense": Every()}, (DeviceError, InferenceError), "double"),
        ({"shape": Every()}, InferenceError, "answered what is no answer"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_answer_is_right(
    behaviour: dict, error: type, words: str, tmp_path: Path
) -> None:  # type: ignore[type-arg]
    with serving(Behaviour(**behaviour)) as (url, told):
        session = load(url, tmp_path)
        with pytest.raises(error, match=words):
            session.run(X)
        for name in behaviour:
            setattr(told, name, ())
        np.testing.assert_array_equal(session.run(X)["y"], 2 * X["x"])
        session.close()


def test_other_inputs_are_the_requests_fault(tmp_path: Path) -> None:
    with serving() as (url, told):
        session = load(url, tmp_path)
        told.takes = "another"
        with pytest.raises(InferenceError, match="unexpected inference input 'x'"):
            session.run(X)
        session.close()


def test_an_unknown_model_is_told_with_what_there_is(tmp_path: Path) -> None:
    with (
        serving() as (url, _),
        pytest.raises(ModelFileError, match=r"no such model.*did you mean 'double'\?; it has double"),
    ):
        load(url.replace("double", "doubel"), tmp_path)


def test_no_server_is_told(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeviceError, match=r"no answer .*refused"):
        load(f"http://127.0.0.1:{port}/v2/models/double", tmp_path)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://a:1/v2/models/m", ("http", "a:1", "m", "")),
        ("grpc://a:1/v2/models/m/versions/3", ("grpc", "a:1", "m", "3")),
        ("https://a/v2/models/m/", ("https", "a", "m", "")),
    ],
)
def test_addresses(url: str, found: tuple[str, ...], tmp_path: Path) -> None:
    assert endpoints.parsed(url) == found
    assert endpoints.is_url(url)
    assert endpoints.read(endpoints.written(url, tmp_path)) == found
    assert endpoints.shown(tmp_path / "m.kserve") == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://a/models/m", "ftp://a/v2/models/m", "http://a/v2/models/", "http://a/v2/models/m/x"]
)
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="write http://HOST"):
        endpoints.parsed(url)


def test_a_secret_in_an_address_is_refused() -> None:
    with pytest.raises(UsageError, match="would stand in every result") as error:
        endpoints.parsed("http://me:secret@a/v2/models/m")
    assert "secret@" not in str(error.value)
    assert not endpoints.is_url("model.onnx")
