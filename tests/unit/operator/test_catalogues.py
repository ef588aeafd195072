"""Users' documents on top of the built-in catalogues."""

from pathlib import Path

import pytest

from berth_cost.document import DocumentError
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.book import Price
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


def test_a_flaw_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES.replace('"0.5"', '"1,204.50"'), encoding="utf-8")
    with pytest.raises(DocumentError, match=r"prices\.yaml:3: prices\[0\]\.usd_per_hour: .* thousands separator"):
        Catalogues.built_in().with_files(prices=[file])


def test_prices_may_stand_in_a_table(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(
        "cloud,region,instance_type,usd_per_hour,source,date\naws,us-east-1,g6.xlarge,0.5,Our contract,2026-10-01\n",
        encoding="utf-8",
    )
    own = Catalogues.built_in().with_files(prices=[file])
    assert str(price(own).usd_per_node_hour) == "0.5" and price(own).source == "Our contract"


def test_what_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DocumentError, match=r"prices\.yaml: is not UTF-8 text"):
        Catalogues.built_in().with_files(prices=[file])
