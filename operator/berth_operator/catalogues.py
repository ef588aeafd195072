"""The catalogues that a plan draws on: GPUs, models and prices; the built-in ones, and users' documents on top."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from berth_cost.document import DocumentError, Flaw, parse_yaml
from berth_cost.gpu_catalogue import GPUCatalogue
from berth_cost.model_catalogue import ModelCatalogue
from berth_cost.price_book import PriceBook


@dataclass(frozen=True, slots=True)
class Catalogues:
    """What GPUs are and are called, what models are made of, what nodes cost."""

    gpus: GPUCatalogue
    models: ModelCatalogue
    prices: PriceBook

    @classmethod
    def built_in(cls) -> Self:
        """The catalogues of the package."""
        return cls(GPUCatalogue.load_builtin(), ModelCatalogue.load_builtin(), PriceBook.load_builtin())

    def merged(
        self,
        *,
        gpus: Mapping[str, Mapping[str, Any]] | None = None,
        models: Mapping[str, Mapping[str, Any]] | None = None,
        prices: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Self:
        """With users' documents, by file name, on top: a later entry of the same name wins.

        Raises :class:`DocumentError` with every flaw of every document.
        """
        flaws: list[Flaw] = []
        merged: dict[str, Any] = {"gpus": self.gpus, "models": self.models, "prices": self.prices}
        for field, documents in (("gpus", gpus), ("models", models), ("prices", prices)):
            for file, document in (documents or {}).items():
                try:
                    merged[field] = merged[field].merged(document, file)
                except DocumentError as error:
                    flaws.extend(error.flaws)
        if flaws:
            raise DocumentError(flaws)
        return type(self)(**merged)

    def with_files(
        self, *, gpus: Iterable[Path] = (), models: Iterable[Path] = (), prices: Iterable[Path] = ()
    ) -> Self:
        """With users' files on top. Raises :class:`DocumentError` and OSError."""
        return self.merged(gpus=_read(gpus), models=_read(models), prices=_read(prices))


def _read(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    return {str(file): parse_yaml(file.read_text(encoding="utf-8"), str(file)) for file in files}
