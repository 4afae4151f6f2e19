"""The words of docs/evidence/auto_seeds.md; scripts/simulate_auto_seeds.py puts the figures in."""

REPORT = """# What `seeds=auto` saves

`seeds=auto` trains 3 seeds of every arm, judges them as `senet-compare` does, and goes on to the
next planned look (5, 8, 12, 20 seeds) with the arms whose verdict is open, and their control. An
arm stops when it is `better`, `worse` or `equivalent`; when no look that is left would settle the
larger of 0.3 points and the difference seen with power 1/3, by the noise seen; or at `max_seeds`.
The looks have their parts of the error ([verdicts.md](verdicts.md)) whether an arm comes so far
or not, so stopping is no peeking.

Is it fewer runs than a fixed number of seeds at equal error and equal power? Simulated studies of
verdicts.md through the program's own verdicts and steps, {num_tables} tables a row; true effects
0, 0.1, 0.3 and 1 points, margin 0.3; residual sd of a run 0.25 points (a ResNet-20 trained out on
CIFAR-10) and 0.7 (three epochs, [results.md](results.md)). Power: percent of arms with a true
verdict, averaged over the four effects (`equivalent` for 0, it or `better` for 0.1, `better` for
0.3 and 1). Runs count the control. Two fixed numbers, both with an error of at most 5 % of
tables, each interpolated to the power of `seeds=auto`:

- **planned looks**: the same number of seeds for every arm, judged by `senet-compare`: what
  `seeds=N` gives here;
- **one look**: the whole error of 0.05 spent at that number, decided before the first run and
  never extended: the best that a fixed number can do with these tests. The program has no such
  design.

**Against `seeds=N` it saves 22 to 36 % of the runs at the small noise and 49 to 54 % at the
large. Against the one look it saves 21 to 30 % at the large noise and nothing at the small: there
it takes 6 to 17 % more.** So 30 % fewer holds on the average of the six rows against `seeds=N`,
and not in each, and it does not hold against the best fixed number. Why: five looks share the
error, so each is stricter than a single one (0.01 at 20 seeds, not 0.05), and 4 arms need the
control as long as one of them is open. Stopping early pays for that where effects are large or
hopeless, and not where all are near the margin. At the large noise no design shows much (17 to 21
% of the arms): what is saved there is giving up early. The single look has a price that the table
does not show: its number must be right at the start; at 0.25 points and an effect of 1 it trains
12 seeds where 5 do.

{averaged}

Saved: +- the standard error over 10 batches of tables.

## Each world: errors and power

Percent of tables in which any arm is called better or worse without cause, or equivalent at an
effect of 0.3 or more (95 % interval of the simulation). `seeds=auto` calls no arm that 20 seeds
in every arm would not call, so its errors are theirs, or fewer by what it gave up.

{each}

Made by `OPENBLAS_NUM_THREADS=1 uv run scripts/simulate_auto_seeds.py --tables {num_tables} --out
docs/evidence/auto_seeds.md`, commit {commit}, one core of {cpu}, {minutes:.0f} minutes.
"""
