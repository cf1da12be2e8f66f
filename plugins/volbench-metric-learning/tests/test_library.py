"""Each short name against the library's class called directly, and the checks before it."""

import pytest
import torch
from batches import PROBLEM, batch, build, score
from pytorch_metric_learning import losses, miners
from volbench.errors import SpecError

from volbench_metric_learning.library import REFUSED, build_loss, options_of, usable

OF_PAIRS = [
    ("supcon(temperature=0.2)", losses.SupConLoss(temperature=0.2)),
    ("ntxent(temperature=0.2)", losses.NTXentLoss(temperature=0.2)),
    ("multi_similarity(base=0.3)", losses.MultiSimilarityLoss(base=0.3)),
    ("circle(margin=0.2, gamma=30)", losses.CircleLoss(m=0.2, gamma=30)),
    (
        "contrastive(positive_margin=0.2, negative_margin=0.7)",
        losses.ContrastiveLoss(pos_margin=0.2, neg_margin=0.7),
    ),
    ("metric_learning(loss=fast_ap(num_bins=5))", losses.FastAPLoss(num_bins=5)),
]
OF_CLASSES = [
    ("arcface(margin_degrees=9, scale=20)", losses.ArcFaceLoss, {"margin": 9, "scale": 20}),
    ("cosface(margin=0.1, scale=20)", losses.CosFaceLoss, {"margin": 0.1, "scale": 20}),
    ("proxy_anchor(margin=0.2, alpha=9)", losses.ProxyAnchorLoss, {"margin": 0.2, "alpha": 9}),
    ("proxy_nca(scale=4)", losses.ProxyNCALoss, {"softmax_scale": 4}),
    ("soft_triple(centers=3)", losses.SoftTripleLoss, {"centers_per_class": 3}),
]


def direct(loss, embedding, labels, *picked):
    embedding = embedding.clone().requires_grad_()
    value = loss(embedding, labels, *picked)
    return value, torch.autograd.grad(value, embedding)[0]


def ours(loss, embedding, labels):
    embedding = embedding.clone().requires_grad_()
    value = score(loss, embedding, labels)
    return value, torch.autograd.grad(value, embedding)[0]


@pytest.mark.parametrize(("spec", "reference"), OF_PAIRS)
def test_values_and_gradients_are_the_librarys(spec, reference):
    torch.testing.assert_close(ours(build(spec), *batch()), direct(reference, *batch()))


@pytest.mark.parametrize(("spec", "reference", "options"), OF_CLASSES)
def test_what_has_weights_draws_and_uses_them_as_the_library_does(spec, reference, options):
    torch.manual_seed(0)
    expected = direct(reference(num_classes=3, embedding_size=6, **options), *batch())
    torch.testing.assert_close(ours(build(spec, seed=0), *batch()), expected)


def test_a_miner_picks_what_is_scored():
    embedding, labels = batch()
    miner = miners.TripletMarginMiner(margin=0.3, type_of_triplets="semihard")
    expected = direct(losses.TripletMarginLoss(), embedding, labels, miner(embedding, labels))
    spec = (
        "metric_learning(loss='triplet_margin', "
        "miner=triplet_margin(margin=0.3, type_of_triplets='semihard'))"
    )
    torch.testing.assert_close(ours(build(spec), embedding, labels), expected)
    assert not torch.equal(expected[0], direct(losses.TripletMarginLoss(), embedding, labels)[0])


def test_weights_are_parameters_and_are_trained():
    loss = build("arcface")
    before = loss.loss.W.detach().clone()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    embedding, labels = batch()
    score(loss, embedding.float(), labels).backward()
    optimizer.step()
    assert not torch.equal(loss.loss.W, before)


@pytest.mark.parametrize("name", ["supcon", "sup_con", "SupConLoss", "SupCon"])
def test_case_underscores_and_the_ending_do_not_matter(name):
    assert type(build_loss(name, PROBLEM)) is losses.SupConLoss


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("metric_learning(loss='supcn')", "has no loss 'supcn'; did you mean 'SupConLoss'?"),
        ("metric_learning(loss='qqqqq')", "has no loss 'qqqqq'; it has AngularLoss, ArcFaceLoss"),
        ("supcon(miner='batchard')", "has no miner 'batchard'; did you mean 'BatchHardMiner'?"),
        ("metric_learning(loss=supcon(tau=1))", "has no option 'tau'; it has temperature"),
        ("metric_learning(loss=supcon(temperature='x'))", "must be a number, but got 'x'"),
        ("metric_learning(loss=triplet_margin(swap=1))", "swap must be True or False, but got 1"),
        ("metric_learning(loss=arcface(num_classes=2))", "has no option 'num_classes'; it has"),
        ("metric_learning(loss='ranked_list')", "loss ranked_list needs margin and Tn"),
        ("metric_learning(loss='n_pairs')", "NPairsLoss gives another value when the batch"),
        ("supcon(miner='distance_weighted')", "draws pairs at random"),
        ("supcon(temperature=0)", "temperature must be above 0, but got temperature=0"),
        ("supcon(temperature='x')", "temperature must be a number, but got temperature='x'"),
        ("supcon(miner=3)", "miner must be name(...) or a quoted string or None"),
        (
            "metric_learning(loss=lifted_structure(), miner=batch_easy_hard(pos_strategy='x'))",
            "miner batch_easy_hard(pos_strategy='x') is refused by its library",
        ),
        ("circle(margin=2)", "margin must be from 0 to 1, but got margin=2"),
        ("arcface(margin_degrees=120)", "margin_degrees must be from 0 to 90"),
        ("soft_triple(centers=2.5)", "centers must be a whole number, but got centers=2.5"),
    ],
)
def test_a_wrong_name_or_option_is_one_line(spec, message):
    with pytest.raises(SpecError) as error:
        build(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_whatever_is_refused_exists_and_all_else_has_options_that_a_spec_can_say():
    assert set(REFUSED) <= {*vars(losses), *vars(miners)}
    for found in (*usable(losses).values(), *usable(miners).values()):
        for parameter in options_of(found).values():
            plain = isinstance(parameter.default, bool | int | float | str | None)
            assert plain or parameter.default is parameter.empty, (found, parameter)
