"""Users' documents on top of the built-in catalogues."""

from pathlib import Path

import pytest

from berth_cost.document import DocumentError
from berth_cost.gpu_catalogue import GPUSpecification
from berth_cost.price_book import Price
from berth_operator.catalogues import Catalogues

PRICES = """\
sources: {contract: {title: Our contract, date: 2026-10-01}}
prices:
  - {cloud: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: "0.5"}
"""


def price(catalogues: Catalogues) -> Price:
    found = catalogues.prices.lookup(cloud="aws", region="us-east-1", instance_type="g6.xlarge")
    assert isinstance(found, Price)
    return found


def test_a_users_price_wins_over_the_built_in_one_and_the_built_in_book_stays(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES, encoding="utf-8")
    own = Catalogues.built_in().with_files(prices=[file])
    assert str(price(own).usd_per_node_hour) == "0.5" and price(own).source == "Our contract"
    assert str(price(Catalogues.built_in()).usd_per_node_hour) != "0.5"
    assert isinstance(own.gpus.get("L4"), GPUSpecification)


def test_every_flaw_of_every_file_is_told(tmp_path: Path) -> None:
    prices, gpus = tmp_path / "prices.yaml", tmp_path / "gpus.yaml"
    prices.write_text(PRICES.replace('"0.5"', '"-1"'), encoding="utf-8")
    gpus.write_text("cards: {}\n", encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        Catalogues.built_in().with_files(gpus=[gpus], prices=[prices])
    assert {Path(flaw.file).name for flaw in caught.value.flaws} == {"prices.yaml", "gpus.yaml"}
