"""Finite-key lengths of sampled pairs: bounds against exact tails and against draws of what really happened."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from qkdbus.physics.entropy import entropy
from qkdbus.physics.finite import ASYMPTOTIC, Goal, gamma, hoeffding, sampled, sampling, serfling

# ---- random samples, against the exact hypergeometric tail


def log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def log_tail(seen: int, sample: int, rest: int, errors: int) -> float:
    """ln P(at most `seen` errors in a sample of `sample` out of sample + rest, of which `errors` are wrong)."""
    whole = log_choose(sample + rest, errors)
    least = max(0, errors - rest)
    terms = [log_choose(sample, i) + log_choose(rest, errors - i) - whole for i in range(least, min(seen, sample) + 1)]
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


SAMPLES = [(1000, 1000), (10_000, 1000), (1000, 10_000), (200_000, 2000)]
SEEN = [0, 1, 3, 10, 30, 100, 300]


def exceeds(bound: Any, failure: float, seen: int, rest: int, sample: int) -> bool:
    """Whether a rest beyond the bound is likelier than `failure` to have shown a sample as good as that."""
    rate = seen / sample
    errors = seen + math.ceil(rest * (rate + bound(failure, rate, rest, sample)))
    return errors < rest + seen and log_tail(seen, sample, rest, errors) > math.log(failure)


@pytest.mark.parametrize("failure", [1e-2, 5e-12, 1e-21])
@pytest.mark.parametrize(("rest", "sample"), SAMPLES)
def test_a_sample_bounds_the_rest_as_the_exact_tail_does(failure: float, rest: int, sample: int) -> None:
    for seen in SEEN:
        for bound in (sampling, hoeffding, lambda failure, _, rest, sample: serfling(failure, rest, sample)):
            assert not exceeds(bound, failure, seen, rest, sample)


def test_the_published_gamma_alone_is_no_bound_where_errors_are_few() -> None:
    assert exceeds(gamma, 5e-12, 10, 10_000, 1000)
    assert not exceeds(gamma, 5e-12, 100, 10_000, 1000)


def test_where_errors_are_many_the_published_gamma_decides() -> None:
    assert sampling(5e-12, 0.02, 1e6, 5e4) == gamma(5e-12, 0.02, 1e6, 5e4)
    assert gamma(1e-10 / 21, 0.02, 1e6, 5e4) == pytest.approx(
        math.sqrt(1.05e6 * 0.98 * 0.02 / (5e10 * math.log(2)) * math.log2(1.05e6 / (5e10 * 0.98 * 0.02) * 441 / 1e-20))
    )


def test_serflings_deviation_is_the_mu_of_the_paper() -> None:
    n, k, eps = 1e5, 1e4, 1e-10
    mu = math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4 / eps))
    assert serfling((eps / 4) ** 2, n, k) == pytest.approx(mu)


# ---- pairs


def test_a_sample_of_pairs_gives_the_length_of_the_paper_or_more() -> None:
    n, k, wrong, eps = 1e6, 1e5, 5e3, 1e-10
    mu = math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4 / eps))
    paper = n * (1 - entropy(wrong / k + mu)) - 3e5 - 2 * math.log2(1 / eps)
    assert paper < sampled(n, k, wrong, 3e5).length < sampled(n, k, wrong, 3e5, ASYMPTOTIC).length


def test_small_blocks_have_finite_key_only_on_quiet_lines() -> None:
    assert sampled(900, 100, 0, 64).length == 0
    assert sampled(3600, 400, 0, 64).length > 1000
    assert sampled(3600, 400, 20, 64 + 1.2 * entropy(0.05) * 3600).length == 0
    assert sampled(900, 100, 5, 64 + 1.2 * entropy(0.05) * 900, ASYMPTOTIC).length > 200


def test_a_sample_bounds_the_rest_of_drawn_pairs() -> None:
    chance, trials, goal = np.random.default_rng(8), 2000, Goal("finite", 0.4)
    wrong = chance.hypergeometric(150, 2850, 500, trials)
    broken = [sampled(2500, 500, float(w), 0, goal).phase_error < (150 - w) / 2500 for w in wrong]
    assert np.mean(broken) <= (0.4 / 4) ** 2
    assert np.mean([sampled(2500, 500, float(w), 0, ASYMPTOTIC).phase_error < (150 - w) / 2500 for w in wrong]) > 0.2
