"""The Gaussian process against its textbook formulas, in numpy."""

import itertools
import math

import jax
import numpy as np
import pytest
from scipy import integrate
from scipy import optimize
from scipy import special

from lrax.tune._methods import _gaussian_process as gp

GROUPS = (0, 1, 1)  # a number and an option of two
LENGTH, NOISE = (math.log(0.3), 1.0), (math.log(1e-2), 2.0)
LEAST_NOISE, VALUES, SQUARES = 1e-6, 2.0, 2.0
# Float64 and matrices of condition below 1e6: 2.2e-16 * 1e6, with room for a sum.
NEAR = 1e-9

log_posterior = jax.jit(gp.log_posterior)
log_improvement = jax.jit(gp.log_expected_improvement)


@pytest.fixture(autouse=True)
def _float64():
  with jax.enable_x64(True):
    yield


def rows(count, seed=0):
  generator = np.random.default_rng(seed)
  option = generator.integers(2, size=count)
  number = generator.uniform(size=count)
  return np.stack([number, option == 0, option == 1], axis=1).astype(float)


def data(count=12, size=16, exact=0, seed=0):
  """Observations of a wave, with noise; what pads them is large."""
  generator = np.random.default_rng(seed)
  x, y = np.full((size, 3), 50.0), np.full(size, 1e3)
  x[:count] = rows(count, seed)
  y[:count] = np.sin(6 * x[:count, 0]) + x[:count, 1]
  y[:count] += 0.1 * generator.normal(size=count)
  y[:count] = (y[:count] - y[:count].mean()) / y[:count].std()
  index = np.arange(size)
  mask = index < count
  return gp.Data(x, y, mask, mask & (index >= count - exact))


# --- the same in numpy --------------------------------------------------------


def correlation(a, b, lengths):
  """Row by row, as Rasmussen and Williams write it, equation 4.17."""
  result = np.zeros((len(a), len(b)))
  for i, j in itertools.product(range(len(a)), range(len(b))):
    r = np.linalg.norm((a[i] - b[j]) / lengths)
    s = math.sqrt(5) * r
    result[i, j] = (1 + s + 5 * r**2 / 3) * math.exp(-s)
  return result


def hyperparameters(place, groups=GROUPS):
  mean = LENGTH[0] + 0.5 * math.log(len(place) - 1)
  lengths = np.exp(mean + LENGTH[1] * np.asarray(place[:-1]))
  return lengths[list(groups)], LEAST_NOISE + math.exp(NOISE[0] + NOISE[1] * place[-1])


def observed(place, told):
  """The points without padding, and their matrix."""
  lengths, noise = hyperparameters(place)
  x, y, exact = (a[told.mask] for a in (told.x, told.y, told.exact))
  noises = np.where(exact, LEAST_NOISE, noise)
  return x, y, lengths, correlation(x, x, lengths) + np.diag(noises), noises


def log_posterior_by_quadrature(place, told):
  """By quadrature over the function's variance, whose prior is inverse gamma."""
  _, y, _, c, _ = observed(place, told)
  n, square = len(y), y @ np.linalg.solve(c, y)
  log_det = np.linalg.slogdet(c)[1]
  shape, scale = VALUES / 2, SQUARES / 2

  def log_joint(log_variance):
    variance = math.exp(log_variance)
    likelihood = -n / 2 * log_variance - square / (2 * variance)
    prior = -(shape + 1) * log_variance - scale / variance
    return likelihood + prior + log_variance  # d variance = variance d log

  top = max(map(log_joint, np.linspace(-10, 10, 2001)))
  integral = integrate.quad(
      lambda t: math.exp(log_joint(t) - top), -15, 15, epsabs=0, epsrel=1e-11,
      points=np.linspace(-5, 5, 11), limit=200,
  )[0]
  return math.log(integral) + top - log_det / 2 - np.sum(np.square(place)) / 2


PLACES = np.array([[0.0, 0.0, 0.0], [-0.7, 0.4, -1.2], [0.5, 1.0, 0.8]])


# --- the model ----------------------------------------------------------------


@pytest.mark.parametrize('exact', [0, 3])
@pytest.mark.parametrize('place', PLACES)
def test_the_posterior_is_that_of_the_textbook(place, exact):
  told, new = data(exact=exact), rows(16, seed=1)
  posterior = gp.condition(place, told, GROUPS)
  mean, deviation = gp.predict(posterior, new, GROUPS)
  x, y, lengths, c, noises = observed(place, told)
  cross = correlation(new, x, lengths)
  variance = (SQUARES + y @ np.linalg.solve(c, y)) / (VALUES + len(y))
  left = 1 - np.sum(cross * np.linalg.solve(c, cross.T).T, axis=1)
  np.testing.assert_allclose(mean, cross @ np.linalg.solve(c, y), atol=NEAR)
  np.testing.assert_allclose(np.square(deviation), variance * left, atol=NEAR)
  at_data = correlation(x, x, lengths) @ np.linalg.solve(c, y)
  np.testing.assert_allclose(posterior.fitted[: len(y)], at_data, atol=NEAR)
  noise = hyperparameters(place)[1] * variance
  np.testing.assert_allclose(posterior.noise, noise, rtol=NEAR)


def test_the_evidence_is_the_integral_over_the_variance():
  told = data()
  square = gp.squares(told.x, told.x, GROUPS)
  ours = [float(log_posterior(place, told, square)[0]) for place in PLACES]
  truth = [log_posterior_by_quadrature(place, told) for place in PLACES]
  # Both leave out a constant; the quadrature is good to 1e-11.
  np.testing.assert_allclose(np.diff(ours), np.diff(truth), atol=1e-8)


