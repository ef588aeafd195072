"""Live public sources of prices, behind one interface. Nothing here runs in the operator: ``berth prices refresh``
writes a price document, a person looks at what changed, and the document is deployed like any other."""

from collections.abc import Mapping

from berth_operator.price_sources.aws_spot_advisor import AWSSpotAdvisor
from berth_operator.price_sources.azure_retail import AzureRetail
from berth_operator.price_sources.gpuhunt_catalogue import GPUHuntCatalogue
from berth_operator.price_sources.source import Fetch, Fetched, PriceSource, SourceUnavailable

__all__ = ["SOURCES", "Fetch", "Fetched", "PriceSource", "SourceUnavailable"]

_ALL: tuple[PriceSource, ...] = (AWSSpotAdvisor(), AzureRetail(), GPUHuntCatalogue())
SOURCES: Mapping[str, PriceSource] = {source.name: source for source in _ALL}
