"""The GPU catalogue: what is in it, what its entries say, and what a spelling resolves to or is refused for."""

import datetime

import pytest

from berth_cost.document import DocumentError
from berth_cost.hardware.gpu_catalogue import (
    RATES,
    GPUCatalogue,
    GPUSpecification,
    ProductLabel,
    UnknownGPU,
    spelling_key,
)

GIB = 2**30
MIB = 2**20

NAMES = [
    "A10", "A100-PCIe-40GB", "A100-PCIe-80GB", "A100-SXM-40GB", "A100-SXM-80GB", "A10G", "A30", "A40", "B200-SXM",
    "B300-SXM", "GB200", "GB300", "GH200-96GB", "H100-NVL", "H100-PCIe-80GB", "H100-SXM-80GB", "H200-SXM-141GB",
    "L4", "L40", "L40S", "RTX-3090", "RTX-4090", "RTX-5090", "RTX-6000-Ada", "RTX-A6000", "RTX-PRO-6000-MaxQ",
    "RTX-PRO-6000-Server", "T4", "V100-PCIe", "V100-PCIe-32GB", "V100-SXM-16GB", "V100-SXM-32GB",
]  # fmt: skip


@pytest.fixture(scope="module")
def catalogue() -> GPUCatalogue:
    return GPUCatalogue.load_builtin()


def gpu(catalogue: GPUCatalogue, name: str) -> GPUSpecification:
    found = catalogue.get(name)
    assert isinstance(found, GPUSpecification)
    return found


def refused(answer: GPUSpecification | UnknownGPU) -> UnknownGPU:
    assert isinstance(answer, UnknownGPU)
    return answer


def resolved(answer: GPUSpecification | UnknownGPU) -> str:
    assert isinstance(answer, GPUSpecification), answer
    return answer.name


def test_it_knows_every_gpu_that_the_project_names(catalogue: GPUCatalogue) -> None:
    assert list(catalogue.names()) == sorted(NAMES)


def test_it_is_read_once_a_process(catalogue: GPUCatalogue) -> None:
    assert GPUCatalogue.load_builtin() is catalogue


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("T4", "memory_bytes", 15109 * MIB),
        ("T4", "compute_capability", (7, 5)),
        ("T4", "nvlink_bytes_per_second", 0),
        ("A100-SXM-80GB", "memory_bandwidth_bytes_per_second", 2039e9),
        ("A100-SXM-80GB", "idle_power_watts", 60),
        ("A10G", "multiprocessors", 80),
        ("L4", "power_watts", 72),
        ("L40S", "memory_bytes", 46068 * MIB),
        ("H100-SXM-80GB", "nvlink_bytes_per_second", 900e9),
        ("H100-SXM-80GB", "l2_cache_bytes", 50 * MIB),
        ("H100-NVL", "memory_bytes", 95830 * MIB),
        ("B200-SXM", "pcie_bytes_per_second", 64e9),
        ("B300-SXM", "compute_capability", (10, 3)),
        ("RTX-5090", "compute_capability", (12, 0)),
    ],
)
def test_units_are_si(catalogue: GPUCatalogue, name: str, field: str, value: object) -> None:
    assert getattr(gpu(catalogue, name), field) == value


@pytest.mark.parametrize(
    ("name", "rate", "flops_per_second"),
    [
        ("T4", "int8", 130e12),
        ("V100-SXM-16GB", "fp16", 125e12),
        ("A100-SXM-40GB", "bf16", 312e12),
        ("L4", "fp8", 242e12),
        ("H100-SXM-80GB", "fp16", 989e12),
        ("H100-NVL", "fp8", 1670.5e12),
        ("B200-SXM", "fp4", 9000e12),
        ("RTX-4090", "fp16", 165.2e12),
    ],
)
def test_peak_rates_are_dense(catalogue: GPUCatalogue, name: str, rate: str, flops_per_second: float) -> None:
    assert gpu(catalogue, name).peak_flops_per_second[rate] == flops_per_second


