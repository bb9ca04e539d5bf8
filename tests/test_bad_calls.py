"""Bad calls, and what they say.

The form of a refusal: ``owner: `argument` must be <rule>, got <value>;
<what to do>.`` Each row holds the whole message to a pattern; `refusal` makes
the pattern of that form, and the few messages of another form stand as they
are.
"""

from fractions import Fraction
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax import _checks
from lrax import schedules
from lrax import transforms

PARAMS = {'w': np.ones(2, np.float32)}
COUNTS = {'w': np.ones(2, np.int32)}
STATE = lrax.sgd(0.1).init(PARAMS)
MAPPED_STATE = jax.tree.map(lambda x: jnp.stack([x, x]), STATE)
NAN = float('nan')
HUGE = 10**400  # a whole number that no float holds
SHORT = lrax.constant(1.0)

RATE = 'a finite number >= 0'
POSITIVE = 'a finite number > 0'
SHARE = 'a number in [0, 1)'
LENGTH = 'a whole number >= 0 and < 2**31'
SOME_LENGTH = 'a whole number >= 1 and < 2**31'
FLAG = 'True or False'
SCALAR = 'a scalar'
STEP = 'a whole number or an integer array'
POLICY = 'a number, a scalar array, a lrax.Schedule or a function of the step'


def refusal(owner, argument, rule, got, advice='.+'):
  """The pattern of a refusal; `...` stands for any argument, rule or value."""
  plain = lambda text: '.+' if text is ... else re.escape(str(text))
  got = '.+' if got is ... else f"'?{plain(got)}'?"
  return (
      f'{plain(owner)}: `{plain(argument)}` must be {plain(rule)}, got {got};'
      rf' {advice}\.'
  )


def traced(function, *values):
  """The call inside a trace, where values are not known."""
  return lambda: jax.eval_shape(function, *values)


def start(init_value):
  return init_value, ()


@lrax.control.closed_loop(start)
def by_loss(memory, step, signals, init_value):
  del step
  return init_value * signals.require('value', 'by_loss'), memory


def update(tx, updates, *arguments):
  return tx.update(updates, tx.init(PARAMS), *arguments)


NO_RATE = (
    r'{}: no lrax learning rate was found in `state`; looked at .+ leaves'
    r' inside: .+\. Build the optimizer with lrax .+, or wrap an optax'
    r' transformation: .+\.'
)

