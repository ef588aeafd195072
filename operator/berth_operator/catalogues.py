"""The catalogues that a plan draws on: GPUs, models and prices; the built-in ones, and users' documents on top."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from berth_cost.document import DocumentError, Flaw, Lines, parse_yaml_with_lines
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.model_catalogue import ModelCatalogue
from berth_cost.prices.book import PriceBook
from berth_cost.prices.rows import csv_document

Located = tuple[Mapping[str, Any], Lines]
"""A document, and the lines of its keys."""


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
        return self._with(gpus=_unlocated(gpus), models=_unlocated(models), prices=_unlocated(prices))

    def with_files(
        self, *, gpus: Iterable[Path] = (), models: Iterable[Path] = (), prices: Iterable[Path] = ()
    ) -> Self:
        """With users' files on top; flaws name the line. Raises :class:`DocumentError` and OSError."""
        return self._with(gpus=_read(gpus), models=_read(models), prices=_read(prices))

    def _with(self, **documents: Mapping[str, Located]) -> Self:
        flaws: list[Flaw] = []
        merged: dict[str, Any] = {"gpus": self.gpus, "models": self.models, "prices": self.prices}
        for field, by_file in documents.items():
            for file, (document, lines) in by_file.items():
                try:
                    # Prices know the line of their row, to say where a price came from.
                    located = (lines,) if field == "prices" else ()
                    merged[field] = merged[field].merged(document, file, *located)
                except DocumentError as error:
                    flaws.extend(lines.located(error.flaws))
        if flaws:
            raise DocumentError(flaws)
        return type(self)(**merged)


def read_document(file: Path) -> Located:
    """A document: YAML, or a table of prices where the name ends in .csv. Raises :class:`DocumentError` and OSError."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError([Flaw(str(file), "", "is not UTF-8 text")]) from error
    parse = csv_document if file.suffix.lower() == ".csv" else parse_yaml_with_lines
    return parse(text, str(file))


def _unlocated(documents: Mapping[str, Mapping[str, Any]] | None) -> Mapping[str, Located]:
    return {file: (document, Lines({})) for file, document in (documents or {}).items()}


def _read(files: Iterable[Path]) -> dict[str, Located]:
    return {str(file): read_document(file) for file in files}
