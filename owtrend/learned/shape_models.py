"""What a good histogram looks like: models that learn the shapes that good reports take, by name."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import NotFoundError, OwtrendError, UsageError
from owtrend.kernels.shapes.anscombe import SHIFT, mean_shares, pulls

__all__ = ["MODELS", "Autoencoder", "Mean", "Nmf", "Pca", "ShapeModel", "model_of", "scikit_learn", "shape_model"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class ShapeModel(Protocol):
    """What learns the shapes that a histogram takes while nothing is wrong.

    Contents are ``(report, cell)``, bins in range only, as counts: of weighted contents as many as would have such
    errors. A model is made without arguments, once for all good reports and once more without each of their runs.

    Attributes
    ----------
    parameters
        How many numbers it takes from a report to tell what is expected, the scale included.
    """

    parameters: int

    def fit(self, counts: Floats, variations: int) -> Any:
        """Learn from good reports, which vary in so many ways more than counting explains; see
        `owtrend.learned.shape`.
        """

    def expected(self, counts: Floats, trusted: Bools) -> Floats:
        """What good reports would hold whose ``trusted`` bins are those of ``counts``: same shape, scale included.

        What stands in the other bins must not matter: a hot channel would else bend the model.
        """


class _Linear:
    """Shares that are sums of a few shapes: expected = weights @ shapes, fitted by weighted least squares.

    Weights are 1 / (mean counts + 3/8), the inverse of the variance of counts (Keenan, Kotula, Surf. Interface Anal.
    36 (2004) 203, who scale by the square root of the mean), with that of few counts kept from zero as in Anscombe's
    transformation. So thousands of bins with a count now and then weigh no more than they can tell.
    """

    positive = False

    def __init__(self) -> None:
        self.parameters = 1

    def _keep(self, shapes: Floats, level: Floats) -> None:
        """``shapes`` is ``(shape, cell)``, ``level`` the mean counts of a report."""
        self.shapes, self.level = shapes, level
        self.parameters = len(shapes)
        weighted = shapes / (level + SHIFT)
        self._weighted = np.ascontiguousarray(weighted.T)
        first, second = np.triu_indices(len(shapes))
        self._products = np.ascontiguousarray((weighted[first] * shapes[second]).T)
        self._pairs = first, second

    def expected(self, counts: Floats, trusted: Bools) -> Floats:
        return np.maximum(self.weights(counts, trusted) @ self.shapes, 0.0)

    def weights(self, counts: Floats, trusted: Bools) -> Floats:
        """Of the shapes in each report, ``(report, shape)``."""
        if trusted.all():
            right = counts @ self._weighted
            upper = np.broadcast_to(self._products.sum(axis=0), (len(counts), self._products.shape[1]))
        else:
            right = np.where(trusted, counts, 0.0) @ self._weighted
            upper = trusted.astype(np.float64) @ self._products
        size = len(self.shapes)
        normal = np.empty((len(counts), size, size))
        normal[:, self._pairs[0], self._pairs[1]] = upper
        normal[:, self._pairs[1], self._pairs[0]] = upper
        diagonal = np.arange(size)
        normal[:, diagonal, diagonal] += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None] + 1e-300
        if not self.positive:
            return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0], dtype=np.float64)
        found = np.maximum(right / normal[:, diagonal, diagonal], 0.0)
        for _ in range(200):  # coordinate descent, all reports at once: there are but a few shapes
            before = found.copy()
            for one in range(size):
                rest = right[:, one] - np.einsum("tk,tk->t", normal[:, one], found)
                found[:, one] = np.maximum(found[:, one] + rest / normal[:, one, one], 0.0)
            if np.abs(found - before).max() <= 1e-6 * max(found.max(), 1e-300):
                break
        return found


class Mean(_Linear):
    """One shape, the mean of all good reports: how any other way to vary looks from a plain reference."""

    def fit(self, counts: Floats, variations: int) -> None:
        share = mean_shares(counts)
        self._keep(share[None], share * counts.sum(axis=1).mean())


class Pca(_Linear):
    """The mean and the principal components of what differs from it, by singular values.

    Of residuals in Anscombe's transformation, see `owtrend.kernels.shapes.anscombe.pulls`, so that all bins have the
    same noise, as principal components suppose, and reports weigh by how much they counted.
    """

    def fit(self, counts: Floats, variations: int) -> None:
        share = mean_shares(counts)
        size = float(counts.sum(axis=1).mean())
        residuals = pulls(counts, counts.sum(axis=1, keepdims=True) * share)
        own, vectors = np.linalg.eigh(residuals @ residuals.T)  # ten times faster than the singular values of all bins
        first = np.argsort(own)[::-1][:variations]
        loadings = vectors[:, first].T @ residuals / np.sqrt(np.maximum(own[first, None], 1e-300))
        moved = loadings * np.sqrt(share * size + SHIFT) / size  # to first order, of shares
        self._keep(np.concatenate([share[None], moved]), share * size)


class Nmf(_Linear):
    """A mixture of shapes none of which is negative anywhere: triggers, beams, particles, each with a rate of its own.

    Lee, Seung, Nature 401 (1999) 788, by scikit-learn, on counts scaled as `_Linear` tells; one shape more than there
    are ways to vary.
    """

    positive = True

    def fit(self, counts: Floats, variations: int) -> None:
        with scikit_learn():
            from sklearn.decomposition import NMF
        share = mean_shares(counts)
        totals = counts.sum(axis=1, keepdims=True)
        level = share * totals.mean()
        if variations == 0:
            self._keep(share[None], level)
            return
        model = NMF(variations + 1, init="nndsvda", max_iter=200, tol=1e-3, random_state=0)
        with _quiet():
            model.fit(counts / np.sqrt(totals * (level + SHIFT)))
        self._keep(model.components_ * np.sqrt(level + SHIFT), level)


class Autoencoder(Pca):
    """Shapes on a curved surface: a neural network narrows the principal components down and gives them back.

    Hinton, Salakhutdinov, Science 313 (2006) 504, with its first and last layer linear and taken from `Pca`, as sixty
    reports cannot teach a network thousands of bins; scikit-learn's ``MLPRegressor`` is the rest. A gain that drifts
    is one number but moves a peak along several components: the bottleneck has half as many, rounded up. Where there
    are fewer than two components nothing can be curved, and it is `Pca`.
    """

    def fit(self, counts: Floats, variations: int) -> None:
        super().fit(counts, variations)
        self._network: Any = None
        if variations < 2:
            return
        with scikit_learn():
            from sklearn.neural_network import MLPRegressor
        narrow = (variations + 1) // 2
        inner, _ = self._inner(counts, np.ones(counts.shape, dtype=bool))
        self._centre, self._width = inner.mean(axis=0), max(float(inner.std(axis=0).max()), 1e-12)
        wide = 4 * variations
        self._network = MLPRegressor(
            hidden_layer_sizes=(wide, narrow, wide),
            activation="tanh",
            solver="lbfgs",
            alpha=1e-3,
            max_iter=200,
            random_state=0,
        )
        scaled = (inner - self._centre) / self._width
        with _quiet():
            self._network.fit(scaled, scaled)
        self.parameters = narrow + 1

    def _inner(self, counts: Floats, trusted: Bools) -> tuple[Floats, Floats]:
        """Components as shares of the scale, and the scale."""
        found = self.weights(counts, trusted)
        scale = np.maximum(found[:, :1], 1e-300)
        return found[:, 1:] / scale, scale

    def expected(self, counts: Floats, trusted: Bools) -> Floats:
        if self._network is None:
            return super().expected(counts, trusted)
        inner, scale = self._inner(counts, trusted)
        back = self._network.predict((inner - self._centre) / self._width) * self._width + self._centre
        weights = np.concatenate([np.ones((len(counts), 1)), back], axis=1) * scale
        return np.maximum(weights @ self.shapes, 0.0)


MODELS: dict[str, Callable[[], ShapeModel]] = {"mean": Mean, "pca": Pca, "nmf": Nmf, "autoencoder": Autoencoder}


def shape_model(name: str) -> Callable[[Any], Any]:
    """Add a `ShapeModel` of your own to those that ``archive.learn(..., model=name)`` knows.

    Raises
    ------
    UsageError
        If the name is taken by another one.
    """

    def added(made: Any) -> Any:
        if name in MODELS and MODELS[name] is not made:
            raise UsageError(f"there is a shape model {name!r} already; take another name")
        MODELS[name] = made
        return made

    return added


def model_of(model: str | Callable[[], ShapeModel]) -> tuple[str, Callable[[], ShapeModel]]:
    """Name and maker of a model: of a name, or of what makes one, such as a class.

    Raises
    ------
    NotFoundError
        If there is none by that name.
    """
    if not isinstance(model, str):
        return getattr(model, "__name__", type(model).__name__), model
    if model not in MODELS:
        raise NotFoundError(f"no shape model {model!r}; there are {', '.join(MODELS)}, or pass a class of your own")
    return model, MODELS[model]


@contextmanager
def scikit_learn() -> Iterator[None]:
    """Around an import of it: OwtrendError, which says how to get it, where it is not there."""
    try:
        yield
    except ImportError as error:
        raise OwtrendError('scikit-learn is missing: pip install "owtrend[learn]"') from error


def _quiet() -> Any:
    """Around a fit: one that has not converged is as good as its held-out reports say."""
    return warnings.catch_warnings(action="ignore")