SCHEDULES = [
    ('negative rate', lambda: lrax.constant(-1), ValueError,
     refusal('constant', 'value', RATE, -1, '.*never negative')),
    ('rate is NaN', lambda: lrax.constant(NAN), ValueError,
     refusal('constant', 'value', RATE, 'nan')),
    ('rate is an infinite array',
     lambda: lrax.constant(jnp.float32(jnp.inf)), ValueError,
     refusal('constant', 'value', RATE, ...)),
    ('rate too large for a float', lambda: lrax.constant(HUGE), ValueError,
     refusal('constant', 'value', RATE, ...)),
    ('rate is a bool', lambda: lrax.constant(True), TypeError,
     refusal('constant', 'value', RATE, True)),
    ('rate is a NumPy bool', lambda: lrax.constant(np.bool_(True)), TypeError,
     refusal('constant', 'value', RATE, True)),
    ('rate is an array of bools', lambda: lrax.constant(jnp.array(True)), TypeError,
     refusal('constant', 'value', RATE, 'an array of bool')),
    ('rate is a string', lambda: lrax.constant('0.1'), TypeError,
     refusal('constant', 'value', RATE, '0.1')),
    ('rate is None', lambda: lrax.constant(None), TypeError,
     refusal('constant', 'value', RATE, None)),
    ('rate is complex', lambda: lrax.constant(1j), TypeError,
     refusal('constant', 'value', RATE, '1j')),
    ('rate is a complex array', lambda: lrax.constant(jnp.array(1j)), TypeError,
     refusal('constant', 'value', RATE, 'an array of complex64')),
    ('rate is a vector', lambda: lrax.constant(np.ones(3)), TypeError,
     refusal('constant', 'value', SCALAR, 'an array of shape (3,)', '.*jax.vmap.*')),
    ('rate is a traced vector',
     traced(lambda x: lrax.constant(x)(0), np.ones(3)), TypeError,
     refusal('constant', 'value', SCALAR, 'an array of shape (3,)', '.*jax.vmap.*')),
    ('negative end', lambda: lrax.linear(1.0, -0.5, 10), ValueError,
     refusal('linear', 'end_value', RATE, -0.5)),
    ('negative length', lambda: lrax.linear(1.0, 0.0, -1), ValueError,
     refusal('linear', 'steps', LENGTH, -1)),
    ('length not whole', lambda: lrax.linear(1.0, 0.0, 10.5), ValueError,
     refusal('linear', 'steps', LENGTH, 10.5)),
    ('length too long', lambda: lrax.linear(1.0, 0.0, 2**31), ValueError,
     refusal('linear', 'steps', LENGTH, 2**31)),
    ('length too large for a float', lambda: lrax.linear(1.0, 0.0, HUGE), ValueError,
     refusal('linear', 'steps', LENGTH, ...)),
    ('length is infinite', lambda: lrax.linear(1.0, 0.0, float('inf')), ValueError,
     refusal('linear', 'steps', LENGTH, 'inf')),
    ('length is a bool', lambda: lrax.linear(1.0, 0.0, True), TypeError,
     refusal('linear', 'steps', LENGTH, True)),
    ('length is an array of floats',
     lambda: lrax.linear(1.0, 0.0, jnp.float32(10)), TypeError,
     refusal('linear', 'steps', LENGTH, 'an array of float32')),
    ('length is a traced float',
     traced(lambda n: lrax.linear(1.0, 0.0, n)(0), 10.0), TypeError,
     refusal('linear', 'steps', LENGTH, 'an array of float32')),
    ('length is an array of negative',
     lambda: lrax.linear(1.0, 0.0, jnp.array(-3)), ValueError,
     refusal('linear', 'steps', LENGTH, ...)),
    ('power of 0', lambda: lrax.polynomial_decay(1.0, 0.0, 0.0, 10), ValueError,
     refusal('polynomial_decay', 'power', POSITIVE, 0.0)),
    ('negative exponent',
     lambda: lrax.cosine_annealing(1.0, 10, exponent=-1), ValueError,
     refusal('cosine_annealing', 'exponent', POSITIVE, -1)),
    ('decay to 0', lambda: lrax.exponential_decay(1.0, 0.0, 10), ValueError,
     refusal('exponential_decay', 'decay_rate', POSITIVE, 0.0)),
    ('decay over no steps', lambda: lrax.exponential_decay(1.0, 0.5, 0), ValueError,
     refusal('exponential_decay', 'decay_steps', SOME_LENGTH, 0)),
    ('staircase is no bool',
     lambda: lrax.exponential_decay(1.0, 0.5, 10, staircase=1), TypeError,
     refusal('exponential_decay', 'staircase', FLAG, 1)),
    ('stairs of no steps', lambda: lrax.step_decay(1.0, 0.5, 0), ValueError,
     refusal('step_decay', 'decay_steps', SOME_LENGTH, 0)),
    ('cycles that shrink', lambda: lrax.warm_restarts(1.0, 10, 0.5), ValueError,
     refusal('warm_restarts', 'cycle_growth', 'a number >= 1', 0.5)),
    ('growth is an array of floats',
     lambda: lrax.warm_restarts(1.0, 10, jnp.float32(2)), TypeError,
     refusal('warm_restarts', 'cycle_growth', 'a Python number or an integer array',
             'an array of float32')),
    ('growth is not whole and the length traced',
     lambda: jax.jit(lambda n: lrax.warm_restarts(1.0, n, 1.5)(3))(10), ValueError,
     refusal('warm_restarts', 'cycle_growth', 'whole where `cycle_steps` is traced',
             1.5)),
    ('growth is not whole and the length traced later',
     lambda: jax.jit(lambda s: s(3))(lrax.warm_restarts(1.0, jnp.int32(10), 1.5)),
     ValueError,
     refusal('warm_restarts', 'cycle_growth', 'whole where `cycle_steps` is traced',
             1.5)),
    ('no cycles', lambda: lrax.warm_restarts(1.0, 10, cycles=0), ValueError,
     refusal('warm_restarts', 'cycles', SOME_LENGTH, 0)),
    ('peaks that vanish', lambda: lrax.warm_restarts(1.0, 10, peak_decay=0), ValueError,
     refusal('warm_restarts', 'peak_decay', POSITIVE, 0)),
    ('a cycle of no steps', lambda: lrax.cyclical(0.0, 1.0, 0), ValueError,
     refusal('cyclical', 'up_steps', 'such that a cycle has from 1 to 2**31 - 1 steps',
             0)),
    ('a cycle too long', lambda: lrax.cyclical(0.0, 1.0, 2**30, 2**30), ValueError,
     refusal('cyclical', 'up_steps', 'such that a cycle has from 1 to 2**31 - 1 steps',
             2**30)),
    ('a mode misspelled',
     lambda: lrax.cyclical(0.0, 1.0, 10, mode='triangle'), ValueError,
     refusal('cyclical', 'mode', "one of 'triangular', 'triangular2', 'exp_range'",
             'triangle', "did you mean 'triangular'")),
    ('a mode of another kind', lambda: lrax.cyclical(0.0, 1.0, 10, mode=2), TypeError,
     refusal('cyclical', 'mode', "one of 'triangular', 'triangular2', 'exp_range'", 2)),
    ('no function', lambda: schedules.from_function(3), TypeError,
     refusal('from_function', 'function', 'a function of the step', 3)),
    ('a schedule for a function', lambda: schedules.from_function(SHORT), TypeError,
     refusal('from_function', 'function', 'a function of the step', 'constant(1.0)')),
    ('no policy', lambda: schedules.as_schedule('0.1'), TypeError,
     refusal('as_schedule', 'learning_rate', POLICY, '0.1')),
    ('an argument missing', lambda: lrax.linear(1.0, steps=10), TypeError,
     r"linear\(init_value, end_value, steps\): missing a required argument:"
     r" 'end_value'; see its docstring\."),
    ('an argument too many', lambda: lrax.constant(1.0, 2.0), TypeError,
     r'constant\(value\): too many positional arguments; see its docstring\.'),
    ('an argument of another name',
     lambda: lrax.cosine_annealing(1.0, 10, final_value=0.0), TypeError,
     r'cosine_annealing\(init_value, steps, end_value, exponent\): got an'
     r" unexpected keyword argument 'final_value'; see its docstring\."),
]

