"""Requests that never stop: several clients, each with a connection of its own that it keeps, as real ones do."""

import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import tritonclient.grpc as triton

import artefacts

GRPC_PORT = 8001
TIMEOUT_SECONDS = 5.0


def classified(address: str, model: str, files: Iterable[Path]) -> dict[Path, tuple[str, float]]:
    """What the served network takes each file for, and how sure it is."""
    kinds = artefacts.file_types()
    with triton.InferenceServerClient(f"{address}:{GRPC_PORT}") as client:
        return {
            path: kinds.best(ask(client, model, artefacts.tokens(path.read_bytes())))[0]
            for path in files
            if path.is_file() and path.stat().st_size
        }


def ask(client, model, tokens):
    """One inference: tokens [1, 2048] → probabilities [1, classes]."""
    question = triton.InferInput(artefacts.INPUT, tokens.shape, "INT32")
    question.set_data_from_numpy(tokens)
    return client.infer(model, [question], client_timeout=TIMEOUT_SECONDS).as_numpy(artefacts.OUTPUT)


class SteadyLoad:
    """Context manager: ``clients`` threads ask ``model`` one request after the other until the exit."""

    def __init__(self, address: str, model: str, *, clients: int = 3, pause_seconds: float = 0.1) -> None:
        self.failures: list[str] = []
        self._target, self._model = f"{address}:{GRPC_PORT}", model
        self._pause_seconds = pause_seconds
        self._counts = [0] * clients
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[index], daemon=True) for index in range(clients)]

    @property
    def answered(self) -> int:
        return sum(self._counts)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, index: int) -> None:
        tokens = artefacts.tokens(Path(__file__).read_bytes())
        with triton.InferenceServerClient(self._target) as client:
            while not self._stopped.wait(self._pause_seconds):
                try:
                    ask(client, self._model, tokens)
                    self._counts[index] += 1
                except triton.InferenceServerException as error:
                    self.failures.append(str(error))
