"""The base of every type that crosses a boundary: frozen, strict about unknown keys, camelCase in JSON."""

import re

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

_ACRONYMS = {
    "Usd": "USD",
    "Gpus": "GPUs",
    "Gpu": "GPU",
    "Mig": "MIG",
    "Pue": "PUE",
    "Kwh": "KWh",
    "Kw": "KW",
    "Co2E": "CO2e",
}
_ACRONYM = re.compile(rf"(?<=[a-z])({'|'.join(_ACRONYMS)})(?![a-z])")


def json_name(field: str) -> str:
    """The JSON key of a field: ``usd_per_gpu_hour`` → ``usdPerGPUHour``, ``gpus_by_pool`` → ``gpusByPool``."""
    return _ACRONYM.sub(lambda found: _ACRONYMS[found[0]], to_camel(field))


class Record(BaseModel):
    """An immutable value. Numbers are SI units and bytes, money is Decimal; quantity strings live in the API only."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=json_name,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        ser_json_inf_nan="constants",
    )