STEPS = [
    ('a step not whole', lambda: SHORT(0.5), TypeError,
     refusal('constant', 'step', STEP, ...)),
    ('a step that is a bool', lambda: SHORT(True), TypeError,
     refusal('constant', 'step', STEP, ...)),
    ('a traced step that is a float', traced(SHORT.value, 1.0), TypeError,
     refusal('constant', 'step', STEP, ...)),
    ('a step past the clock', lambda: SHORT(2**31), ValueError,
     refusal('constant', 'step', 'at most 2**31 - 1', 2**31)),
    ('a step far past the clock', lambda: SHORT(2**70), ValueError,
     refusal('constant', 'step', 'at most 2**31 - 1', 2**70)),
    ('a step of a closed loop', lambda: by_loss(1.0)(3), TypeError,
     r'by_loss: is closed loop: its rate depends on signals of the training,'
     r' .+; put it in an optimizer and read lrax\.get_learning_rate\(.+\)\.'),
]

ALGEBRA = [
    ('times a negative number', lambda: SHORT * -1, ValueError,
     refusal('product', 'right', RATE, -1)),
    ('a string times', lambda: 'a' * SHORT, TypeError,
     refusal('product', 'left', RATE, 'a')),
    ('plus a string', lambda: SHORT + 'a', TypeError,
     refusal('sum', 'right', RATE, 'a')),
    ('negative warmup', lambda: SHORT.with_warmup(-1), ValueError,
     refusal('with_warmup', 'steps', LENGTH, -1)),
    ('warmup from a negative rate', lambda: SHORT.with_warmup(5, -1.0), ValueError,
     refusal('with_warmup', 'init_value', RATE, -1.0)),
    ('a number in a join', lambda: lrax.join([SHORT, 1.0], [5]), TypeError,
     refusal('join', 'schedules[1]', 'a schedule', 1.0, '.*lrax.constant.*')),
    ('one schedule for a join', lambda: lrax.join(SHORT, []), TypeError,
     refusal('join', 'schedules', 'a list of schedules', 'constant(1.0)')),
    ('an empty join', lambda: lrax.join([], []), ValueError,
     refusal('join', 'schedules', 'a list of at least one schedule', '[]')),
    ('a boundary missing', lambda: lrax.join([SHORT] * 3, [5]), ValueError,
     refusal('join', 'boundaries', 'one fewer than the 3 schedules', '[5]')),
    ('a boundary too many', lambda: lrax.join([SHORT], [5]), ValueError,
     refusal('join', 'boundaries', 'one fewer than the 1 schedules', '[5]')),
    ('falling boundaries', lambda: lrax.join([SHORT] * 3, [5, 4]), ValueError,
     refusal('join', 'boundaries', 'in rising order', '[5, 4]')),
    ('a boundary not whole', lambda: lrax.join([SHORT] * 2, [2.5]), ValueError,
     refusal('join', 'boundaries[0]', LENGTH, 2.5)),
    ('a negative boundary', lambda: lrax.join([SHORT] * 2, [-1]), ValueError,
     refusal('join', 'boundaries[0]', LENGTH, -1)),
    ('boundaries that are no list', lambda: lrax.join([SHORT] * 2, 5), TypeError,
     refusal('join', 'boundaries', 'a list of numbers', 5)),
    ('boundaries that are a string', lambda: lrax.join([SHORT] * 2, '5'), TypeError,
     refusal('join', 'boundaries', 'a list of numbers', '5')),
]

