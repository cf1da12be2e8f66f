"""Losses of pytorch-metric-learning under their names in volbench, one entry each.

Source: Musgrave, Belongie and Lim, PyTorch Metric Learning, 2020, arXiv:2008.09164, and the papers
that each entry names.
"""

from pytorch_metric_learning import losses

from volbench_metric_learning.named import NamedLoss, Option


class SupCon(
    NamedLoss,
    library=losses.SupConLoss,
    temperature=Option(0.1, above=0, search="loguniform(low=0.03, high=0.5)"),
):
    r"""Supervised contrastive loss: pulls together the cases of a class, against all others.

    $-\frac{1}{|P_i|} \sum_{p \in P_i} \log \frac{e^{s_{ip} / \tau}}{\sum_{k \ne i} e^{s_{ik} /
    \tau}}$, where $s$ is the cosine, $P_i$ are the other cases of the class of $i$ and $\tau$ is
    ``temperature``. The mean is over the anchors that have a positive; the library leaves out an
    anchor whose loss is 0.

    Source: Khosla et al., NeurIPS 2020, arXiv:2004.11362.
    """


class NTXent(
    NamedLoss,
    library=losses.NTXentLoss,
    temperature=Option(0.07, above=0, search="loguniform(low=0.03, high=0.5)"),
):
    r"""Normalised-temperature cross-entropy: each positive pair against its anchor's negatives.

    $-\log \frac{e^{s_{ip} / \tau}}{e^{s_{ip} / \tau} + \sum_{n \in N_i} e^{s_{in} / \tau}}$,
    averaged over pairs; $s$ is the cosine, $\tau$ is ``temperature``. Unlike in ``supcon``, other
    positives do not stand in the denominator.

    Source: Chen et al., SimCLR, ICML 2020, arXiv:2002.05709.
    """


class MultiSimilarity(
    NamedLoss,
    library=losses.MultiSimilarityLoss,
    alpha=Option(2.0, above=0, search="loguniform(low=0.5, high=10)"),
    beta=Option(50.0, above=0, search="loguniform(low=5, high=100)"),
    base=Option(0.5, search="uniform(low=0, high=1)"),
):
    r"""Multi-similarity loss: weighs a pair by its own similarity and by that of its neighbours.

    $\frac{1}{\alpha} \log (1 + \sum_{p \in P_i} e^{-\alpha (s_{ip} - b)}) + \frac{1}{\beta} \log (1
    + \sum_{n \in N_i} e^{\beta (s_{in} - b)})$, averaged over the batch; $s$ is the cosine, $b$ is
    ``base``, where pushing and pulling begin. The paper uses it with its miner:
    ``multi_similarity(miner="multi_similarity")``.

    Source: Wang et al., CVPR 2019, arXiv:1904.06627.
    """


class Circle(
    NamedLoss,
    library=losses.CircleLoss,
    margin=Option(0.4, between=(0, 1), search="uniform(low=0.1, high=0.5)", passed_as="m"),
    gamma=Option(80.0, above=0, search="loguniform(low=16, high=256)"),
):
    """Circle loss: each similarity is weighted by its distance from its optimum.

    ``margin`` is how far from 1 and from 0 the cosines of positives and negatives may stay;
    ``gamma`` scales the similarities.

    Source: Sun et al., CVPR 2020, arXiv:2002.10857.
    """


class Contrastive(
    NamedLoss,
    library=losses.ContrastiveLoss,
    positive_margin=Option(0.0, between=(0, 2), passed_as="pos_margin"),
    negative_margin=Option(
        1.0, between=(0, 2), search="uniform(low=0.3, high=1.5)", passed_as="neg_margin"
    ),
):
    r"""Contrastive loss: hinges on distances, near within a class and far between classes.

    $[d_{ip} - m_+]_+$ and $[m_- - d_{in}]_+$, with ``positive_margin`` and ``negative_margin``.
    Distances are Euclidean between embeddings of unit length, from 0 to 2, and not squared as in
    the paper. Each of the two is averaged over the pairs whose hinge is open.

    Source: Hadsell et al., CVPR 2006, doi:10.1109/CVPR.2006.100.
    """


class ArcFace(
    NamedLoss,
    library=losses.ArcFaceLoss,
    margin_degrees=Option(
        28.6, between=(0, 90), search="uniform(low=5, high=40)", passed_as="margin"
    ),
    scale=Option(64.0, above=0, search="loguniform(low=4, high=64)"),
):
    r"""ArcFace: cross-entropy of cosines to one vector per class, with an angular margin.

    The logits are $s \cos (\theta_y + m)$ and $s \cos \theta_k$, with ``scale`` and
    ``margin_degrees``. The vectors are trained by the optimiser of the network, and are not those
    of the classifier.

    Source: Deng et al., CVPR 2019, arXiv:1801.07698.
    """


class CosFace(
    NamedLoss,
    library=losses.CosFaceLoss,
    margin=Option(0.35, between=(0, 1), search="uniform(low=0.05, high=0.5)"),
    scale=Option(64.0, above=0, search="loguniform(low=4, high=64)"),
):
    r"""CosFace: cross-entropy of cosines to one vector per class, with a margin on the cosine.

    The logits are $s (\cos \theta_y - m)$ and $s \cos \theta_k$, with ``scale`` and ``margin``.

    Source: Wang et al., CVPR 2018, arXiv:1801.09414.
    """


class ProxyAnchor(
    NamedLoss,
    library=losses.ProxyAnchorLoss,
    margin=Option(0.1, between=(0, 1), search="uniform(low=0, high=0.5)"),
    alpha=Option(32.0, above=0, search="loguniform(low=4, high=64)"),
):
    r"""Proxy-anchor loss: one trained proxy per class is the anchor of all cases.

    $\log (1 + \sum_{x \in X_p^+} e^{-\alpha (s_{xp} - m)})$, averaged over the classes in the
    batch, plus $\log (1 + \sum_{x \in X_p^-} e^{\alpha (s_{xp} + m)})$, averaged over all classes;
    ``margin`` is in units of the cosine.

    Source: Kim et al., CVPR 2020, arXiv:2003.13911.
    """


class ProxyNCA(
    NamedLoss,
    library=losses.ProxyNCALoss,
    scale=Option(1.0, above=0, search="loguniform(low=1, high=32)", passed_as="softmax_scale"),
):
    r"""Proxy-NCA: softmax over squared distances to one trained proxy per class.

    $-\log \frac{e^{-\sigma d_y}}{\sum_k e^{-\sigma d_k}}$, where $d$ is between vectors of unit
    length and $\sigma$ is ``scale``. The sum is over all classes as in the library, not over the
    other ones as in the paper.

    Source: Movshovitz-Attias et al., ICCV 2017, arXiv:1703.07464.
    """


class SoftTriple(
    NamedLoss,
    library=losses.SoftTripleLoss,
    centers=Option(10, above=0, search="integer(low=1, high=10)", passed_as="centers_per_class"),
    scale=Option(20.0, above=0, search="loguniform(low=4, high=40)", passed_as="la"),
    gamma=Option(0.1, above=0),
    margin=Option(0.01, between=(0, 1)),
):
    """SoftTriple: cross-entropy to several trained centres per class.

    ``centers`` per class; ``scale`` (lambda) multiplies similarities; ``gamma`` is how evenly a
    case is shared among the centres of a class; ``margin`` is taken from the similarity to the true
    class.

    Source: Qian et al., ICCV 2019, arXiv:1909.05235.
    """