def test_a_rate_that_a_gpu_lacks_is_absent_and_not_zero(catalogue: GPUCatalogue) -> None:
    assert "fp8" not in gpu(catalogue, "A100-SXM-80GB").peak_flops_per_second
    assert "bf16" not in gpu(catalogue, "T4").peak_flops_per_second
    assert gpu(catalogue, "RTX-3090").idle_power_watts is None


@pytest.mark.parametrize("name", NAMES)
def test_every_gpu_says_what_a_plan_cannot_do_without(catalogue: GPUCatalogue, name: str) -> None:
    one = gpu(catalogue, name)
    assert one.memory_bytes and one.memory_bandwidth_bytes_per_second and one.compute_capability and one.power_watts
    assert one.peak_flops_per_second.keys() <= set(RATES)
    assert {"fp16"} <= one.peak_flops_per_second.keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_stated_value_has_a_source_and_a_date(catalogue: GPUCatalogue, name: str) -> None:
    one = gpu(catalogue, name)
    stated = [field for field, value in one if value is not None and field not in ("name", "recalled")]
    for field in stated:
        paths = (
            [f"{field}.{rate}" for rate in one.peak_flops_per_second] if field == "peak_flops_per_second" else [field]
        )
        for path in paths:
            origin = catalogue.provenance(name, path)
            assert origin is not None and origin.title, (name, path)
            assert datetime.date(2018, 1, 1) <= origin.date <= datetime.date(2026, 11, 21)
            assert origin.recalled == (path in one.recalled)


def test_what_is_absent_has_no_provenance(catalogue: GPUCatalogue) -> None:
    assert catalogue.provenance("T4", "peak_flops_per_second.fp8") is None
    assert catalogue.provenance("Z9", "memory_bytes") is None


def test_a_corrected_value_says_what_was_wrong(catalogue: GPUCatalogue) -> None:
    origin = catalogue.provenance("B200-SXM", "pcie_bytes_per_second")
    assert origin is not None and origin.note is not None and "both directions" in origin.note