VALUES = [
    ('a function into a dict',
     lambda: schedules.from_function(abs).to_dict(), ValueError,
     refusal('from_function', 'function', 'a plain value to go into a dict',
             'one that is a function')),
    ('no dict', lambda: lrax.Schedule.from_dict(3), TypeError,
     refusal('from_dict', 'config', "a dict of 'schedule' and 'arguments'", 3)),
    ('a dict of something else',
     lambda: lrax.Schedule.from_dict({'name': 'constant'}), TypeError,
     refusal('from_dict', 'config', "a dict of 'schedule' and 'arguments'", ...)),
    ('arguments that are no dict',
     lambda: lrax.Schedule.from_dict({'schedule': 'constant', 'arguments': [1]}),
     TypeError,
     refusal('from_dict', ..., ..., ...)),
    (
        'a name misspelled',
        lambda: lrax.Schedule.from_dict(
            {'schedule': 'cosine_anealing', 'arguments': {}}
        ),
        ValueError,
        refusal(
            'from_dict', 'schedule', 'the name of a schedule', 'cosine_anealing',
            ".*did you mean 'cosine_annealing'",
        ),
    ),
    ('a name of another kind',
     lambda: lrax.Schedule.from_dict({'schedule': ['constant'], 'arguments': {}}),
     (TypeError, ValueError),
     refusal('from_dict', 'schedule', 'the name of a schedule', ...)),
    ('a name of something else',
     lambda: lrax.Schedule.from_dict({'schedule': 'schedule', 'arguments': {}}),
     ValueError,
     refusal('from_dict', 'schedule', 'the name of a schedule', 'schedule')),
]

DECORATORS = [
    ('a check for no argument',
     lambda: lrax.schedule(peak=_checks.rate)(lambda step, value: value), TypeError,
     r"<lambda>: `checks` must name its arguments, got \['peak'\]; it has"
     r" \['value'\]\."),
    (
        'a closed loop with a check for no argument',
        lambda: lrax.control.closed_loop(start, peak=_checks.rate)(
            lambda memory, step, signals, init_value: (init_value, memory)
        ),
        TypeError,
        r"<lambda>: `checks` must name its arguments, got \['peak'\]; it has"
        r" \['init_value'\]\.",
    ),
]

