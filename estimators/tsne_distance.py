"""Distance of source and target features in a joint t-SNE embedding.

The baseline of Chen et al., 2023, arXiv:2306.01015; t-SNE: van der Maaten and Hinton, 2008.
Score: the negated distance.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from .inputs import Inputs, given
from .registry import Estimator
from .samples import Samples
from .tsne import embed


def tsne_distance(source: Samples, target: Samples, *, limit: int = 200, seed: int = 0) -> float:
    """Return minus the distance between the medians of source and target in two dimensions.

    Source and target are embedded together; the paper's released code embeds each alone, and places
    in two different embeddings have no distance. The embedding is divided by its root mean square
    radius, since its scale grows with the number of samples.

    Args:
        source: features of the pre-training data, (M, D).
        target: features of the task, (N, D).
        limit: samples of each to embed, drawn evenly from their groups; time grows with its square.
        seed: of the draw, and of the embedding of a single feature.

    Returns:
        At most 0, at least about -2.

    Raises:
        ValueError: the dimensions differ, or there are fewer than 4 samples of both together.
    """
    if source.dimension != target.dimension:
        raise ValueError(
            f"source has dimension {source.dimension}, features {target.dimension}; take one layer"
        )
    x, y = source.subsample(limit, seed).features, target.subsample(limit, seed).features
    joint = np.concatenate([x, y]).astype(np.float64)
    if len(joint) < 4:
        raise ValueError(f"t-SNE needs at least 4 samples, source and target together have {len(joint)}")
    joint -= joint.mean(axis=0)
    spread = np.sqrt(np.mean(joint**2))
    if spread == 0:
        return 0.0
    with threadpool_limits(1):  # for so few points, threads wait for each other longer than they compute
        embedding = embed(joint / spread, perplexity=min(30.0, (len(joint) - 1) / 3), seed=seed)
    embedding -= embedding.mean(axis=0)
    embedding /= np.sqrt(np.mean(np.sum(embedding**2, axis=1)))
    medians = np.median(embedding[: len(x)], axis=0) - np.median(embedding[len(x) :], axis=0)
    return -float(np.linalg.norm(medians))


def _compute(inputs: Inputs) -> float:
    return tsne_distance(given(inputs.source), given(inputs.samples), seed=inputs.seed)


TSNE_DISTANCE = Estimator(
    name="tsne_distance",
    title="distance of medians in a joint t-SNE embedding, negated",
    needs=frozenset({"samples", "source"}),
    compute=_compute,
    reference="Chen et al., 2023, arXiv:2306.01015",
    complexity="time n²·D + 500·n² for n samples (at most 400), memory n² + n·D",
)
