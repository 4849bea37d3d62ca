"""Speaker verification with what speaker identification learnt: are two test utterances of one speaker?

The trials are all pairs of test utterances, at most `MOST_TRIALS` of them. A pair's score is the cosine of
what the classifier rests on: hidden states, mean over frames, as x-vectors are taken below the output layer
(Snyder et al., 2018), centred on the mean over the test part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foretune.tasks.metrics import equal_error_rate
from foretune.tasks.task import Task
from foretune.tasks.utterance import Utterance

MOST_TRIALS = 200_000


def verification(task: Task, utterances: Sequence[Utterance], embeddings: Tensor) -> dict[str, float]:
    """Return the `eer` of a task whose classes are speakers; nothing for other tasks.

    Args:
        task: any.
        utterances: that were tested.
        embeddings: (utterances, dimension).

    Returns:
        Empty also where no two of the utterances are of one speaker, or all are.
    """
    if task.kind != "utterance" or task.columns[0] != "speaker":
        return {}
    names = {name: number for number, name in enumerate(sorted({task.target(each) for each in utterances}))}
    speakers = torch.tensor([names[task.target(each)] for each in utterances])
    first, second = torch.triu_indices(len(utterances), len(utterances), 1)
    if len(first) > MOST_TRIALS:
        drawn = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))[:MOST_TRIALS]
        first, second = first[drawn], second[drawn]
    same = speakers[first] == speakers[second]
    if bool(same.all()) or not bool(same.any()):
        return {}
    centred = embeddings.double() - embeddings.double().mean(0)
    directions = torch.nn.functional.normalize(centred, dim=1)
    scores = (directions[first] * directions[second]).sum(1)
    return {"eer": equal_error_rate(scores.tolist(), same.tolist())}
