"""Tours: the labels of a travelling-salesman problem."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

# fast-tsp wants whole distances below 65,536; √2 of the unit square must fit.
UNITS = 40_000
# Up to here fast-tsp solves exactly by dynamic programming (about 1 ms at 14 cities, 70 ms at 20).
EXACT_UP_TO = 14


def optimal_tour(points: Float[np.ndarray, "cities 2"]) -> Int[np.ndarray, " cities"]:
    """The shortest tour through points of the unit square, from city 0 towards the lower-numbered neighbour.

    Optimal up to 14 cities (for distances rounded to 1/40,000). Above that it is the best tour that fast-tsp's local
    search finds in 1 ms (up to 20 cities) or 5 ms: near-optimal, and not proven.
    """
    import fast_tsp  # compiled, and needed by this dataset only

    count = len(points)
    if count <= 3:
        return np.arange(count)
    heuristic = EXACT_UP_TO < count <= 20  # one more copy of city 0 takes the solver's fast path
    cities = np.concatenate([points, points[:1]]) if heuristic else points
    differences = cities[:, None].astype(np.float64) - cities
    distances = np.rint(np.hypot(differences[..., 0], differences[..., 1]) * UNITS).astype(int)
    tour = np.array(fast_tsp.find_tour(distances.tolist(), duration_seconds=0.001 if count <= 20 else 0.005))
    return canonical_tour(tour[tour < count])


def canonical_tour(tour: Int[np.ndarray, " cities"]) -> Int[np.ndarray, " cities"]:
    """The same cycle, from city 0 towards the lower-numbered of its two neighbours."""
    tour = np.roll(tour, -int(np.flatnonzero(tour == 0)[0]))
    return tour if len(tour) < 3 or tour[1] < tour[-1] else np.roll(tour[::-1], 1)
