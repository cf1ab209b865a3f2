"""Objectives: embeddings or distributions of views flow in, scalars flow out.

Every loss is computed in float32, whatever the precision of the network.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


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


def pair_nt_xent(first: Tensor, second: Tensor, *, partner: Tensor, group: Tensor, temperature: float) -> Tensor:
    """NT-Xent whose positives are the views of another image of the same well.

    Parameters
    ----------
    first, second
        (B, D) projections of two views of the same B images.
    partner
        (B,) int64, the image at another site of the same well.
    group
        (B,) int64, the well. Views of the anchor's own well are never negatives.
    temperature
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Scalar float32, the mean over anchors and over the two views of the partner. 0 where a batch holds one well.
    """
    similarity, count = _similarities(first, second, temperature=temperature)
    wells = torch.cat([group, group])
    same = wells[:, None] == wells[None, :]
    if bool(same.all()):
        return similarity.sum() * 0.0
    against = torch.logsumexp(similarity.masked_fill(same, -torch.inf), dim=1, keepdim=True)  # 2B x 1
    twice = torch.cat([partner, partner])
    positives = similarity.gather(1, torch.stack([twice, twice + count], dim=1))  # 2B x 2
    return (torch.logaddexp(positives, against) - positives).mean()


def centred(logits: Tensor, centre: Tensor, *, temperature: float) -> Tensor:
    """Teacher distributions by centring and sharpening (DINO, Caron et al. 2021); logits (..., K), centre (K,)."""
    return torch.softmax((logits.float() - centre) / temperature, dim=-1)


def sinkhorn(logits: Tensor, *, temperature: float, iterations: int = 3) -> Tensor:
    """Teacher distributions that use all prototypes equally (Sinkhorn-Knopp, SwAV and DINOv2).

    Parameters
    ----------
    logits
        (B, K) float.
    temperature
        Divides the logits.
    iterations
        Rounds of normalising prototypes, then images; 3 as in DINOv2.

    Returns
    -------
    Tensor
        (B, K) float32, rows sum to 1.
    """
    scaled = logits.float() / temperature
    log_weights = scaled - scaled.max()
    for _ in range(iterations):
        log_weights = log_weights - torch.logsumexp(log_weights, dim=0, keepdim=True)
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


def aggregation(teacher: Tensor, student: Tensor, *, partner: Tensor) -> Tensor:
    """Local aggregation by pairs: the student's views of a site are matched with the teacher's of another site.

    Parameters
    ----------
    teacher
        (G, B, K) probabilities of the global views.
    student
        (V, B, K) log-probabilities of all views.
    partner
        (B,) int64, the image at another site of the same well.

    Returns
    -------
    Tensor
        Scalar float32, the mean over images and pairs of views.
    """
    return -torch.einsum("gbk,vbk->gv", teacher[:, partner], student).mean() / teacher.shape[1]


def koleo(features: Tensor, *, epsilon: float = 1e-8) -> Tensor:
    """KoLeo, an entropy term: minus the mean log distance to the nearest neighbour (Sablayrolles et al. 2019).

    Parameters
    ----------
    features
        (B, D) class tokens of one view, B >= 2; normalised here.
    epsilon
        Keeps the logarithm finite where two images coincide.
    """
    unit = normalize(features.float(), dim=1)
    with torch.no_grad():
        nearest = (unit @ unit.T).fill_diagonal_(-1.0).argmax(dim=1)
    distance = torch.linalg.vector_norm(unit - unit[nearest] + epsilon, dim=1)
    return -torch.log(distance + epsilon).mean()


def _similarities(first: Tensor, second: Tensor, *, temperature: float) -> tuple[Tensor, int]:
    """Cosine similarities of all 2B views over the temperature, (2B, 2B) float32, and B."""
    if first.shape != second.shape:
        raise ValueError(f"views: expected two of one shape, found {tuple(first.shape)} and {tuple(second.shape)}")
    views = normalize(torch.cat([first, second]).float(), dim=1)
    return views @ views.T / temperature, len(first)
