"""Models that learn the shapes of a histogram in good reports, by name."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from owtrend.display import Display, Displayed
from owtrend.errors import NotFoundError, OwtrendError, UsageError
from owtrend.kernels.shapes.anscombe import SHIFT, mean_shares, pulls

__all__ = ["MODELS", "Autoencoder", "Mean", "Nmf", "Pca", "ShapeModel", "scikit_learn", "shape_model",
           "shape_model_by_name"]  # fmt: skip

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class ShapeModel(Protocol):
    """Protocol of a model of the shapes that a histogram takes in good reports.

    Contents are counts ``(report, cell)``, bins in range only; of weighted contents the effective counts. A model is
    created without arguments, once for all good reports and once without each of their runs.

    Attributes
    ----------
    parameters
        How many numbers are fitted to a report, the scale included.
    """

    parameters: int

    def fit(self, counts: Floats, variations: int) -> Any:
        """Learn from good reports, which vary in ``variations`` ways beyond counting noise."""

    def expected(self, counts: Floats, trusted: Bools) -> Floats:
        """Contents of good reports that agree with the ``trusted`` bins of ``counts``, scale included; same shape.

        The other bins must have no effect, or a hot channel would bend the model.
        """


class _Linear(Displayed):
    """Shares that are sums of a few shapes: expected = weights @ shapes, fitted by weighted least squares.

    Weights are 1 / (mean counts + 3/8), the inverse of the variance of counts (Keenan, Kotula, Surf. Interface Anal.
    36 (2004) 203, who scale by the square root of the mean), kept from zero as in Anscombe's transformation, so that
    thousands of nearly empty bins do not weigh too much.
    """

    positive = False
    shapes: Floats = np.empty((0, 0))

    def _display(self) -> Display:
        return Display("{} shapes of {:,} bins".format(*self.shapes.shape) if len(self.shapes) else "not fitted")

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
        """Weight of each shape in each report, ``(report, shape)``."""
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
        weights = np.maximum(right / normal[:, diagonal, diagonal], 0.0)
        for _ in range(200):  # coordinate descent, all reports at once, as there are only a few shapes
            before = weights.copy()
            for shape in range(size):
                rest = right[:, shape] - np.einsum("tk,tk->t", normal[:, shape], weights)
                weights[:, shape] = np.maximum(weights[:, shape] + rest / normal[:, shape, shape], 0.0)
            if np.abs(weights - before).max() <= 1e-6 * max(weights.max(), 1e-300):
                break
        return weights


class Mean(_Linear):
    """One shape, the mean of all good reports, as a plain reference has it."""

    def fit(self, counts: Floats, variations: int) -> None:
        share = mean_shares(counts)
        self._keep(share[None], share * counts.sum(axis=1).mean())


class Pca(_Linear):
    """The mean and the principal components of the residuals, by singular values.

    Residuals are in Anscombe's transformation, see `owtrend.kernels.shapes.anscombe.pulls`, so that all bins have the
    same noise, as principal components assume, and reports with more counts weigh more.
    """

    def fit(self, counts: Floats, variations: int) -> None:
        share = mean_shares(counts)
        size = float(counts.sum(axis=1).mean())
        residuals = pulls(counts, counts.sum(axis=1, keepdims=True) * share)
        # Ten times faster than the singular values of all bins.
        eigenvalues, vectors = np.linalg.eigh(residuals @ residuals.T)
        first = np.argsort(eigenvalues)[::-1][:variations]
        loadings = vectors[:, first].T @ residuals / np.sqrt(np.maximum(eigenvalues[first, None], 1e-300))
        changes = loadings * np.sqrt(share * size + SHIFT) / size  # of shares, to first order
        self._keep(np.concatenate([share[None], changes]), share * size)


class Nmf(_Linear):
    """A mixture of shapes that are nowhere negative: triggers, beams, particles, each with its own rate.

    Lee, Seung, Nature 401 (1999) 788, by scikit-learn, on counts scaled as in `_Linear`; one shape more than there are
    ways to vary.
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
    """Shapes on a curved surface: a neural network maps the principal components to fewer numbers and back.

    Hinton, Salakhutdinov, Science 313 (2006) 504. The first and last layer are linear and taken from `Pca`, as sixty
    reports are too few to train a network on thousands of bins; the rest is scikit-learn's ``MLPRegressor``. A drifting
    gain is one number but moves a peak along several components, so the bottleneck has half as many, rounded up. With
    fewer than two components it is `Pca`.
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
        """Weights of the components divided by the scale, and the scale."""
        weights = self.weights(counts, trusted)
        scale = np.maximum(weights[:, :1], 1e-300)
        return weights[:, 1:] / scale, scale

    def expected(self, counts: Floats, trusted: Bools) -> Floats:
        if self._network is None:
            return super().expected(counts, trusted)
        inner, scale = self._inner(counts, trusted)
        back = self._network.predict((inner - self._centre) / self._width) * self._width + self._centre
        weights = np.concatenate([np.ones((len(counts), 1)), back], axis=1) * scale
        return np.maximum(weights @ self.shapes, 0.0)


MODELS: dict[str, Callable[[], ShapeModel]] = {"mean": Mean, "pca": Pca, "nmf": Nmf, "autoencoder": Autoencoder}


def shape_model(name: str) -> Callable[[Any], Any]:
    """Register a `ShapeModel` of your own for ``archive.learn(..., model=name)``.

    Raises
    ------
    UsageError
        If another model has the name.
    """

    def register(model: Any) -> Any:
        if name in MODELS and MODELS[name] is not model:
            raise UsageError(f"there is a shape model {name!r} already; take another name")
        MODELS[name] = model
        return model

    return register


def shape_model_by_name(model: str | Callable[[], ShapeModel]) -> tuple[str, Callable[[], ShapeModel]]:
    """Name and class (or other maker) of a model, from either.

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
    """Import scikit-learn within this context: an OwtrendError says how to install it where it is missing."""
    try:
        yield
    except ImportError as error:
        raise OwtrendError('scikit-learn is missing: pip install "owtrend[learn]"') from error


def _quiet() -> Any:
    """Ignore warnings of a fit: if it has not converged, the held-out reports show how good it is."""
    return warnings.catch_warnings(action="ignore")
