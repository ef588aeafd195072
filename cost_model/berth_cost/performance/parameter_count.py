"""How many parameters a decoder's dimensions imply, and whether that agrees with how many it is said to have.

Time and memory follow from ``parameters``, and from the dimensions where they say more. Numbers that contradict each
other are not averaged: one of them is a slip, and nobody but the user knows which.
"""

from berth_cost.cases.case import Transformer

TOLERANCE = 1.5
"""Factor by which parameters may lie outside of what the dimensions imply, with two matrices an MLP (GPT-J, Falcon) to
three: room for vision towers, heads for drafts, pruned layers. Of 101 published models none is off by 3 %."""
FEWEST_MATRICES, MOST_MATRICES = 2, 3


def counted_parameters(transformer: Transformer, mlp_matrices: int = MOST_MATRICES) -> float:
    """The parameters that a decoder's dimensions imply, without biases; ``mlp_matrices`` is 2 for GPT-J and Falcon.

    Per layer: projections of queries, keys, values and output (of latent attention: DeepSeek-V2, arXiv:2405.04434,
    section 2.1), the MLP or the router and its experts, two norms; then embedding, head and the last norm.
    """
    hidden, layers, experts = transformer.hidden_size, transformer.layers, transformer.experts
    expert_layers = max(layers - experts.first_dense_layers, 0) if experts is not None else 0
    mlp = mlp_matrices * hidden * transformer.intermediate_size * (layers - expert_layers)
    if experts is not None:
        one = mlp_matrices * hidden * experts.intermediate_size
        mlp += expert_layers * (one * (experts.count + experts.shared) + hidden * experts.count)
    embeddings = transformer.vocabulary_size * hidden * (1 if transformer.tied_embeddings else 2)
    return float(layers * (_attention_parameters(transformer) + 2 * hidden) + mlp + embeddings + hidden)


def counted_active_parameters(transformer: Transformer, mlp_matrices: int = MOST_MATRICES) -> float:
    """Those that one token passes through: of the routed experts only as many as a token uses."""
    experts = transformer.experts
    if experts is None:
        return counted_parameters(transformer, mlp_matrices)
    drawn = experts.model_copy(update={"count": experts.per_token})
    return counted_parameters(transformer.model_copy(update={"experts": drawn}), mlp_matrices)


def contradiction(transformer: Transformer) -> str | None:
    """Which of ``parameters`` and ``activeParameters`` the dimensions contradict, and what to do; None: neither."""
    least, most = (counted_parameters(transformer, matrices) for matrices in (FEWEST_MATRICES, MOST_MATRICES))
    words = _outside("parameters", transformer.parameters, least, most)
    if words is None and transformer.active_parameters is not None:
        least, most = (counted_active_parameters(transformer, count) for count in (FEWEST_MATRICES, MOST_MATRICES))
        words = _outside("activeParameters", transformer.active_parameters, least, most)
    return words


def _outside(field: str, stated: float, least: float, most: float) -> str | None:
    if least / TOLERANCE <= stated <= most * TOLERANCE:
        return None
    counted = f"{most:.3g}" if stated > most else f"{least:.3g}"
    return (
        f"the model's {field} is {stated:.3g}, and its dimensions make {counted}, more than a factor of {TOLERANCE} "
        "apart: check it, layers, hiddenSize, intermediateSize, heads, vocabularySize, experts and latentAttention"
    )


def _attention_parameters(transformer: Transformer) -> int:
    hidden, heads, latent = transformer.hidden_size, transformer.attention_heads, transformer.latent_attention
    if latent is None:
        return 2 * hidden * transformer.head_size * (heads + transformer.key_value_heads)
    query_size = heads * (latent.nope_head_size + latent.rope_head_size)
    queries = hidden * query_size if latent.query_rank is None else latent.query_rank * (hidden + query_size)
    down = hidden * (latent.key_value_rank + latent.rope_head_size)
    up = latent.key_value_rank * heads * (latent.nope_head_size + latent.value_head_size)
    return queries + down + up + heads * latent.value_head_size * hidden