# --- MIG ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "profiles"),
    [
        ("A30", "1g.6gb 2g.12gb 4g.24gb"),
        ("A100-SXM-40GB", "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb"),
        ("A100-PCIe-80GB", "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
        ("H100-SXM-80GB", "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
        ("H100-NVL", "1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb"),
        ("H200-SXM-141GB", "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb"),
        ("B300-SXM", "1g.34gb 1g.67gb 2g.67gb 3g.135gb 4g.135gb 7g.269gb"),
        ("RTX-PRO-6000-Server", "1g.24gb 2g.48gb 4g.96gb"),
        ("L4", ""),
        ("T4", ""),
    ],
)
def test_mig_profiles_are_those_of_the_product(catalogue: GPUCatalogue, name: str, profiles: str) -> None:
    assert [profile.name for profile in gpu(catalogue, name).mig_profiles] == profiles.split()


def test_a_profile_name_alone_does_not_say_the_slice(catalogue: GPUCatalogue) -> None:
    small = gpu(catalogue, "A100-SXM-40GB").mig_profile("1g.10gb")
    large = gpu(catalogue, "A100-SXM-80GB").mig_profile("1g.10gb")
    assert small is not None and large is not None
    assert (small.maximum_instances, small.memory_slices) == (4, 2)
    assert (large.maximum_instances, large.memory_slices) == (7, 1)


def test_a_slice_holds_what_the_driver_lists_not_what_its_name_says(catalogue: GPUCatalogue) -> None:
    profile = gpu(catalogue, "H200-SXM-141GB").mig_profile("1g.18gb")
    assert profile is not None and profile.memory_bytes == 16 * GIB
    assert gpu(catalogue, "H200-SXM-141GB").mig_profile("1g.10gb") is None


@pytest.mark.parametrize("variant", ["1g.10gb.me", "1g.10gb+me", "1g.10gb-me", "1g.10gb+gfx"])
def test_variants_with_media_engines_are_the_same_slice(catalogue: GPUCatalogue, variant: str) -> None:
    assert gpu(catalogue, "H100-SXM-80GB").mig_profile(variant) == gpu(catalogue, "H100-SXM-80GB").mig_profile(
        "1g.10gb"
    )
    assert resolved(catalogue.resolve("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me")) == "H100-SXM-80GB"
    assert gpu(catalogue, "H100-SXM-80GB").mig_profile("slice") is None


@pytest.mark.parametrize("name", NAMES)
def test_slices_never_hold_more_than_their_share(catalogue: GPUCatalogue, name: str) -> None:
    one = gpu(catalogue, name)
    assert one.memory_bytes is not None
    for profile in one.mig_profiles:
        compute, memory_gb = profile.name.removesuffix("gb").split("g.")
        assert profile.compute_slices == int(compute)
        assert profile.maximum_instances * profile.compute_slices <= profile.compute_slices_total
        assert profile.maximum_instances * profile.memory_slices <= profile.memory_slices_total
        share = one.memory_bytes * profile.memory_slices / profile.memory_slices_total
        assert 0.85 * share < profile.memory_bytes <= share
        assert profile.memory_bytes <= int(memory_gb) * GIB


# --- spellings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        # GPU feature discovery
        ("Tesla-T4", "T4"),
        ("TESLA-T4", "T4"),
        ("Tesla-V100-SXM2-16GB", "V100-SXM-16GB"),
        ("Tesla-V100-SXM2-32GB", "V100-SXM-32GB"),
        ("NVIDIA-A10", "A10"),
        ("NVIDIA-A10G", "A10G"),
        ("NVIDIA-L4", "L4"),
        ("NVIDIA-L40S", "L40S"),
        ("NVIDIA-A30", "A30"),
        ("A100-SXM4-40GB", "A100-SXM-40GB"),
        ("NVIDIA-A100-SXM4-80GB", "A100-SXM-80GB"),
        ("NVIDIA-A100-PCIE-80GB", "A100-PCIe-80GB"),
        ("NVIDIA-A100-80GB-PCIe", "A100-PCIe-80GB"),
        ("NVIDIA-H100-80GB-HBM3", "H100-SXM-80GB"),
        ("NVIDIA-H100-PCIe", "H100-PCIe-80GB"),
        ("NVIDIA-H100-NVL", "H100-NVL"),
        ("NVIDIA-H200", "H200-SXM-141GB"),
        ("NVIDIA-GH200-480GB", "GH200-96GB"),
        ("NVIDIA-B200", "B200-SXM"),
        ("NVIDIA-GB200", "GB200"),
        ("NVIDIA-B300-SXM6-AC", "B300-SXM"),
        ("NVIDIA-GB300", "GB300"),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "RTX-PRO-6000-Server"),
        ("NVIDIA-GeForce-RTX-4090", "RTX-4090"),
        # Karpenter
        ("t4", "T4"),
        ("a10g", "A10G"),
        ("l40s", "L40S"),
        ("b200", "B200-SXM"),
        ("b300", "B300-SXM"),
        ("rtx-pro-server-6000", "RTX-PRO-6000-Server"),
        # GKE
        ("nvidia-tesla-t4", "T4"),
        ("nvidia-l4", "L4"),
        ("nvidia-tesla-a100", "A100-SXM-40GB"),
        ("nvidia-a100-80gb", "A100-SXM-80GB"),
        ("nvidia-h100-80gb", "H100-SXM-80GB"),
        ("nvidia-h100-mega-80gb", "H100-SXM-80GB"),
        ("nvidia-h200-141gb", "H200-SXM-141GB"),
        ("nvidia-b200", "B200-SXM"),
        # price lists and benchmarks
        ("A100_PCIE_80GB", "A100-PCIe-80GB"),
        ("A100_SXM_40GB", "A100-SXM-40GB"),
        ("H100_SXM", "H100-SXM-80GB"),
        ("RTX_5090", "RTX-5090"),
        ("NVIDIA A100-SXM-80GB", "A100-SXM-80GB"),
        ("NVIDIA B200-SXM-180GB", "B200-SXM"),
        ("NVIDIA H100-NVL-94GB", "H100-NVL"),
        ("NVIDIA GeForce RTX 4090 (Ada Lovelace)", "RTX-4090"),
    ],
)
def test_the_spellings_of_labels_price_lists_and_benchmarks_resolve(
    catalogue: GPUCatalogue, spelling: str, name: str
) -> None:
    assert resolved(catalogue.resolve(spelling)) == name


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_to_itself(catalogue: GPUCatalogue, name: str) -> None:
    assert resolved(catalogue.resolve(name)) == name
    assert resolved(catalogue.resolve(f"NVIDIA {name}".replace("-", " ").upper())) == name


