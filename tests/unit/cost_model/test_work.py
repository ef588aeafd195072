"""Work is counted from the architecture; every number here can be redone on paper."""

import numpy as np
import pytest

from berth_cost.cases.case import Dense, Model
from berth_cost.performance.work import dense_work, transformer_work
from cost_cases import LATENT, LLAMA_8B, MIXTURE, RESNET50, case, table


def test_a_token_costs_two_flops_per_weight_that_it_meets():
    work = transformer_work(table([case(LLAMA_8B)]))
    embedding = 128256 * 4096
    assert work.head_flops[0] == 2 * embedding
    # The input embedding is looked up, not multiplied.
    assert work.token_flops[0] == pytest.approx(2 * (8.03e9 - embedding))


def test_the_cache_holds_a_key_and_a_value_per_layer_and_key_value_head():
    work = transformer_work(table([case(LLAMA_8B)]))
    assert work.cache_bytes[0] == 2 * 32 * 8 * 128 * 2


def test_latent_attention_caches_one_compressed_vector_per_layer():
    work = transformer_work(table([case(LATENT, precision="bf16")]))
    assert work.cache_bytes[0] == 61 * (512 + 64) * 2


def test_a_token_runs_only_its_own_experts():
    work = transformer_work(table([case(MIXTURE)]))
    routed = 3 * 4096 * 14336 * 8 * 32
    embedding = 32000 * 4096
    rest = 46.7e9 - 2 * embedding - routed
    assert work.token_flops[0] == pytest.approx(2 * (rest + routed / 4) + 2 * embedding)
    assert work.expert_weight_bytes[0] == pytest.approx(routed * 2)
    assert work.expert_draw[0] == 0.25


def test_quantisation_leaves_embedding_and_output_head_in_sixteen_bits():
    work = transformer_work(table([case(LLAMA_8B, precision="int8")]))
    embedding = 128256 * 4096
    assert work.stored_weight_bytes[0] == pytest.approx((8.03e9 - 2 * embedding) * 1 + 2 * embedding * 2)


def test_tied_embeddings_are_stored_once_and_still_read_as_the_output_head():
    shape = LLAMA_8B.transformer.model_copy(update={"tied_embeddings": True})
    work = transformer_work(table([case(Model(name="tied", transformer=shape))]))
    assert work.stored_weight_bytes[0] == pytest.approx(8.03e9 * 2)
    assert work.token_flops[0] == pytest.approx(2 * 8.03e9)


def test_a_classic_network_is_what_its_entry_says():
    work = dense_work(table([case(RESNET50)]))
    assert work.flops[0] == 8.2e9
    assert work.weight_bytes[0] == 25.6e6 * 2
    assert work.activation_bytes[0] == 22e6
    assert work.estimated[0] == 0


def test_activations_that_nobody_states_are_estimated_and_marked():
    bare = Model(name="bare", dense=Dense(parameters=25.6e6, flops_per_inference=8.2e9))
    work = dense_work(table([case(bare)]))
    assert work.estimated[0] == 1
    # ResNet-50 has 11.1 million activations; the estimate's residual deviation is a factor of 1.7.
    assert 11.1e6 / 2 < work.activation_bytes[0] / 2 < 11.1e6 * 2


def test_flops_that_nobody_states_stay_unknown():
    work = dense_work(table([case(Model(name="nothing", dense=Dense(parameters=1e6)))]))
    assert np.isnan(work.flops[0])
