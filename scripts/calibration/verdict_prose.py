"""The words of docs/evidence/verdicts.md; scripts/calibrate_verdicts.py puts the figures in."""

INTRODUCTION = """# Is the verdict right?

`senet-compare` gives one verdict an arm: the paired t of the arm and its control (the linear model
accuracy ~ arm + seed of these two), with Holm over the table, at planned looks. Each look spends
its part of an error of {spent:.2f} (last table), so adding seeds is valid and no peeking. Here
studies with a known truth are simulated and judged by the same code.

**The first look that gives a verdict settles the arm.** A seed more takes no verdict away, whether
it was trained or not: so an arm that `seeds=auto` stops there has the verdict that it would have
with all 20 seeds ([auto_seeds.md](auto_seeds.md): what that saves). What was shown at an earlier
look leaves Holm's family; an arm that stopped for another reason, or has not come so far, stays in
it as p = 1. That keeps the error: let the first arm that is called without cause be called at look
k. All that left the family before were called with cause, so it still holds every one of the m arms
without effect, and this arm's p was at most error(k) / m: over m arms and all looks at most 0.05.
Before, the verdict was that of the last look reached; an arm settled at 3 seeds could lose its
verdict at 5, and one that stopped at 3 counted against the others at every later look.

Read first:

- **Three seeds mostly say `undecided`.** Two degrees of freedom show no difference below some
  {at_3:.0f} residual standard deviations. Five seeds show large effects, twelve middling ones.
- The verdict is about **new seeds on this test set**. Whether it would hold on new images is
  another question: the bootstrap has a column of its own and never upgrades a verdict.
- False `better` or `worse` are at most 5 % **of tables**, whatever the number of arms and looks.
  False `equivalent` have 5 % of their own.

A run gets image i right with probability Phi(shift - difficulty_i). The shift holds the arm, a seed
effect common to all arms and an arm x seed interaction. The sizes resemble a ResNet-20 on CIFAR-10:
91 %, 10,000 images, two runs disagree on 8 % of them; standard deviations in points: seed 0.15,
arm x seed 0.15, images 0.20. A *noisy* arm has 3 times the variance of its own noise, *akin* arms
share a seed effect of 0.25 that the control has not. Counts of right answers are drawn as rounded
normals of the exact mean and variance. Against {num_checked} runs with every answer drawn: mean
{short_mean:.3f} and {long_mean:.3f} %, standard deviation {short_sd:.3f} and {long_sd:.3f} points.
"""

FALSE_VERDICTS = """
## With nothing to find

{num_tables:,} tables a row, each judged at 3, 5, 8 and 12 seeds. False verdicts: percent of tables
in which any look calls any arm without an effect better or worse (95 % interval of the simulation).
Coverage: percent of 95 % intervals that hold the truth, at 3 / 5 / 8 / 12 seeds. The last two
columns are the rule that was tried first, one residual pooled over the table, with the same looks
and Holm; its coverage is that of the arm where it is worst, over all looks.

{table}

The pooled residual has more degrees of freedom and is right where all arms are equally noisy. A
noisy control, or arms more akin to each other than to the control, break it, and one noisy arm
breaks that arm's interval: its residual is an average that is not the noise of the contrast. So
the verdict stands on the contrast's own residual and the pooled p is printed beside it. The price:
4 equally noisy arms show with 5 seeds a difference of 4.8 residual standard deviations instead of
2.7, with 8 seeds 2.9 instead of 2.1, with 12 seeds 2.0 instead of 1.7.
"""

GIVEN_VERDICTS = """
## How often each verdict is given

{num_tables} tables a row; every arm has the effect (points). Percent of arms called
better / worse / equivalent by each look, the rest undecided; margin {margin} points. The last
column is the percent of tables in which any look calls any arm equivalent: an error where the
effect is {margin} or more.

{table}
"""

BOOTSTRAP = """
## New images: the bootstrap's coverage

{num_tables:,} studies a row, one arm and its control, each with new seeds and {num_images:,} new
images, {num_samples:,} samples. The arms differ in which images they find hard (a sixteenth of the
variance of difficulty). Percent of 95 % intervals that hold the true difference on the population
of images (95 % interval of the simulation), and mean width in points.

{table}

The bootstrap is too wide: resampling both seeds and images counts the noise of single answers
three times (Owen 2007). The verdict's interval is about these images and has no duty here: it
covers less as seeds are added, because no number of seeds replaces new images.
"""

PAIRING = """
## What pairing by seed is worth

{num_tables:,} tables of one arm and a control: percent called better, paired / unpaired (Welch), at
the look's error, against the correlation rho of their accuracies over seeds. The difference (in sd
of a run) is what Student's unpaired t shows with power 0.5, then 0.8, at rho 0. Break-even: the rho
below which pairing loses.

{table}
"""

SHOWN_BY_SEEDS = """
## What a number of seeds can show

The planned looks, the error each spends, and the smallest true difference it shows with power 0.8
for 1 to 8 arms beside the control, in residual standard deviations of a run (the sd of the paired
differences over the square root of 2). In the simulated world that is 0.25 points.

{table}
"""

SIGNATURE = """
Made by `OPENBLAS_NUM_THREADS=1 uv run scripts/calibrate_verdicts.py --out
docs/evidence/verdicts.md`, commit {commit}, one core of {cpu}, {minutes:.0f} minutes.
"""