@pytest.mark.parametrize('exact', [0, 3])
def test_the_gradient_is_the_slope(exact):
  told = data(exact=exact)
  square = gp.squares(told.x, told.x, GROUPS)
  value = lambda place: float(log_posterior(place, told, square)[0])
  for place in PLACES:
    slope = optimize.approx_fprime(place, value, 1e-6)
    # Half the step times a second derivative of about 100, at most.
    gradient = log_posterior(place, told, square)[1]
    np.testing.assert_allclose(gradient, slope, atol=1e-4)


@pytest.mark.parametrize('count, seed', [(6, 0), (50, 2)])
def test_the_fit_is_near_the_top(count, seed):
  told = data(count, 64, seed=seed)
  square = gp.squares(told.x, told.x, GROUPS)
  loss = lambda place: -float(log_posterior(place, told, square)[0])
  found = np.asarray(gp.fit(told, GROUPS))
  best = min(
      optimize.minimize(loss, start, method='Nelder-Mead').fun for start in PLACES[:2]
  )
  # 25 steps of Adam; a quarter of a unit of log posterior is within the noise of
  # which hyperparameters are right.
  assert loss(found) < best + 0.25


def test_padding_changes_nothing():
  new = rows(16, seed=1)
  answers = []
  for size in (16, 64):
    told = data(12, size)
    place = gp.fit(told, GROUPS)
    answers.append([place, *gp.predict(gp.condition(place, told, GROUPS), new, GROUPS)])
  for small, large in zip(*answers):
    # The same sums in another order, 25 times over in the fit.
    np.testing.assert_allclose(small, large, rtol=1e-7)


def test_the_model_goes_through_exact_values():
  told = data(exact=12)
  told.x[:12] = np.linspace(0, 1, 12)[:, None]
  told.y[:12] = np.sin(6 * told.x[:12, 0])
  posterior = gp.condition(np.zeros(3), told, GROUPS)
  mean, deviation = gp.predict(posterior, told.x, GROUPS)
  # Of the variance 1e-6 is left for noise, so a deviation of 1e-3.
  np.testing.assert_allclose(mean[:12], told.y[:12], atol=1e-3)
  assert np.all(np.asarray(deviation)[:12] < 1e-3 * math.sqrt(posterior.variance))


def test_far_away_it_knows_its_prior():
  posterior = gp.condition(np.zeros(3), data(), GROUPS)
  mean, deviation = gp.predict(posterior, np.full((16, 3), -40.0), GROUPS)
  # 40 is 90 lengths away: exp(-90) is left of a correlation.
  np.testing.assert_allclose(mean, 0, atol=1e-12)
  np.testing.assert_allclose(deviation**2, posterior.variance, rtol=1e-12)


def test_without_data_it_is_its_prior():
  told = data()._replace(mask=np.zeros(16, bool), exact=np.zeros(16, bool))
  place = gp.fit(told, GROUPS)
  np.testing.assert_allclose(place, 0, atol=1e-12)  # the means of the priors
  mean, deviation = gp.predict(gp.condition(place, told, GROUPS), rows(16), GROUPS)
  np.testing.assert_array_equal(mean, np.zeros(16))
  np.testing.assert_allclose(deviation, math.sqrt(SQUARES / VALUES), rtol=1e-12)


# --- expected improvement -----------------------------------------------------


@pytest.mark.parametrize(
    'mean, deviation, best',
    [(0, 1, 0), (1, 0.5, 0.3), (-2, 0.3, 1), (0.5, 0.1, 0), (3, 2, 9)],
)
def test_expected_improvement_is_the_integral(mean, deviation, best):
  density = lambda f: math.exp(-0.5 * ((f - mean) / deviation) ** 2) / (
      deviation * math.sqrt(2 * math.pi)
  )
  low = min(mean, best) - 40 * deviation
  integral = integrate.quad(
      lambda f: (best - f) * density(f), low, best, epsabs=0, epsrel=1e-10,
      points=[p for p in (mean, best - deviation) if low < p < best], limit=200,
  )[0]
  ours = log_improvement(*map(float, (mean, deviation, best)))
  # The quadrature is good to 1e-10.
  assert float(ours) == pytest.approx(math.log(integral), abs=1e-8)


@pytest.mark.parametrize('z', [-5.0, -9.99, -10.01, -12.0, -30.0, -300.0])
def test_expected_improvement_far_into_the_tail(z):
  # phi(z) (1 - |z| m), where m = Phi(z) / phi(z) is Mills' ratio, by erfcx. The
  # difference is 1 / z^2 of its terms: 1e-16 * 300^2 is 1e-11.
  mills = math.sqrt(math.pi / 2) * special.erfcx(-z / math.sqrt(2))
  truth = -(z**2) / 2 - math.log(2 * math.pi) / 2 + math.log1p(z * mills)
  ours = log_improvement(0.0, 1.0, z)
  # The series leaves out 945 / z^8, 1e-5 of the improvement where it begins.
  assert float(ours) == pytest.approx(truth, abs=1e-5)


def test_more_improvement_is_expected_where_more_is_unknown():
  deviations = np.array([1e-8, 1e-3, 1e-1, 1.0])
  gains = np.asarray(log_improvement(0.1, deviations, 0.0))
  assert np.isfinite(gains).all() and (np.diff(gains) > 0).all()
