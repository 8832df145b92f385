"""Losses of a classifier's logits and its teacher's: pure functions, a mean over the batch each, zero where the student says what the teacher does
but for soft cross-entropy and hard labels.

student, teacher: logits [N, classes], any floating dtype; labels: int64 [N]; temperature: what logits are divided by, above 0. Where a
temperature is T, the loss is multiplied by T², so that its gradients are as large whatever T is (Hinton et al. 2015, arXiv:1503.02531).
weights: float [N], what each example counts, which its summand of the mean is multiplied by; None: all 1.
"""

import torch
import torch.nn.functional as F


def soft_target_kl(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 4.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """T² · KL(teacher ‖ student) (Hinton et al. 2015, arXiv:1503.02531). student, teacher, temperature, weights: as the file says; labels: not read."""
    ours, theirs = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return _divergence(ours, theirs, weights) * temperature**2


def soft_cross_entropy(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 4.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """T² · -Σ p log q, p the teacher's probabilities and q the student's: `soft_target_kl` and the teacher's entropy, with the same gradients.

    student, teacher, temperature, weights: as the file says; labels: not read.
    """
    wanted = F.softmax(teacher / temperature, dim=1)
    return _mean(F.cross_entropy(student / temperature, wanted, reduction="none"), weights) * temperature**2


def logits_mse(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """The mean squared difference of logits (Ba & Caruana 2014, arXiv:1312.6184; Kim et al. 2021, arXiv:2105.08919).

    student, teacher, weights: as the file says; labels: not read.
    """
    return _mean(F.mse_loss(student, teacher, reduction="none").mean(dim=1), weights)


def decoupled_kd(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Decoupled knowledge distillation, T² · (α · TCKD + β · NCKD) (Zhao et al. 2022, arXiv:2203.08679, equations 6 and 7).

    TCKD: the divergence of the probabilities of the right class and of all others together; NCKD: that among the wrong classes alone.
    With α = 1 and β = 1 - the teacher's probability of the right class it would be `soft_target_kl`. student, teacher, labels, temperature,
    weights: as the file says; alpha, beta: of the two summands. At least two classes.
    """
    right = F.one_hot(labels, student.shape[1]).bool()
    of_all = [F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher)]
    two = [
        torch.stack([one[right], one.masked_fill(right, -torch.inf).logsumexp(dim=1)], dim=1)
        for one in of_all
    ]
    wrong = [
        F.log_softmax(logits[~right].reshape(len(logits), -1) / temperature, dim=1)
        for logits in (student, teacher)
    ]
    target, others = (_divergence(ours, theirs, weights) for ours, theirs in (two, wrong))
    return (alpha * target + beta * others) * temperature**2


def dist(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    temperature: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> torch.Tensor:
    """DIST: T² · (β · (1 - correlation of each example's probabilities) + γ · (1 - correlation of each class's over the batch)), Pearson's, means
    (Huang et al. 2022, arXiv:2205.10536, equations 9 to 11).

    student, teacher, temperature: as the file says; labels: not read; beta, gamma: the weights of the relation between classes and within one.
    """
    ours, theirs = (F.softmax(logits / temperature, dim=1) for logits in (student, teacher))
    between = 1 - _correlations(ours, theirs).mean()
    within = 1 - _correlations(ours.T, theirs.T).mean()
    return (beta * between + gamma * within) * temperature**2


def hard_cross_entropy(
    student: torch.Tensor,
    teacher: torch.Tensor,
    labels: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy with the labels. student, labels, weights: as the file says; teacher: not read."""
    return _mean(F.cross_entropy(student, labels, reduction="none"), weights)


def _divergence(ours: torch.Tensor, theirs: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """KL(theirs ‖ ours), a mean over examples. ours, theirs: logarithms of probabilities, [N, ...]."""
    if weights is None:
        return F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return _mean(F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1), weights)


def _mean(values: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return values.mean() if weights is None else (values * weights).mean()


def _correlations(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Of each row, [rows]. A row that does not vary correlates with nothing: 0, as in the authors' code."""
    return F.cosine_similarity(
        ours - ours.mean(dim=1, keepdim=True), theirs - theirs.mean(dim=1, keepdim=True), dim=1, eps=1e-8
    )
