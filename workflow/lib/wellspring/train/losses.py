"""Losses of embeddings or distributions of views; each is a scalar.

Every loss is computed in float32, for any precision of the network. A group is `sites` consecutive images of one
well, from different sites of it.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from wellspring.train import distributed


def nt_xent(first: Tensor, second: Tensor, *, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy of SimCLR (Chen et al. 2020, arXiv 2002.05709).

    Parameters
    ----------
    first, second
        (B, D) projections of two views of the same B images. Every other one of the 2B - 2 views is a negative.
    temperature
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Scalar float32, the mean over the 2B anchors.
    """
    similarity, _ = _similarities(first, second, temperature=temperature)
    count = len(first)
    itself = torch.eye(2 * count, dtype=torch.bool, device=similarity.device)
    positive = torch.arange(2 * count, device=similarity.device).roll(count)
    return cross_entropy(similarity.masked_fill(itself, -torch.inf), positive)


def pair_nt_xent(first: Tensor, second: Tensor, *, sites: int, well: Tensor, temperature: float) -> Tensor:
    """NT-Xent whose positives are the views of the other images of the group.

    Parameters
    ----------
    first, second
        (B, D) projections of two views of the same B images, in groups.
    sites
        Images of a group, 2 or more.
    well
        (B,) int64. Views of the anchor's own well are never negatives.
    temperature
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Scalar float32, the mean over anchors and over the two views of each other image of the group. 0 if a batch has
        a single well.
    """
    similarity, count = _similarities(first, second, temperature=temperature)
    wells = torch.cat([well, well])
    same = wells[:, None] == wells[None, :]
    if bool(same.all()):
        return similarity.sum() * 0.0
    against = torch.logsumexp(similarity.masked_fill(same, -torch.inf), dim=1, keepdim=True)  # 2B x 1
    image = torch.arange(count, device=similarity.device)
    start, place = image - image % sites, image % sites
    step = torch.arange(1, sites, device=similarity.device)
    others = start[:, None] + (place[:, None] + step) % sites  # B x (sites - 1)
    others = torch.cat([others, others + count], dim=1).repeat(2, 1)
    positives = similarity.gather(1, others)  # 2B x 2 (sites - 1)
    return (torch.logaddexp(positives, against) - positives).mean()


def centred(logits: Tensor, centre: Tensor, *, temperature: float) -> Tensor:
    """Teacher distributions by centring and sharpening (DINO, Caron et al. 2021); logits (..., K), centre (K,)."""
    return torch.softmax((logits.float() - centre) / temperature, dim=-1)


def sinkhorn(logits: Tensor, *, temperature: float, iterations: int = 3) -> Tensor:
    """Teacher distributions that use all prototypes equally (Sinkhorn-Knopp, SwAV and DINOv2).

    Parameters
    ----------
    logits
        (B, K) float of this process; prototypes are balanced over the rows of all processes.
    temperature
        Divides the logits.
    iterations
        Rounds of normalising prototypes, then images; 3 as in DINOv2.

    Returns
    -------
    Tensor
        (B, K) float32, rows sum to 1.
    """
    log_weights = logits.float() / temperature
    for _ in range(iterations):
        highest = distributed.maximum(log_weights.amax(dim=0, keepdim=True))
        used = distributed.total(torch.exp(log_weights - highest).sum(dim=0, keepdim=True))
        log_weights = log_weights - highest - torch.log(used)
        log_weights = log_weights - torch.logsumexp(log_weights, dim=1, keepdim=True)
    return log_weights.exp()


def distillation(teacher: Tensor, student: Tensor) -> Tensor:
    """Cross-entropy between the teacher's global views and the student's other views.

    Parameters
    ----------
    teacher
        (G, B, K) probabilities of the global views.
    student
        (V, B, K) log-probabilities; the first G views are the same global views, which are not matched with themselves.

    Returns
    -------
    Tensor
        Scalar float32, the mean over images and pairs of views.
    """
    terms = -torch.einsum("gbk,vbk->gv", teacher, student) / teacher.shape[1]
    own = torch.eye(*terms.shape, dtype=torch.bool, device=terms.device)
    return terms[~own].mean()