@pytest.mark.parametrize(
    ("label", "product", "mig_profile", "shared"),
    [
        ("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-40GB", None, False),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "NVIDIA-A100-SXM4-40GB", "1g.5gb", False),
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED", "NVIDIA-A100-SXM4-40GB", "1g.5gb", True),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me", "NVIDIA-H100-80GB-HBM3", "1g.10gb.me", False),
        ("Tesla-T4-SHARED", "Tesla-T4", None, True),
        (" NVIDIA-L4 ", "NVIDIA-L4", None, False),
        ("", "", None, False),
    ],
)
def test_a_product_label_comes_apart(label: str, product: str, mig_profile: str | None, shared: bool) -> None:
    assert ProductLabel.parse(label) == ProductLabel(product, mig_profile, shared)


def test_the_memory_of_a_mig_label_is_that_of_the_slice(catalogue: GPUCatalogue) -> None:
    assert resolved(catalogue.resolve("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 4864)) == "A100-SXM-40GB"
    wrong = refused(catalogue.resolve("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 40960))
    assert wrong.reason == "Contradictory"


def test_sharing_does_not_change_the_memory_of_a_label(catalogue: GPUCatalogue) -> None:
    assert resolved(catalogue.resolve("Tesla-T4-SHARED", 15360)) == "T4"


@pytest.mark.parametrize(
    ("spelling", "facts", "name"),
    [
        ("a100", {"instance_gpu": "A100-SXM-40GB"}, "A100-SXM-40GB"),
        ("A100", {"memory_mib": 81920, "form_factor": "PCIe"}, "A100-PCIe-80GB"),
        ("A100-80GB", {"form_factor": "SXM"}, "A100-SXM-80GB"),
        ("A100-SXM4", {"memory_mib": 40960}, "A100-SXM-40GB"),
        ("h100", {"memory_mib": 95830}, "H100-NVL"),
        ("H100", {"memory_mib": 81920, "form_factor": "SXM"}, "H100-SXM-80GB"),
        ("V100", {"memory_mib": 32768, "form_factor": "SXM"}, "V100-SXM-32GB"),
        ("V100-32GB", {"instance_gpu": "V100-SXM-32GB"}, "V100-SXM-32GB"),
        ("RTXPRO6000", {"instance_gpu": "RTX-PRO-6000-Server"}, "RTX-PRO-6000-Server"),
    ],
)
def test_a_second_fact_decides_between_the_gpus_of_one_spelling(
    catalogue: GPUCatalogue, spelling: str, facts: dict[str, object], name: str
) -> None:
    assert resolved(catalogue.resolve(spelling, **facts)) == name  # type: ignore[arg-type]


def test_an_ambiguous_spelling_is_refused_with_its_candidates(catalogue: GPUCatalogue) -> None:
    answer = refused(catalogue.resolve("A100"))
    assert answer.reason == "Ambiguous"
    assert answer.candidates == ("A100-SXM-40GB", "A100-PCIe-40GB", "A100-SXM-80GB", "A100-PCIe-80GB")
    still = refused(catalogue.resolve("a100", memory_mib=40960))
    assert still.reason == "Ambiguous"
    assert still.candidates == ("A100-SXM-40GB", "A100-PCIe-40GB")


def test_a_spelling_of_gke_means_one_gpu_only_as_gke_writes_it(catalogue: GPUCatalogue) -> None:
    assert resolved(catalogue.resolve("nvidia-a100-80gb")) == "A100-SXM-80GB"
    assert refused(catalogue.resolve("NVIDIA A100-80GB")).reason == "Ambiguous"


@pytest.mark.parametrize(
    ("spelling", "facts"),
    [
        ("NVIDIA-A100-SXM4-40GB", {"memory_mib": 81920}),
        ("NVIDIA-L4", {"memory_mib": 12}),
        ("NVIDIA-H100-PCIe", {"form_factor": "SXM"}),
        ("NVIDIA-L4", {"instance_gpu": "T4"}),
        ("NVIDIA-L4-MIG-1g.5gb", {}),
    ],
)
def test_labels_that_contradict_each_other_are_refused(
    catalogue: GPUCatalogue, spelling: str, facts: dict[str, object]
) -> None:
    answer = refused(catalogue.resolve(spelling, **facts))  # type: ignore[arg-type]
    assert answer.reason == "Contradictory"
    assert "check the labels" in answer.message


@pytest.mark.parametrize(("spelling", "nearest"), [("NVIDIA-L4S", "L40S"), ("H100-SXN-80GB", "H100-SXM-80GB")])
def test_an_unknown_spelling_is_refused_with_the_nearest_names(
    catalogue: GPUCatalogue, spelling: str, nearest: str
) -> None:
    answer = refused(catalogue.resolve(spelling))
    assert answer.reason == "Unknown"
    assert nearest in answer.candidates
    assert nearest in answer.message


@pytest.mark.parametrize("spelling", ["", "   ", "NVIDIA-", "£$%&", "Quantum-9000", "A100\n"])
def test_a_garbled_label_is_refused_or_recognised_but_never_raises(catalogue: GPUCatalogue, spelling: str) -> None:
    assert refused(catalogue.resolve(spelling)).reason in ("Unknown", "Ambiguous")


@pytest.mark.parametrize(
    "spelling", ["MI300X", "NVIDIA-A2", "H200_NVL", "GH200", "Tesla-V100S-PCIE-32GB", "RTX-3090Ti"]
)
def test_a_product_without_a_specification_says_so(catalogue: GPUCatalogue, spelling: str) -> None:
    assert refused(catalogue.resolve(spelling)).reason == "NotDescribed"


def test_a_name_must_be_spelled_as_the_catalogue_spells_it(catalogue: GPUCatalogue) -> None:
    answer = refused(catalogue.get("NVIDIA-H200"))
    assert answer.candidates == ("H200-SXM-141GB",)
    assert "H200-SXM-141GB" in answer.message
    assert refused(catalogue.get("H100")).reason == "Ambiguous"


def test_spellings_differ_by_more_than_case_brand_and_separators() -> None:
    assert spelling_key("NVIDIA Tesla T4") == spelling_key("t4") == "t4"
    assert spelling_key("A100_SXM 80GB") == "a100-sxm-80gb"


# --- users' documents --------------------------------------------------------------------------------------------


def own(**fields: object) -> dict[str, object]:
    return {
        "sources": {"bench": {"title": "our own measurements", "date": datetime.date(2026, 5, 1)}},
        "gpus": {"X1": {"source": "bench", "memoryBytes": 10 * GIB} | fields},
    }


def test_a_users_gpu_joins_the_built_in_ones(catalogue: GPUCatalogue) -> None:
    document = own(computeCapability=[9, 0]) | {"spellings": {"X1": ["ACME X-1"]}}
    merged = catalogue.merged(document)
    assert resolved(merged.resolve("acme x-1")) == resolved(merged.resolve("x1")) == "X1"
    assert resolved(merged.resolve("NVIDIA-L4")) == "L4"
    assert "X1" not in catalogue.names()
    origin = merged.provenance("X1", "memory_bytes")
    assert origin is not None and (origin.title, origin.date) == ("our own measurements", datetime.date(2026, 5, 1))


def test_a_users_entry_replaces_the_built_in_one(catalogue: GPUCatalogue) -> None:
    document = own()
    document["gpus"] = {"L4": {"memoryBytes": {"value": 20 * GIB, "source": "bench", "note": "seen"}}}
    l4 = gpu(catalogue.merged(document), "L4")
    assert l4.memory_bytes == 20 * GIB
    assert l4.power_watts is None


def test_a_users_spelling_settles_an_ambiguous_one(catalogue: GPUCatalogue) -> None:
    merged = catalogue.merged({"spellings": {"A100-PCIe-80GB": ["A100"]}})
    assert resolved(merged.resolve("A100")) == "A100-PCIe-80GB"


@pytest.mark.parametrize(
    ("document", "key", "says"),
    [
        (own(memoryBytes=-1), "gpus.X1.memoryBytes", "greater than or equal to 1"),
        (own(memoryBytes=0), "gpus.X1.memoryBytes", "greater than or equal to 1"),
        (own(powerWatts=float("nan")), "gpus.X1.powerWatts", "finite"),
        (own(peakFlopsPerSecond={"fp17": 1e12}), "gpus.X1.peakFlopsPerSecond", "fp17"),
        (own(peakFlopsPerSecond={"fp16": "fast"}), "gpus.X1.peakFlopsPerSecond.fp16", "valid number"),
        (own(memoryBytez=1), "gpus.X1.memoryBytez", "not a known key"),
        (own(name="Y"), "gpus.X1.name", "not stated"),
        (own(powerWatts={"value": 3, "source": "nowhere"}), "gpus.X1.powerWatts", "'nowhere' is not under `sources`"),
        (own(powerWatts={"value": 3, "unit": "W"}), "gpus.X1.powerWatts", "not unit"),
        (own(powerWatts={"value": 3, "date": "May"}), "gpus.X1.powerWatts", "day such as"),
        ({"gpus": {"X1": {"memoryBytes": 1}}}, "gpus.X1.memoryBytes", "states no source"),
        ({"gpus": {"X1": 5}}, "gpus.X1", "mapping"),
        ({"gpus": []}, "gpus", "mapping"),
        ({"gpu": {}}, "gpu", "not a known key"),
        ({"sources": {"s": {"title": "t"}}}, "sources.s.date", "field required"),
        ({"spellings": {"Z9": ["z"]}}, "spellings.z", "Z9 is not a GPU"),
        ({"spellings": {"L4": "l"}}, "spellings.L4", "list of texts"),
        ({"spellings": {"L4": ["same"], "T4": ["same"]}}, "spellings.T4", "ambiguousSpellings"),
        ({"exactSpellings": {"z": "Z9"}}, "exactSpellings.z", "Z9 is not a GPU"),
    ],
)
def test_a_wrong_document_is_refused_by_file_key_and_field(
    catalogue: GPUCatalogue, document: dict[str, object], key: str, says: str
) -> None:
    with pytest.raises(DocumentError) as error:
        catalogue.merged(document, "mine.yaml")
    flaw = error.value.flaws[0]
    assert (flaw.file, flaw.key) == ("mine.yaml", key)
    assert says in flaw.message
    assert str(flaw).startswith(f"mine.yaml: {key}: ")


def test_every_flaw_of_a_document_is_reported_at_once(catalogue: GPUCatalogue) -> None:
    document = {"gpus": {"X1": {"memoryBytes": 1, "powerWatts": 2}, "X2": 3}}
    with pytest.raises(DocumentError) as error:
        catalogue.merged(document)
    assert [flaw.key for flaw in error.value.flaws] == ["gpus.X1.memoryBytes", "gpus.X1.powerWatts", "gpus.X2"]


def test_days_may_be_texts_as_json_has_them(catalogue: GPUCatalogue) -> None:
    document = own(powerWatts={"value": 3, "date": "2026-02-03"})
    document["sources"] = {"bench": {"title": "our own measurements", "date": "2026-05-01"}}
    merged = catalogue.merged(document)
    power, memory = merged.provenance("X1", "power_watts"), merged.provenance("X1", "memory_bytes")
    assert power is not None and power.date == datetime.date(2026, 2, 3)
    assert memory is not None and memory.date == datetime.date(2026, 5, 1)
