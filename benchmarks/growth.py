"""How a cost grows with what there is: flat, logarithmic, linear, or more; by name, and in numbers.

Knows pairs of numbers only. A curve gets the simplest name that explains it: what a steeper one would explain better by
no more than measurements differ is not said.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

FLAT: Final = 0.15
"""How far costs may be from their mean, relative to it, to be called flat: measurements differ by that much."""

_BETTER: Final = 0.7  # the share of its error that a steeper form must leave, to be the one
_STEEP: Final = 1.2  # the slope, on logarithmic scales, from which growth is more than linear


@dataclass(frozen=True)
class Growth:
    """How a cost grows.

    Args:
        name: ``flat``, ``logarithmic``, ``linear`` or ``more than linear``.
        slope: on logarithmic scales, over all points: 0 is flat and 1 is linear without a fixed part.
        fixed: the part of the cost that does not grow.
        rate: what is added for each more, if it is linear; for each tenfold, if it is logarithmic.
    """

    name: str
    slope: float
    fixed: float
    rate: float

    @property
    def said(self) -> str:
        """For a caption: ``flat (slope 0.01)``."""
        return f"{self.name} (slope {self.slope + 0.0:.2f})".replace("-0.00", "0.00")


def growth_of(points: Sequence[tuple[float, float]]) -> Growth:
    """How costs (y) grow with sizes (x); both above 0, sizes all different.

    Raises:
        ValueError: there are fewer than three points, or one is not above 0.
    """
    if len(points) < 3:
        raise ValueError(f"a growth needs three points or more, not {len(points)}")
    if any(x <= 0 or y <= 0 for x, y in points):
        raise ValueError("sizes and costs must be above 0: their logarithms are compared")
    slope = _slope([(math.log10(x), math.log10(y)) for x, y in points])
    mean = _fit(points, lambda _: 0.0)
    logarithmic, linear = _fit(points, math.log10), _fit(points, lambda x: x)
    if mean.error <= FLAT or slope <= 0:  # what becomes less with more does not grow either
        return Growth("flat", slope, mean.fixed, 0.0)
    if _last_slope(points) > _STEEP:
        return Growth("more than linear", slope, 0.0, 0.0)
    if linear.error < _BETTER * min(logarithmic.error, mean.error):
        return Growth("linear", slope, linear.fixed, linear.rate)
    if logarithmic.error < _BETTER * mean.error:
        return Growth("logarithmic", slope, logarithmic.fixed, logarithmic.rate)
    return Growth("flat", slope, mean.fixed, 0.0)  # neither explains why its points differ


@dataclass(frozen=True)
class _Fit:
    fixed: float
    rate: float
    error: float
    """The root of the mean square, each relative to what was measured."""


def _fit(points: Sequence[tuple[float, float]], form: Callable[[float], float]) -> _Fit:
    """The least squares of ``fixed + rate * form(x)``, relative to each cost: small ones count as large ones."""
    weights = [1 / (y * y) for _, y in points]
    forms = [form(x) for x, _ in points]
    costs = [y for _, y in points]
    total = sum(weights)
    mean_form = sum(w * f for w, f in zip(weights, forms, strict=True)) / total
    mean_cost = sum(w * y for w, y in zip(weights, costs, strict=True)) / total
    spread = sum(w * (f - mean_form) ** 2 for w, f in zip(weights, forms, strict=True))
    together = sum(w * (f - mean_form) * (y - mean_cost) for w, f, y in zip(weights, forms, costs, strict=True))
    rate = together / spread if spread else 0.0
    fixed = mean_cost - rate * mean_form
    errors = [((fixed + rate * f - y) / y) ** 2 for f, y in zip(forms, costs, strict=True)]
    return _Fit(fixed, rate, math.sqrt(sum(errors) / len(errors)))


def _slope(points: Sequence[tuple[float, float]]) -> float:
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def _last_slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the last three points, where a fixed part counts least."""
    return _slope([(math.log10(x), math.log10(y)) for x, y in sorted(points)[-3:]])