CHECKS = [
    ('no share of an average', lambda: _checks.decay('owner', 'b1', 1), ValueError,
     refusal('owner', 'b1', SHARE, 1)),
    ('a fraction out of range',
     lambda: _checks.positive('owner', 'eps', Fraction(-1, 3)), ValueError,
     refusal('owner', 'eps', POSITIVE, ...)),
    ('no number at all', lambda: _checks.any_number('owner', 'x', [1.0]), TypeError,
     refusal('owner', 'x', 'a finite number', '[1.0]')),
    ('a NumPy vector',
     lambda: _checks.non_negative('owner', 'x', np.ones(2)), TypeError,
     refusal('owner', 'x', SCALAR, 'an array of shape (2,)')),
    ('a length of 0', lambda: _checks.positive_steps('owner', 'steps', 0), ValueError,
     refusal('owner', 'steps', SOME_LENGTH, 0)),
    ('a word with no close one',
     lambda: _checks.choice('max', 'min')('owner', 'mode', 'other'), ValueError,
     refusal('owner', 'mode', "one of 'max', 'min'", 'other', 'pick one of them')),
    ('an optional number that is wrong',
     lambda: _checks.optional(_checks.rate)('owner', 'end_value', -1), ValueError,
     refusal('owner', 'end_value', RATE, -1)),
    ('a flag that is an array',
     lambda: _checks.flag('owner', 'centered', jnp.array(True)), TypeError,
     refusal('owner', 'centered', FLAG, ...)),
]

UPDATES = [
    ('no state', lambda: SHORT.update(PARAMS), TypeError,
     refusal('constant', 'state', 'the LearningRateState that init returned',
             'NoneType')),
    ('the state of something else', lambda: SHORT.update(PARAMS, (0,)), TypeError,
     refusal('constant', 'state', 'the LearningRateState that init returned', 'tuple')),
    ('updates that count', lambda: update(SHORT, COUNTS), TypeError,
     refusal('constant', 'updates', 'floating-point arrays', 'int32')),
    ('a signal that is missing', lambda: update(by_loss(1.0), PARAMS), ValueError,
     r'by_loss: needs the signal `value`, which this update did not get; call'
     r' tx\.update\(grads, state, params, value=\.\.\.\)\.'),
]

# Their first argument is a direction.
WRAPPERS = ('with_learning_rate', 'schedule_free', 'mechanic')

OPTIMIZERS = [
    ('no rate', lambda: lrax.adam(None), TypeError,
     refusal('adam', 'learning_rate', POLICY, None)),
    ('a rate that is a string', lambda: lrax.sgd('1e-3'), TypeError,
     refusal('sgd', 'learning_rate', POLICY, '1e-3')),
    ('a rate that is a vector', lambda: lrax.rmsprop(np.ones(2)), TypeError,
     refusal('rmsprop', 'learning_rate', SCALAR, 'an array of shape (2,)')),
    *(
        (
            f'a negative rate of {name}',
            lambda name=name: getattr(lrax, name)(-1.0),
            ValueError,
            refusal(name, 'learning_rate', RATE, -1.0),
        )
        for name in lrax.optimizers.__all__
        if name[0].islower() and name not in WRAPPERS
    ),
    ('a negative rate for a transformation',
     lambda: lrax.with_learning_rate(optax.identity(), -1.0), ValueError,
     refusal('with_learning_rate', 'learning_rate', RATE, -1.0)),
    ('no transformation', lambda: lrax.with_learning_rate('adam', 0.1), TypeError,
     refusal('with_learning_rate', 'transform', 'an optax.GradientTransformation',
             'adam')),
    ('momentum of 1', lambda: lrax.sgd(0.1, momentum=1.0), ValueError,
     refusal('sgd', 'momentum', SHARE, 1.0)),
    ('nesterov that is no bool', lambda: lrax.sgd(0.1, 0.9, nesterov='yes'), TypeError,
     refusal('sgd', 'nesterov', FLAG, 'yes')),
    ('momentum of rmsprop below 0',
     lambda: lrax.rmsprop(0.1, momentum=-0.1), ValueError,
     refusal('rmsprop', 'momentum', SHARE, -0.1)),
    ('negative weight decay', lambda: lrax.adamw(0.1, weight_decay=-1e-4), ValueError,
     refusal('adamw', 'weight_decay', RATE, -1e-4)),
    ('weight decay that is a string',
     lambda: lrax.nadamw(0.1, weight_decay='1e-4'), TypeError,
     refusal('nadamw', 'weight_decay', RATE, '1e-4')),
    ('a mask that is none', lambda: lrax.adamw(0.1, mask=3).init(PARAMS), TypeError,
     refusal('adamw', 'mask', ..., ...)),
    ('a velocity that counts',
     lambda: lrax.sgd(0.1, 0.9, accumulator_dtype=jnp.int32), TypeError,
     refusal('sgd', 'accumulator_dtype', ..., ...)),
    ('moments that count', lambda: lrax.adam(0.1, mu_dtype=jnp.int32), TypeError,
     refusal(..., 'mu_dtype', ..., ...)),
    ('moments of no dtype', lambda: lrax.adam(0.1, mu_dtype='nonsense'), TypeError,
     refusal(..., 'mu_dtype', ..., ...)),
]

