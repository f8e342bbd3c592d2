"""Losses against PyTorch, figures against counting by hand."""

import csv

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danceflax.dance import evaluate, loss
from danceflax.errors import UserError


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_pytorch_s(smoothing, weighted):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)).astype("f"), np.array([0, 1, 2, 3, 1, 0])
    factors = np.array([1.0, 0.5, 2.0, 3.0], "f") if weighted else None
    keep = np.array([1, 1, 1, 1, 1, 0], "f")
    total, count = loss.cross_entropy(logits, jax.nn.one_hot(labels, 4), keep, smoothing, factors)
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits[:5]), torch.tensor(labels[:5]),
        weight=torch.tensor(factors) if weighted else None, label_smoothing=smoothing,
    )  # fmt: skip
    assert float(total / count) == pytest.approx(expected.item(), rel=1e-5)


def test_mixup_mixes_inputs_and_targets_alike():
    x = jnp.arange(8.0)[:, None]
    targets = jax.nn.one_hot(jnp.arange(8), 8)
    mixed, soft = loss.mixup(jax.random.key(0), {"rgb": x}, targets, 0.8)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed["rgb"][:, 0], soft @ jnp.arange(8.0), rtol=1e-5)
    assert (np.asarray(soft).max(1) < 1).any()


def test_figures_against_loops():
    rng = np.random.default_rng(1)
    probabilities, labels = rng.dirichlet(np.ones(6), 80), rng.integers(0, 5, 80)  # no class 5
    found, truth = evaluate.measure(probabilities, labels), {}
    predicted = [int(np.argmax(p)) for p in probabilities]
    for k in (1, 3, 5):
        hits = [y in sorted(range(6), key=lambda c: -p[c])[:k]
                for p, y in zip(probabilities, labels, strict=True)]  # fmt: skip
        truth[f"top{k}"] = np.mean(hits)
    rows = []
    for c in range(5):
        right = sum(p == c and y == c for p, y in zip(predicted, labels, strict=True))
        precision, recall = right / max(predicted.count(c), 1), right / list(labels).count(c)
        total = precision + recall
        rows.append((precision, recall, 2 * precision * recall / total if total else 0.0))
    truth["mean_class_accuracy"] = np.mean([row[1] for row in rows])
    for name, column in zip(("precision", "recall", "f1"), zip(*rows, strict=True), strict=True):
        truth[f"macro_{name}"] = np.mean(column)
    assert {key: found[key] for key in truth} == pytest.approx(truth)
    assert "top5" not in evaluate.measure(probabilities[:, :5], np.minimum(labels, 4))
    assert found["loss"] == pytest.approx(-np.log(probabilities[range(80), labels]).mean())


def test_a_tie_is_no_hit():
    assert not evaluate.top_k_hits(np.full((1, 4), 0.25), np.array([0]), 1).any()


def test_confusion_files(tmp_path):
    confusion = evaluate.confusion_matrix(np.eye(3)[[0, 2, 2, 1]], np.array([0, 1, 2, 1]))
    assert confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    table, picture = evaluate.write_confusion(tmp_path / "confusion", confusion, ["a", "b, c", "d"])
    rows = list(csv.reader(table.open()))
    assert rows[2] == ["b, c", "0", "1", "1"]
    assert cv2.imread(str(picture)).shape[2] == 3
    assert evaluate.per_class_rows(confusion, ["a", "b", "d"])[1][-1] == "d (1)"


def test_class_weights():
    labels = np.array([0, 0, 0, 1])
    weights = loss.choose_class_weights("balanced", labels, 2)
    assert weights[labels].mean() == pytest.approx(1) and weights[1] == 3 * weights[0]
    assert loss.choose_class_weights("none", labels, 2) is None
    with pytest.raises(UserError, match="none or balanced"):
        loss.choose_class_weights("some", labels, 2)