def masked_patches(teacher: Tensor, student: Tensor, *, weight: Tensor) -> Tensor:
    """Cross-entropy on masked patch tokens (iBOT, Zhou et al. 2022, weighted as in DINOv2).

    Parameters
    ----------
    teacher
        (M, K) probabilities at the masked places, which the teacher saw.
    student
        (M, K) log-probabilities at the same places.
    weight
        (M,) float32, 1 / (views x masked places of the view): the mean over a view's masked places, then over views,
        of which those without a mask count as 0.

    Returns
    -------
    Tensor
        Scalar float32.
    """
    return -((teacher * student).sum(dim=-1) * weight).sum()


def pair_aggregation(teacher: Tensor, student: Tensor, *, sites: int) -> Tensor:
    """Local aggregation by pairs: the teacher's views of a site are matched with the student's of the well's others.

    Parameters
    ----------
    teacher
        (G, B, K) probabilities of the global views.
    student
        (V, B, K) log-probabilities of all views.
    sites
        Images of a group, 2 or more.

    Returns
    -------
    Tensor
        Scalar float32, the mean over groups, ordered pairs of different images of a group, and pairs of views.
    """
    # The cross-entropy is linear in both, so views are averaged first.
    known, seen = (part.mean(dim=0).unflatten(0, (-1, sites)) for part in (teacher, student))
    terms = -torch.einsum("wak,wbk->wab", known, seen)
    return terms[:, ~torch.eye(sites, dtype=torch.bool, device=terms.device)].mean()


def pooled_aggregation(teacher: Tensor, student: Tensor, *, sites: int) -> Tensor:
    """Local aggregation by pooling: the student's distribution for a pooled group is matched with the teacher's mean.

    Parameters
    ----------
    teacher
        (G, B, K) probabilities of the global views.
    student
        (B / sites, K) log-probabilities, one row per group.
    sites
        Images of a group, 2 or more.

    Returns
    -------
    Tensor
        Scalar float32, the mean over groups.
    """
    known: Tensor = teacher.mean(dim=0).unflatten(0, (-1, sites)).mean(dim=1)
    return -(known * student).sum(dim=-1).mean()


def koleo(features: Tensor, *, well: Tensor | None = None, epsilon: float = 1e-8) -> Tensor:
    """KoLeo, an entropy term: minus the mean log distance to the nearest neighbour (Sablayrolles et al. 2019).

    Parameters
    ----------
    features
        (B, D) class tokens of one view, B >= 2; normalised here.
    well
        (B,) int64. Where given, the neighbour is one of another well, so that images of a well are not parted. 0 if a
        batch has a single well.
    epsilon
        Keeps the logarithm finite where two images coincide.
    """
    unit = normalize(features.float(), dim=1)
    with torch.no_grad():
        cosine = (unit @ unit.T).fill_diagonal_(-2.0)  # below any cosine
        if well is not None:
            same = well[:, None] == well[None, :]
            if bool(same.all()):
                return features.sum().float() * 0.0
            cosine = cosine.masked_fill(same, -2.0)
        nearest = cosine.argmax(dim=1)
    distance = torch.linalg.vector_norm(unit - unit[nearest] + epsilon, dim=1)
    return -torch.log(distance + epsilon).mean()


def _similarities(first: Tensor, second: Tensor, *, temperature: float) -> tuple[Tensor, int]:
    """Cosine similarities of all 2B views over the temperature, (2B, 2B) float32, and B."""
    if first.shape != second.shape:
        raise ValueError(f"views: expected two of one shape, found {tuple(first.shape)} and {tuple(second.shape)}")
    views = normalize(torch.cat([first, second]).float(), dim=1)
    return views @ views.T / temperature, len(first)
