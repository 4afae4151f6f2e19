"""The words of docs/evidence/auto_seeds.md; scripts/simulate_auto_seeds.py puts the figures in."""

REPORT = """# What `seeds=auto` saves

`seeds=auto` trains 3 seeds of every arm, judges them as `senet-compare` does, and goes on to the
next look (5, 8, 12, 20 seeds) with the arms whose verdict is open, and their control. An arm stops
when it is `better`, `worse` or `equivalent`; when no look that is left would settle the larger of
0.3 points and the difference seen with power 1/3, by the noise seen; or at `max_seeds`. Its plan
spends the error as the square of the seeds, whether an arm comes so far or not: so stopping is no
peeking. By default 0.01 of the 0.05 is kept for an extension, here as in the fixed plans.

Is it fewer runs than a fixed number of seeds at equal error and equal power? Simulated studies of
[verdicts.md](verdicts.md) through the program's own verdicts and steps, {num_tables} tables a row;
true effects 0, 0.1, 0.3 and 1 points, margin 0.3; residual sd of a run 0.25 points (a ResNet-20
trained out on CIFAR-10) and 0.7 (three epochs, [results.md](results.md)). Power: percent of arms
with a true verdict, averaged over the four effects (`equivalent` for 0, it or `better` for 0.1,
`better` for 0.3 and 1). Runs count the control. The fixed number is that of a plan `seeds=N` with
the same power, interpolated: with 0.01 kept, and with nothing kept.

{averaged}

Saved: +- the standard error over 10 batches of tables. A negative number is runs lost. Early looks
have little of the error, so `seeds=auto` saves where effects are large or hopeless, and costs where
all are near the margin. A fixed number has to be right at the start.

## The difference of an arm that stopped

An arm stops where chance helped it, so the difference of an arm called better is too large, and its
interval holds the truth too seldom. The shrunken difference, d max(0, 1 - (standard error / d)^2),
is printed beside it. Where an effect is small against the noise both are far from the truth: the
sign is what was shown.

{stopped}

## Each world: errors and power

Percent of tables in which any arm is called better or worse without cause, or equivalent at an
effect of 0.3 or more (95 % interval of the simulation).

{each}

Made by `OPENBLAS_NUM_THREADS=1 uv run scripts/simulate_auto_seeds.py --tables {num_tables} --out
docs/evidence/auto_seeds.md`, commit {commit}, one core of {cpu}, {minutes:.0f} minutes.
"""