TRANSFORMS = [
    ('b1 of 1', lambda: transforms.scale_by_adam(b1=1.0), ValueError,
     refusal('scale_by_adam', 'b1', SHARE, 1.0)),
    ('b2 is None', lambda: transforms.scale_by_adam(b2=None), TypeError,
     refusal('scale_by_adam', 'b2', SHARE, None)),
    ('negative eps', lambda: transforms.scale_by_adam(eps=-1e-8), ValueError,
     refusal('scale_by_adam', 'eps', RATE, -1e-8)),
    ('negative eps_root',
     lambda: transforms.scale_by_amsgrad(eps_root=-1e-8), ValueError,
     refusal('scale_by_amsgrad', 'eps_root', RATE, -1e-8)),
    ('a flag of amsgrad',
     lambda: transforms.scale_by_amsgrad(bias_correction_nu=None), TypeError,
     refusal('scale_by_amsgrad', 'bias_correction_nu', FLAG, None)),
    ('a negative start', lambda: transforms.scale_by_adagrad(-0.1), ValueError,
     refusal('scale_by_adagrad', 'initial_accumulator_value', RATE, -0.1)),
    ('decay of 1', lambda: transforms.scale_by_rms(decay=1), ValueError,
     refusal('scale_by_rms', 'decay', SHARE, 1)),
    ('eps is a vector', lambda: transforms.scale_by_rms(eps=np.ones(2)), TypeError,
     refusal('scale_by_rms', 'eps', SCALAR, 'an array of shape (2,)')),
    ('a momentum that shrinks',
     lambda: transforms.scale_by_nadam(momentum_decay=-1.0), ValueError,
     refusal('scale_by_nadam', 'momentum_decay', RATE, -1.0)),
]

