"""Right-sizing in the API: what a user allows, what is recommended, and how far a move has come."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from berth_operator.api.field import DecimalString, NotNegativeDecimal, Part, PositiveDecimal, Sentence, Tally, Word
from berth_operator.api.rule import Rule
from berth_scheduler.right_sizing.course import Phase
from berth_scheduler.snapshot import CapacityType, Sharing

SavingPercent = Annotated[
    NotNegativeDecimal,
    Rule(
        cel="type(self) == int ? self <= 100 : !self.matches('^[0-9]+([.][0-9]+)?$') || double(self) <= 100.0",
        message="must not be above 100",
        holds=lambda percent: percent <= 100,
    ),
]


class RightSizing(Part):
    """What happens when another berth (GPU, slice, precision, batching, capacity type) would hold the objectives for
    less than what runs."""

    mode: Literal["Disabled", "Recommend", "Auto"] = "Recommend"
    """Recommend: status and an Event say what it would save. Auto: the workload is moved there, one of the fleet at a
    time, and back where an objective breaks soon after. Disabled: nothing is said."""
    minimum_saving_percent: SavingPercent = Field(default="10", validate_default=True)
    """Of what the present berths cost under the same traffic; a smaller saving is not worth a word."""
    maximum_payback_hours: PositiveDecimal = Field(default="24", validate_default=True)
    """Within this time the saving must have paid for the change: both revisions run for a while, and some changes are
    taken back."""


class ConfigurationStatus(Part):
    """What all replicas of one revision share, and how they may be bought."""

    gpu: Word
    """Name in the GPU catalogue."""
    sharing: Sharing
    """Exclusive: whole GPUs. MIG: slices."""
    mig_profile: Word | None = None
    """The slice, such as "1g.10gb"; absent: whole GPUs."""
    precision: Word
    """Which of spec.model.variants."""
    tensor_parallel: Tally
    """GPUs that one replica spans."""
    instances_per_gpu: Tally
    """Copies of the model that Triton runs in one replica."""
    maximum_batch_size: Tally
    """Most items in one batch; of a language model most sequences at once."""
    maximum_queue_delay_microseconds: Tally
    """How long Triton holds a request back to fill its batch."""
    capacity_types: Annotated[tuple[CapacityType, ...], Field(max_length=4)] = ()
    """How its nodes are bought."""


class RefusedConfiguration(Part):
    """Where right-sizing does not move the workload for a while."""

    configuration: ConfigurationStatus
    until: datetime
    """It may be proposed again after this."""


class RecommendationStatus(Part):
    """What would hold the objectives for less. Money is of all replicas, with what interruptions waste."""

    placement: Word
    """Such as "2 × L4 OnDemand fp16"."""
    usd_per_hour: DecimalString
    """USD an hour there."""
    instead_of_usd_per_hour: DecimalString
    """USD an hour of what runs, under the same traffic."""
    saving_usd_per_month: DecimalString
    """USD a month."""
    saving_percent: DecimalString
    """Of what runs, under the same traffic."""
    change_over_usd: DecimalString
    """USD that the change costs once."""
    payback_hours: DecimalString
    """After which the saving has paid for the change."""
    traffic: Literal["Observed", "Stated"]
    """Whether it is about the traffic that was observed or spec.traffic."""
    requests_per_second: DecimalString
    """Of that traffic."""
    since: datetime
    """It has been said since then."""
    message: Sentence
    """All of it in a sentence."""


class RightSizingStatus(Part):
    """How far a move of right-sizing has come, and what it must remember; absent where there is nothing."""

    phase: Phase
    """Moving: the new revision starts, or waits for room. Probation: it serves, and is watched. Reverting: an objective
    broke, and the workload goes back. Idle: none of it."""
    since: datetime | None = None
    """Of the phase."""
    origin: ConfigurationStatus | None = None
    """Where a move began."""
    target: ConfigurationStatus | None = None
    """Where it goes."""
    candidate: ConfigurationStatus | None = None
    """What is recommended."""
    candidate_since: datetime | None = None
    """It has been the best without a break since then."""
    observed_requests_per_second: DecimalString | None = None
    """The rate that is held in mind: the 95th percentile of the last day, by means of five minutes."""
    disagreement: Sentence | None = None
    """Present while what a replica is seen to carry lies outside the band of what is predicted."""
    moved_at: Annotated[tuple[datetime, ...], Field(max_length=8)] = ()
    """Moves within a week: the more, the longer until the next."""
    refused: Annotated[tuple[RefusedConfiguration, ...], Field(max_length=4)] = ()
    """Where it did not arrive, or did not hold its objectives."""
    planning_hash: Word
    """Of the spec that all of this is about."""
