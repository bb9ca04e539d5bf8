"""The runs that `diagnose` is judged on are none that its rules may be set on."""

import diagnosis_held_out as held_out
import diagnosis_made as made
import diagnosis_problems as problems

OTHERS = problems.PROBLEMS + made.PROBLEMS


def test_they_share_no_seed_no_optimizer_and_no_task():
  seeds = lambda part: {seed for problem in part for seed in problem.seeds}
  assert not seeds(held_out.PROBLEMS) & seeds(OTHERS)
  optimizers = lambda part: {problem.optimizer for problem in part}
  assert not optimizers(held_out.PROBLEMS) & optimizers(OTHERS)
  assert not held_out.TASKS.keys() & (problems.TASKS | made.TASKS).keys()


def test_every_problem_has_its_task_and_every_task_a_problem():
  for part in (problems, made, held_out):
    assert {problem.task for problem in part.PROBLEMS} == set(part.TASKS)


def test_no_seed_is_used_for_two_problems_of_a_part():
  for part in (problems, made, held_out):
    every = [seed for problem in part.PROBLEMS for seed in problem.seeds]
    assert len(every) == len(set(every))