STATES = [
    *(
        (
            f'{function.__name__} of a state without a rate',
            lambda f=function, a=arguments: f(optax.adam(0.1).init(PARAMS), *a),
            ValueError,
            NO_RATE.format(function.__name__),
        )
        for function, arguments in (
            (lrax.get_learning_rate, ()),
            (lrax.metrics, ()),
            (lrax.set_learning_rate, (0.1,)),
            (lrax.follow_schedule, ()),
            (lrax.scale_learning_rate, (0.5,)),
            (lrax.restart_schedule, ()),
            (lrax.report, (0.5,)),
        )
    ),
    *(
        (
            f'{function.__name__} of a group that is not there',
            lambda f=function, a=arguments: f(STATE, *a, group='heads'),
            ValueError,
            refusal(
                function.__name__, 'group',
                'left out for a state of one learning rate', 'heads',
            ),
        )
        for function, arguments in (
            (lrax.set_learning_rate, (0.1,)),
            (lrax.follow_schedule, ()),
            (lrax.scale_learning_rate, (0.5,)),
            (lrax.restart_schedule, ()),
            (lrax.report, (0.5,)),
        )
    ),
    ('a negative override', lambda: lrax.set_learning_rate(STATE, -0.1), ValueError,
     refusal('set_learning_rate', 'value', RATE, -0.1)),
    ('an override that is NaN', lambda: lrax.set_learning_rate(STATE, NAN), ValueError,
     refusal('set_learning_rate', 'value', RATE, 'nan')),
    ('an override that is None', lambda: lrax.set_learning_rate(STATE, None), TypeError,
     refusal('set_learning_rate', 'value', RATE, None)),
    ('overrides of which one is negative',
     lambda: lrax.set_learning_rate(MAPPED_STATE, np.array([0.1, -0.1])), ValueError,
     refusal('set_learning_rate', 'value', ..., ...)),
    ('overrides for a state that has one',
     lambda: lrax.set_learning_rate(STATE, np.array([0.1, 0.2])),
     (TypeError, ValueError),
     refusal('set_learning_rate', 'value', ..., ...)),
    ('a negative factor', lambda: lrax.scale_learning_rate(STATE, -0.5), ValueError,
     refusal('scale_learning_rate', 'factor', RATE, -0.5)),
    ('a factor that is a bool',
     lambda: lrax.scale_learning_rate(STATE, True), TypeError,
     refusal('scale_learning_rate', 'factor', RATE, True)),
    ('a restart before the start', lambda: lrax.restart_schedule(STATE, -1), ValueError,
     refusal('restart_schedule', 'at', LENGTH, -1)),
    ('a restart between steps', lambda: lrax.restart_schedule(STATE, 1.5), ValueError,
     refusal('restart_schedule', 'at', LENGTH, 1.5)),
    ('a metric that nobody hears', lambda: lrax.report(STATE, 0.5), ValueError,
     r'report: `state` must hold a closed-loop policy, got open-loop ones'
     r' only; .+\.'),
    ('a metric that is a string',
     lambda: lrax.report(by_loss(1.0).init(), 'low'), TypeError,
     refusal('report', 'metric', 'a number', 'low')),
    ('nothing to carry over',
     lambda: lrax.transplant(STATE, optax.identity().init(PARAMS)), ValueError,
     r'transplant: `new_state` must share a field with `old_state`, got none'
     r' of the same meaning and shapes; .+\.'),
    (
        'no average to evaluate',
        lambda: lrax.eval_params(
            optax.contrib.schedule_free(optax.sgd(0.1), 0.1, b1=0.0).init(PARAMS),
            PARAMS,
        ),
        ValueError,
        r'eval_params: `state` must have b1 > 0, got b1 = 0; .+\.',
    ),
]

TABLE = [
    *SCHEDULES, *STEPS, *ALGEBRA, *VALUES, *DECORATORS, *CHECKS, *UPDATES,
    *OPTIMIZERS, *TRANSFORMS, *STATES,
]


@pytest.mark.parametrize(
    'call, error, pattern', [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_bad_call(call, error, pattern):
  with pytest.raises(error) as caught:
    call()
  message = str(caught.value)
  assert re.fullmatch(pattern, message, re.DOTALL), f'{message}\n  is not\n{pattern}'


def test_ids_are_unique():
  ids = [row[0] for row in TABLE]
  assert sorted(set(ids)) == sorted(ids)


def test_the_pattern_of_a_refusal_is_strict():
  """It wants the owner, the argument, the rule, the value and the advice."""
  pattern = refusal('linear', 'steps', LENGTH, -1)
  good = f'linear: `steps` must be {LENGTH}, got -1; count optimizer updates.'
  assert re.fullmatch(pattern, good)
  for bad in (
      good.replace('linear', 'cosine'),
      good.replace('`steps`', 'steps'),
      good.replace('>= 0', '>= 1'),
      good.replace('-1', '-2'),
      good.replace('; count optimizer updates', ''),
      good[:-1],
      good + ' And more',
  ):
    assert not re.fullmatch(pattern, bad), bad
